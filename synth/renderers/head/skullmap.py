"""How far the head's surface lies from its centre in any direction: what keeps hair and hats outside the head.

A square map of directions (Lambert's azimuthal equal-area projection about the top of the head, which needs only a square root), each
cell tied at construction to the nearest vertex of the face mesh; placing a head then is one gather. This module does not
know what asks.

Shapes: B pictures, S queries.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.face import Face

CENTRE: Final = (0.0, 1.0, -0.6)  # within the skull; every ray from here meets the surface once
CELLS: Final = 64
HULL_ABOVE_Y: Final = -11.0  # below is the neck
CHUNK: Final = 256  # cells tied at once: bounds memory


def map_place(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Directions as components (3, ...), unit, to continuous map coordinates (column, row) in [0, CELLS - 1]."""
    x, y, z = direction
    stretch = (0.5 / (1.0 + y).clamp(min=1e-4)).sqrt() * (0.5 * (CELLS - 1))
    middle = 0.5 * (CELLS - 1)
    return (x * stretch + middle).clamp(0, CELLS - 1), (z * stretch + middle).clamp(0, CELLS - 1)


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
    """The vertex of the mean head's hull (no ears, no neck) nearest to each direction (n, 3) from the centre: int64 (n,)."""
    hull = face.canonical[:, 1] > HULL_ABOVE_Y
    hull[face.ears] = False
    usable = hull.nonzero()[:, 0]
    offset = face.canonical[usable].double().cpu() - torch.tensor(CENTRE, dtype=torch.float64)
    x, y, z = offset.unbind(-1)
    away = offset / (x * x + y * y + z * z).sqrt()[:, None]
    nearest = []
    for start in range(0, len(directions), CHUNK):
        ahead = directions[start : start + CHUNK, None]
        nearest.append((ahead[..., 0] * away[:, 0] + ahead[..., 1] * away[:, 1] + ahead[..., 2] * away[:, 2]).argmax(1))
    return usable[torch.cat(nearest).to(usable.device)]


@dataclass(frozen=True)
class PlacedSkull:
    """The heads of B pictures as distances from the centre, in cm."""

    radius: Tensor  # float32 (B, CELLS^2)

    def surface_radius(self, direction: Tensor) -> Tensor:
        """Distance of the surface in directions (3, B, S), unit: (B, S)."""
        column, row = map_place(direction)
        cell = (row + 0.5).long() * CELLS + (column + 0.5).long()
        return self.radius.gather(1, cell)


class SkullMap:
    """Ties map cells to vertices of the mean head."""

    def __init__(self, face: Face) -> None:
        self._vertex = nearest_vertices(face, map_directions())
        self._centre = torch.tensor(CENTRE, device=face.canonical.device)

    def place(self, positions: Tensor) -> PlacedSkull:
        """The map for placed vertices (B, N, 3)."""
        x, y, z = (positions[:, self._vertex] - self._centre).unbind(-1)
        return PlacedSkull((x * x + y * y + z * z).sqrt())
