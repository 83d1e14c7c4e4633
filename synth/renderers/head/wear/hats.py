"""Hats: knitted caps and peaked caps, shaped over the placed head, and the plane below which hair comes out.

A hat is a grid of directions from the middle of the skull; each of its vertices is tied to the vertex of the face
mesh in that direction and stands a little farther out, so a hat fits every head. Colours and pattern belong to the
picture: people own several. This module does not know hair; the strands ask `hat_edge`.

Shapes: B pictures, V vertices.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Choice
from samplers.random import noise_index, uniforms
from synth.renderers.head.hair.skullmap import CENTRE, nearest_vertices
from synth.renderers.head.mesh import Surface, cross, grid_faces, unit
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.traits import Subject

CHOICES: Final = ("none", "beanie", "cap")
ATTRIBUTES: Final = {
    "hat": Attribute(
        "hat worn",
        default="none",
        choices=CHOICES,
        distribution=Choice(weights={"none": 0.945, "beanie": 0.03, "cap": 0.025}),
    )
}

#: The plane of each hat's lower edge, y = height + slope * z in cm, by CHOICES; without a hat it lies above the head.
EDGES: Final = ((99.0, 0.0), (2.7, 0.3), (3.9, 0.2))
HAIR_UNDER_HAT_CM: Final = 0.25  # how thick hair is pressed under a hat

ROWS, COLUMNS = 14, 72
VISOR_ROWS, VISOR_COLUMNS = 6, 25
VISOR_LENGTH: Final = 6.3
VISOR_THICKNESS: Final = 0.15
VISOR_HALF_DEG: Final = 58.0

#: Linear RGB of cloth: black, charcoal, navy, grey, wine, olive, cream, mustard, blue.
CLOTHS: Final = (
    (0.015, 0.015, 0.016),
    (0.05, 0.05, 0.055),
    (0.02, 0.03, 0.08),
    (0.2, 0.2, 0.21),
    (0.13, 0.02, 0.03),
    (0.08, 0.085, 0.04),
    (0.5, 0.45, 0.36),
    (0.4, 0.22, 0.04),
    (0.06, 0.13, 0.3),
)


@dataclass(frozen=True)
class HatEdge:
    """The plane below which hair comes out from under the hat: y = height + slope * z."""

    height: Tensor  # float32 (B, 1), cm
    slope: Tensor  # float32 (B, 1)


def hat_edge(subject: Subject) -> HatEdge:
    """The edge of the hat of each picture; far above the head where there is none."""
    row = torch.tensor(EDGES, device=subject.key.device)[subject.attributes["hat"]]
    return HatEdge(row[:, :1], row[:, 1:])


class Hats:
    """Hats fitted to placed heads."""

    def __init__(self, face: Face) -> None:
        self._hats = [_Crown(face, kind) for kind in (1, 2)]
        self._visor = _Visor(face)

    def surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        """The hats of B pictures; nothing when nobody wears any."""
        worn = subject.attributes["hat"]
        surfaces: list[Surface] = []
        if worn.device.type == "cpu" and not bool((worn > 0).any()):
            return surfaces
        cloth = _cloth(subject)
        for kind, hat in enumerate(self._hats, start=1):
            present = worn == kind
            if worn.device.type == "cpu" and not bool(present.any()):
                continue
            surfaces.append(hat.surface(placed, cloth, present))
            if CHOICES[kind] == "cap":
                surfaces.append(self._visor.surface(placed, cloth, present))
        return surfaces


def _cloth(subject: Subject) -> Tensor:
    """Two colours of each picture's hat: (B, 2, 3)."""
    u = uniforms(subject.key, noise_index(subject.key, "hat"), 2).float()
    colours = torch.tensor(CLOTHS, device=u.device)
    first, second = ((u[:, k] * len(CLOTHS)).long().clamp(max=len(CLOTHS) - 1) for k in (0, 1))
    mostly_plain = torch.where((u[:, 1] * 7.0).frac() < 0.6, first, second)
    return torch.stack((colours[first], colours[mostly_plain]), 1)


