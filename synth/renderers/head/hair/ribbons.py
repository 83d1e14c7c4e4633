"""Ribbons: bands of two vertices per joint along the course of strands, with the normals that make them look like hair.

At each joint the normal is the outward direction made perpendicular to the strand, so that a highlight crosses all
strands as a band; it leans to either side at the ribbon's edges, as on a round bundle. This module does not know what
grows, nor its colour.

Shapes: B pictures, S strands, J joints; S * J * 2 vertices. Vectors are component-first: (3, J, B, S).
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.mesh import Surface

LEAN: Final = 0.3  # how far the normals at a ribbon's edges turn to the sides
TO_CAMERA: Final = 1.6  # how far ribbons face the camera rather than outwards
TURNED_TO_CAMERA: Final = 0.42  # least cosine between a normal and the camera: what is seen is lit from the seen side
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


@dataclass(frozen=True)
class Course:
    """Where ribbons run."""

    path: Tensor  # (3, J, B, S), cm
    away: Tensor  # the same shape: outward directions of any length
    width: Tensor  # (J, B, S), cm
    camera: Tensor  # (3, B, 1): the direction of the camera


def towards_camera(attributes: dict[str, Tensor]) -> Tensor:
    """The direction of the camera in the frame of the turned head, tilt left out: (3, B, 1)."""
    yaw, pitch = (attributes[name] * (math.pi / 180) for name in ("yaw_deg", "pitch_deg"))
    level = yaw.cos()
    return torch.stack((-yaw.sin(), -level * pitch.sin(), level * pitch.cos()))[..., None]


def ribbons(course: Course, paint: Paint, faces: Tensor, present: Tensor | None = None) -> Surface:
    """Strands as ribbons that turn their breadth outwards and to the camera."""
    path, away, width, camera = course.path, course.away, course.width, course.camera
    tangent = unit3(tangents(path))
    outward = unit3(away)
    across = unit3(cross3(tangent, outward + TO_CAMERA * camera[:, None]))
    up = outward - tangent * (outward * tangent).sum(0)
    towards = camera[:, None]
    up = unit3(up + towards * (TURNED_TO_CAMERA - (up * towards).sum(0)).clamp(min=0))
    reach = across * (0.5 * width)
    size = 1 / (1 + LEAN * LEAN) ** 0.5  # up and across are nearly perpendicular and of length one
    up, lean = up * size, across * (LEAN * size)
    occlusion = _vertices(paint.occlusion, paint.occlusion)
    return Surface(
        faces=faces,
        positions=_vertices(path - reach, path + reach).permute(1, 2, 0),
        normals=_vertices(up - lean, up + lean).permute(1, 2, 0),
        albedo=_vertices(paint.albedo * EDGE_SHADES[0], paint.albedo * EDGE_SHADES[1]).permute(1, 2, 0),
        gloss=_vertices(paint.gloss, paint.gloss),
        sharpness=torch.full_like(occlusion, SHARPNESS),
        occlusion=occlusion,
        softness=SOFTNESS,
        present=present,
    )


def _vertices(left: Tensor, right: Tensor) -> Tensor:
    """Values at both edges (..., J, B, S) in the order of the vertices: (..., B, S * J * 2)."""
    *rest, joints, pictures, strands = left.shape
    both = left.new_empty(*rest, pictures, strands, joints, 2)
    both[..., 0] = left.movedim(-3, -1)
    both[..., 1] = right.movedim(-3, -1)
    return both.flatten(-3)
