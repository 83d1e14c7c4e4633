"""Ribbons: bands of two vertices per joint along the course of strands, with the normals that make them look like hair.

At each joint the normal is the outward direction made perpendicular to the strand, so that a highlight crosses all strands as a band; it leans
to either side at the ribbon's edges, as on a round bundle. This module does not know what grows, nor its colour.

Shapes: B pictures, S strands, J joints; S * J * 2 vertices. Vectors are component-first: (3, J, B, S).
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.mesh import Surface

LEAN: Final = 0.3  # how far the normals at a ribbon's edges turn to the sides
TO_CAMERA: Final = 0.6  # how far ribbons face the front rather than outwards
EDGE_SHADES: Final = (0.88, 1.08)  # one edge is darker than the other, so that ribbons side by side stay distinct
SHARPNESS: Final = 24.0
SOFTNESS: Final = 0.3  # light goes a little way through hair


@dataclass(frozen=True)
class Paint:
    """The looks of every joint."""

    albedo: Tensor  # (3, J, B, S), linear RGB
    occlusion: Tensor  # (J, B, S)
    gloss: Tensor  # (J, B, S)


def unit3(v: Tensor) -> Tensor:
    """Component-first vectors (3, ...) to length one."""
    return v / ((v * v).sum(0) + 1e-9).sqrt()


def cross3(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of component-first vectors."""
    ax, ay, az = a
    bx, by, bz = b
    return torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx))


def tangents(path: Tensor) -> Tensor:
    """Directions along strands (3, J, B, S), not of length one."""
    return torch.cat((path[:, 1:], path[:, -1:]), 1) - torch.cat((path[:, :1], path[:, :-1]), 1)


def ribbon_faces(strands: int, joints: int) -> Tensor:
    """Triangles of ribbons with two vertices per joint: int64 (strands * (joints - 1) * 2, 3)."""
    first = (torch.arange(strands)[:, None] * joints + torch.arange(joints - 1)).flatten() * 2
    left = torch.stack((first, first + 2, first + 1), -1)
    right = torch.stack((first + 1, first + 2, first + 3), -1)
    return torch.cat((left, right), 1).view(-1, 3)


def ribbons(path: Tensor, away: Tensor, width: Tensor, paint: Paint, faces: Tensor, present: Tensor | None = None) -> Surface:
    """Strands as ribbons: path (3, J, B, S), outward directions of any length likewise, widths (J, B, S) in cm."""
    tangent = unit3(tangents(path))
    forward = torch.tensor((0.0, 0.0, TO_CAMERA), device=path.device)[:, None, None, None]
    across = unit3(cross3(tangent, unit3(away) + forward))
    up = cross3(across, tangent)
    reach = across * (0.5 * width)
    lean = LEAN * across
    shades = torch.tensor(EDGE_SHADES, device=path.device)
    size = 1 / (1 + LEAN * LEAN) ** 0.5  # up and across are perpendicular and of length one
    occlusion = _doubled(paint.occlusion)
    return Surface(
        faces=faces,
        positions=_vertices(torch.stack((path - reach, path + reach), -1)).permute(1, 2, 0),
        normals=_vertices(torch.stack((up - lean, up + lean), -1) * size).permute(1, 2, 0),
        albedo=_vertices(paint.albedo[..., None] * shades).permute(1, 2, 0),
        gloss=_doubled(paint.gloss),
        sharpness=torch.full_like(occlusion, SHARPNESS),
        occlusion=occlusion,
        softness=SOFTNESS,
        present=present,
    )


def _vertices(values: Tensor) -> Tensor:
    """(3, J, B, S, 2) to (3, B, S * J * 2)."""
    return values.permute(0, 2, 3, 1, 4).flatten(2)


def _doubled(values: Tensor) -> Tensor:
    """(J, B, S) to (B, S * J * 2): both edges alike."""
    return values.permute(1, 2, 0)[..., None].expand(-1, -1, -1, 2).flatten(1)
