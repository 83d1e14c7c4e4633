"""Soft regions of the face, worked out once per vertex: round spots, drawn lines and noise, in canonical centimetres.

Everything here runs when a painter is built; a picture only multiplies the resulting tables. Noise is a function of
position, not of the vertex, so that a finer mesh shows the same skin. This module does not know what a region is for.

Shapes: N vertices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers import random

_TABLE_BITS = 12
_LATTICE_PRIMES = (73856093, 19349663, 83492791)


@dataclass(frozen=True)
class Spot:
    """A soft ellipse seen from the front: 1 at its centre, 1/e at its radii. Mirrored: on both sides of the face."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    mirrored: bool = True


@dataclass(frozen=True)
class Stroke:
    """A soft line through points (x, y), thinner towards its ends; mirrored: on both sides of the midline."""

    points: tuple[tuple[float, float], ...]
    width: float  # half width at 1/e, cm
    strength: float = 1.0
    mirrored: bool = True


def smooth_step(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """0 below low, 1 above high, smooth between (any shapes that fit)."""
    t = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def front(canonical: Tensor) -> Tensor:
    """1 on the face, 0 behind the temples: (N,). Spots and strokes do not shine through to the back of the head."""
    return smooth_step(0.5, 3.5, canonical[:, 2])


def spot_mask(canonical: Tensor, spot: Spot) -> Tensor:
    """How much of a spot lies on each vertex (N, 3): (N,) in [0, 1]."""
    x = canonical[:, 0].abs() if spot.mirrored else canonical[:, 0]
    u, v = x - spot.x, canonical[:, 1] - spot.y
    return torch.exp(-(u / spot.radius_x).square() - (v / spot.radius_y).square()) * front(canonical)


def spots_mask(canonical: Tensor, spots: Sequence[Spot]) -> Tensor:
    """The strongest of several spots at each vertex: (N,)."""
    return torch.stack([spot_mask(canonical, spot) for spot in spots]).amax(0)


def stroke_mask(canonical: Tensor, stroke: Stroke) -> Tensor:
    """How much of a stroke lies on each vertex (N, 3): (N,)."""
    x = canonical[:, 0].abs() if stroke.mirrored else canonical[:, 0]
    y = canonical[:, 1]
    best = torch.zeros_like(x)
    last = len(stroke.points) - 1
    for i, ((ax, ay), (bx, by)) in enumerate(zip(stroke.points, stroke.points[1:], strict=False)):
        dx, dy = bx - ax, by - ay
        along = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0)
        distance2 = (x - ax - along * dx).square() + (y - ay - along * dy).square()
        share = (i + along) / last
        width = stroke.width * (0.6 + 2.4 * share * (1.0 - share))
        best = torch.maximum(best, torch.exp(-distance2 / (width * width)) * (0.5 + 2.0 * share * (1.0 - share)))
    return best * stroke.strength * front(canonical)


def strokes_mask(canonical: Tensor, strokes: Sequence[Stroke]) -> Tensor:
    """The strongest of several strokes at each vertex: (N,)."""
    return torch.stack([stroke_mask(canonical, stroke) for stroke in strokes]).amax(0)


def within(canonical: Tensor, x: tuple[float, float], y: tuple[float, float], mirrored: bool = True) -> Tensor:
    """Vertices of the front with x (|x| if mirrored) and y inside the ranges: indices (n,)."""
    across = canonical[:, 0].abs() if mirrored else canonical[:, 0]
    up, depth = canonical[:, 1], canonical[:, 2]
    inside = (across > x[0]) & (across < x[1]) & (up > y[0]) & (up < y[1]) & (depth > 1.0)
    return inside.nonzero()[:, 0]


def noise(points: Tensor, spacing: float | tuple[float, float, float], purpose: str) -> Tensor:
    """Smooth noise of about unit variance at points (N, 3), from a random lattice of the given spacing (cm): (N,).

    It is worked out on the CPU, so that every device has the same skin.
    """
    key, index = random.key_of(0, f"lattice/{purpose}"), torch.zeros(1, 3, dtype=torch.int64)
    table = random.normals(key, index, 1 << _TABLE_BITS)
    steps = torch.as_tensor(spacing, dtype=torch.float64)
    place = points.double().cpu() / steps
    cell = place.floor()
    weight = place - cell
    weight = weight * weight * (3.0 - 2.0 * weight)
    total = torch.zeros(len(points), dtype=torch.float64)
    square = torch.zeros_like(total)
    for corner in range(8):
        offset = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2], dtype=torch.float64)
        share = torch.where(offset > 0, weight, 1.0 - weight)
        share = share[:, 0] * share[:, 1] * share[:, 2]
        total = total + share * table[0, _lattice_hash(cell + offset)]
        square = square + share * share
    return (total / square.sqrt()).float().to(points.device)


def _lattice_hash(cell: Tensor) -> Tensor:
    """A place in the table for each lattice corner (N, 3): int64 (N,)."""
    whole = cell.long()
    mixed = whole[:, 0] * _LATTICE_PRIMES[0] ^ whole[:, 1] * _LATTICE_PRIMES[1] ^ whole[:, 2] * _LATTICE_PRIMES[2]
    return (mixed ^ (mixed >> 15)) & ((1 << _TABLE_BITS) - 1)