class _Crown:
    """The part of a hat that covers the skull."""

    def __init__(self, face: Face, kind: int) -> None:
        height, slope = EDGES[kind]
        turn = torch.arange(COLUMNS, dtype=torch.float64) * (2 * math.pi / (COLUMNS - 1)) - math.pi
        x, z = turn.sin() * 7.8, turn.cos() * 9.3 + CENTRE[2]
        rim = unit(torch.stack((x, height + slope * z - CENTRE[1], z - CENTRE[2]), -1))
        share = torch.linspace(0, 1, ROWS, dtype=torch.float64)[:, None, None]
        top = torch.tensor((0.0, 1.0, -0.1), dtype=torch.float64)
        lean = (0.5 * math.pi * share).sin()  # rows lie densest near the rim
        direction = unit(rim * (0.5 * math.pi * share).cos() + top * lean).view(-1, 3)
        self._direction = direction.float().to(face.canonical.device)
        self._vertex = nearest_vertices(face, direction)
        up = share.expand(ROWS, COLUMNS, 1).reshape(-1)
        around = turn[None].expand(ROWS, COLUMNS).reshape(-1)
        knit = CHOICES[kind] == "beanie"
        cuff = 0.5 * (1 - ((up - 0.36) / 0.03).tanh())  # the turned-up edge of a knitted cap
        gap = 0.5 + (
            0.3 * cuff + 0.9 * (up * math.pi / 2).sin() ** 2 if knit else 0.25 + 0.6 * (up * math.pi / 2).sin()
        )
        ribs = 1 + (0.16 * (around * 44).sin() * (1 - up) if knit else 0.0 * around)
        hem = 1 - 0.45 * (-(((up - (0.42 if knit else 0.06)) / 0.035) ** 2)).exp()
        self._gap = gap.float().to(face.canonical.device)
        self._shade = (ribs * (0.85 if knit else 1.0) * hem).float().to(face.canonical.device)
        self._second = (cuff if knit else torch.zeros_like(up)).float().to(face.canonical.device)
        self._faces = grid_faces(ROWS, COLUMNS).to(face.canonical.device)

    def surface(self, placed: PlacedFace, cloth: Tensor, present: Tensor) -> Surface:
        centre = torch.tensor(CENTRE, device=cloth.device)
        x, y, z = (placed.positions[:, self._vertex] - centre).unbind(-1)
        radius = (x * x + y * y + z * z).sqrt() + self._gap
        positions = centre + self._direction * _smoothed(radius)[..., None]
        ones = torch.ones_like(radius)
        albedo = cloth[:, :1] + (cloth[:, 1:] - cloth[:, :1]) * self._second[:, None]
        return Surface(
            self._faces,
            positions,
            _grid_normals(positions, ROWS, COLUMNS),
            (albedo * self._shade[:, None]).expand_as(positions),
            ones * 0.12,
            ones * 10.0,
            ones * self._shade.clamp(0.4, 1.0),
            softness=0.2,
            present=present,
        )


class _Visor:
    """The peak of a cap."""

    def __init__(self, face: Face) -> None:
        height, slope = EDGES[CHOICES.index("cap")]
        turn = torch.linspace(-VISOR_HALF_DEG, VISOR_HALF_DEG, VISOR_COLUMNS, dtype=torch.float64) * (math.pi / 180)
        x, z = turn.sin() * 7.8, turn.cos() * 9.3 + CENTRE[2]
        direction = unit(torch.stack((x, height + slope * z - CENTRE[1], z - CENTRE[2]), -1))
        device = face.canonical.device
        self._direction = direction.float().to(device)
        self._vertex = nearest_vertices(face, direction)
        across = (turn / turn.max()).float().to(device)
        out = torch.linspace(0, 1, VISOR_ROWS).to(device)[:, None]
        round_front = (1 - across**2).clamp(min=0).sqrt()
        reach = VISOR_LENGTH * out * round_front
        drop = -0.28 * reach - 0.9 * across * across * out - 0.02 * reach * reach
        self._offset = torch.stack((0.1 * across * reach, drop + 0.25, reach + 0 * across), -1).view(-1, 3)
        faces = grid_faces(VISOR_ROWS, VISOR_COLUMNS)
        self._faces = torch.cat((faces, faces + VISOR_ROWS * VISOR_COLUMNS)).to(device)

    def surface(self, placed: PlacedFace, cloth: Tensor, present: Tensor) -> Surface:
        centre = torch.tensor(CENTRE, device=cloth.device)
        x, y, z = (placed.positions[:, self._vertex] - centre).unbind(-1)
        rim = centre + self._direction * (_smoothed((x * x + y * y + z * z).sqrt()) + 0.55)[..., None]
        upper = rim.repeat(1, VISOR_ROWS, 1) + self._offset
        normals = _grid_normals(upper, VISOR_ROWS, VISOR_COLUMNS)
        positions = torch.cat((upper, upper - normals * VISOR_THICKNESS), 1)
        ones = torch.ones_like(positions[..., 0])
        below = torch.cat((ones[:, : upper.shape[1]], ones[:, upper.shape[1] :] * 0.5), 1)
        return Surface(
            self._faces,
            positions,
            torch.cat((normals, -normals), 1),
            cloth[:, 1:].expand_as(positions) * 0.9,
            ones * 0.2,
            ones * 12.0,
            below,
            softness=0.1,
            present=present,
        )


def _smoothed(radius: Tensor) -> Tensor:
    """Distances (B, V) averaged with those beside them: cloth spans small dents."""
    before, after = radius.roll(1, 1), radius.roll(-1, 1)
    return torch.maximum(radius, 0.5 * (before + after))


def _grid_normals(positions: Tensor, rows: int, columns: int) -> Tensor:
    """Outward normals of a placed grid (B, rows * columns, 3)."""
    grid = positions.view(len(positions), rows, columns, 3)
    along = torch.cat((grid[:, :, 1:], grid[:, :, -1:]), 2) - torch.cat((grid[:, :, :1], grid[:, :, :-1]), 2)
    up = torch.cat((grid[:, 1:], grid[:, -1:]), 1) - torch.cat((grid[:, :1], grid[:, :-1]), 1)
    return unit(cross(along, up)).flatten(1, 2)
