"""All pairs of many vectors, each compared exactly once: nearest neighbours, and the histogram of all cosines.

The upper triangle of the matrix of cosines is cut into tiles of fixed size, a row of tiles is one task, and no more
than one tile per hand is ever in memory. Float32 searches, float64 in a fixed order decides (`samplers.tile_torch`), so
the result is exact: the same for any tiles, hands and devices. This module does not know what the vectors stand for.

Shapes: I vectors, D dimensions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from samplers import tile_numba, tile_torch
from samplers.hands import Hands, Held
from samplers.sphere import product

#: Rows and columns of a tile: 4 MB of cosines, which stay in the processor's cache between passes.
TILE = 1024
#: Bins of the histogram, centred on multiples of 0.01 from -1 to 1.
BINS = 201
_NOTHING = -2.0  # below every cosine


def passes(vectors: Tensor) -> ModuleType:
    """The passes over tiles for the device on which these vectors lie."""
    return tile_numba if vectors.device.type == "cpu" else tile_torch


@dataclass(frozen=True)
class Pairs:
    """What the comparison of all pairs tells."""

    nearest: Tensor  # int64 (I,), the nearest other vector, of equals the first; -1 where there is no other
    cosine: Tensor  # float64 (I,), to it; -1 where there is no other
    histogram: Tensor | None  # int64 (BINS,), pairs by cosine; None where it was not asked for


def compare_all(
    vectors: Tensor, hands: Hands, *, histogram: bool, tell: Callable[[float], None] = lambda share: None
) -> Pairs:
    """Compare all pairs of unit vectors (I, D) exactly. `tell` hears what share of the pairs is done."""
    count = len(vectors)
    best = torch.full((count,), _NOTHING, dtype=torch.float64)
    nearest = torch.full((count,), -1, dtype=torch.int64)
    counts = torch.zeros(BINS, dtype=torch.int64)
    for found in hands.run(_compare_row, _tasks(hands.hold(vectors), best, histogram)):
        here = slice(found.first, count)
        nearer = found.best > best[here]
        nearer |= (found.best == best[here]) & (found.nearest < nearest[here])
        best[here] = torch.where(nearer, found.best, best[here])
        nearest[here] = torch.where(nearer, found.nearest, nearest[here])
        if found.counts is not None:
            counts += found.counts
        left = max(count - found.first - TILE, 0) / count
        tell(1 - left * left)
    return Pairs(nearest, best.clamp(min=-1.0) if count < 2 else best, counts if histogram else None)


def _tasks(vectors: Held, best: Tensor, histogram: bool) -> Iterator[tuple[Any, ...]]:
    """A task for every row of tiles, the longest first. What is known so far spares later tasks second looks."""
    for first in range(0, len(best), TILE):
        yield vectors, first, best[first:].float(), histogram


@dataclass(frozen=True)
class _Row:
    """What one row of tiles tells of the vectors from `first` on."""

    first: int
    best: Tensor
    nearest: Tensor
    counts: Tensor | None


def _compare_row(vectors: Tensor, first: int, floor: Tensor, histogram: bool) -> _Row:
    """Compare the vectors first .. first + TILE - 1 with each other and with all that follow."""
    work, device = passes(vectors), vectors.device
    vectors = vectors[first:]
    floor = floor.to(device, copy=True)
    best = torch.full((len(vectors),), _NOTHING, dtype=torch.float64, device=device)
    nearest = torch.full((len(vectors),), -1, dtype=torch.int64, device=device)
    counts = torch.zeros(BINS, dtype=torch.int64, device=device)
    rows = vectors[:TILE]
    for at in range(0, len(vectors), TILE):
        columns = vectors[at : at + TILE]
        tile = product(rows, columns)
        if at == 0:
            work.hide_lower(tile)
        work.find_nearest(rows, columns, tile, (0, at), floor, best, nearest)
        if histogram:
            work.count_cosines(rows, columns, tile, at == 0, counts)
    nearest += torch.where(nearest >= 0, first, 0)
    return _Row(first, best.cpu(), nearest.cpu(), counts.cpu() if histogram else None)
