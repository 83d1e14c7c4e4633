"""How far the head's surface lies from its centre in any direction: what keeps hair and hats outside the head.

A square map of directions (Lambert's azimuthal equal-area projection about the top of the head, which needs only a
square root), each cell tied at construction to the nearest vertex of the face mesh; placing a head then is one
gather. This module does not know what asks.

Shapes: B pictures, S queries.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.shape.face import Face

CENTRE: Final = (0.0, 1.0, -0.6)  # within the skull; every ray from here meets the surface once
CELLS: Final = 64
HALF: Final = 0.5 * (CELLS - 1)
HULL_ABOVE_Y: Final = -11.0  # below is the neck
MARGIN: Final = 2.5  # map rows searched beside a direction's own


def map_place(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Directions as components (3, ...), unit, to continuous map coordinates (column, row) in [0, CELLS - 1]."""
    x, y, z = direction
    stretch = (0.5 / (1.0 + y).clamp(min=1e-4)).sqrt() * HALF
    return (x * stretch + HALF).clamp(0, CELLS - 1), (z * stretch + HALF).clamp(0, CELLS - 1)


def map_directions() -> Tensor:
    """The direction of each cell: float64 (CELLS^2, 3); cells outside the disc repeat its rim."""
    axis = torch.linspace(-1, 1, CELLS, dtype=torch.float64)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    radius = (column * column + row * row).sqrt()
    shrink = (0.999 / radius.clamp(min=1e-9)).clamp(max=1)
    u, v = (column * shrink).flatten(), (row * shrink).flatten()
    squared = u * u + v * v
    side = 2 * (1 - squared).clamp(min=0).sqrt()
    return torch.stack((u * side, 1 - 2 * squared, v * side), -1)


def nearest_vertices(face: Face, directions: Tensor) -> Tensor:
    """The vertex of the head's hull (no ears, no neck) nearest to each direction (n, 3) from the centre: int64 (n,)."""
    hull = face.canonical[:, 1] > HULL_ABOVE_Y
    hull[face.ears] = False
    usable = hull.nonzero()[:, 0]
    offset = face.canonical[usable].double().cpu() - torch.tensor(CENTRE, dtype=torch.float64)
    x, y, z = offset.unbind(-1)
    away = offset / (x * x + y * y + z * z).sqrt()[:, None]
    _, row = map_place(away.t())
    _, wanted = map_place(directions.t())
    nearest = torch.zeros(len(directions), dtype=torch.int64)
    for start in range(CELLS):
        asking = ((wanted >= start) & (wanted < start + 1)).nonzero()[:, 0]
        near = ((row > start - MARGIN) & (row < start + 1 + MARGIN)).nonzero()[:, 0]
        ahead, candidates = directions[asking, None], away[near]
        likeness = sum(ahead[..., k] * candidates[:, k] for k in range(3))
        nearest[asking] = near[torch.as_tensor(likeness).argmax(1)]
    return usable[nearest.to(usable.device)]


@dataclass(frozen=True)
class PlacedSkull:
    """The heads of B pictures as distances from the centre, in cm."""

    radius: Tensor  # float32 (B, CELLS^2)

    def surface_radius(self, direction: Tensor) -> Tensor:
        """Distance of the surface in directions (3, B, S), unit: (B, S)."""
        stretch = (0.5 * HALF * HALF / (1.0001 + direction[1])).sqrt()
        place = (direction[::2] * stretch + (HALF + 0.5)).clamp(0.5, CELLS - 0.5).long()
        return self.radius.gather(1, place[1] * CELLS + place[0])


class SkullMap:
    """Ties map cells to vertices of the mean head."""

    def __init__(self, face: Face) -> None:
        self._vertex = nearest_vertices(face, map_directions())
        self._centre = torch.tensor(CENTRE, device=face.canonical.device)

    def place(self, positions: Tensor) -> PlacedSkull:
        """The map for placed vertices (B, N, 3)."""
        x, y, z = (positions[:, self._vertex] - self._centre).unbind(-1)
        return PlacedSkull((x * x + y * y + z * z).sqrt())
