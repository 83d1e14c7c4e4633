"""The passes over one tile of cosines, compiled: each reads the tile once while it lies in the processor's cache.

A tile is the float32 product of two blocks of unit vectors. What float32 cannot decide is decided here by the same
float64 sum, dimension by dimension, as in `samplers.sphere.inner`, so that no result depends on how a tile was
multiplied. The interpreter lock is released. This module does not know where tiles lie, nor who works on others; what
it computes is told in `samplers.tile_torch`, which does the same on any device. Read that one first.

Shapes: a tile has m rows and n columns, of blocks a (m, D) and b (n, D); I vectors in all.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from samplers.sphere import COSINE_ROUNDING, product

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]

_NOTHING = np.float32(-2.0)  # below every cosine: stands where there is no pair
_HIDDEN = np.float32(-1.5)  # between the two
#: Where fewer pairs of a tile are near, adding them one by one is faster than a product of the whole tile.
SPARSE_SHARE = 0.04
_LANES = 4  # interleaved counters: two equal bins in a row need not wait for each other
#: Without NaN and signed zeros, maxima are taken many at a time.
_NO_NAN: Any = {"nnan", "nsz"}


def hide_lower(tile: Tensor) -> None:
    """Of a tile on the diagonal, leave only the pairs above it."""
    _hide_lower(tile.numpy())


def find_nearest(
    a: Tensor, b: Tensor, tile: Tensor, first: tuple[int, int], floor: Tensor, best: Tensor, nearest: Tensor
) -> None:
    """As `tile_torch.find_nearest`."""
    doubt = 2 * COSINE_ROUNDING
    _find_nearest(a.numpy(), b.numpy(), tile.numpy(), first, doubt, floor.numpy(), best.numpy(), nearest.numpy())


def count_cosines(a: Tensor, b: Tensor, tile: Tensor, upper: bool, counts: Tensor) -> None:
    """As `tile_torch.count_cosines`."""
    _count_cosines(a.numpy(), b.numpy(), tile.numpy(), upper, COSINE_ROUNDING, counts.numpy())


def mark_too_close(a: Tensor, b: Tensor, tile: Tensor, limit: float, refused: Tensor) -> None:
    """As `tile_torch.mark_too_close`."""
    _mark_too_close(a.numpy(), b.numpy(), tile.numpy(), limit, COSINE_ROUNDING, refused.numpy())


def push_apart(tile: Tensor, columns: Tensor, target: float, push: Tensor) -> float:
    """As `tile_torch.push_apart`."""
    largest, near = _hinge(tile.numpy(), target)
    if near > SPARSE_SHARE * tile.numel():
        push += product(tile, columns.T.contiguous())
    elif near:
        _push_few(tile.numpy(), columns.numpy(), push.numpy())
    return float(largest)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _inner(a: Floats, b: Floats) -> float:
    """The inner product in float64, dimension by dimension, each product rounded before it is added."""
    total = 0.0
    for d in range(len(a)):
        total += np.float64(a[d]) * np.float64(b[d])
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _hide_lower(tile: Floats) -> None:
    """Of a tile on the diagonal, leave only the pairs above it."""
    for i in range(tile.shape[0]):
        tile[i, : min(i + 1, tile.shape[1])] = _NOTHING


@njit(cache=True, nogil=True, fastmath=_NO_NAN)  # type: ignore[untyped-decorator]
def _raise_maxima(tile: Floats, row: Floats, column: Floats) -> None:
    """Raise running maxima of rows (m,) and columns (n,) to those of the tile."""
    for i in range(tile.shape[0]):
        best = row[i]
        for j in range(tile.shape[1]):
            value = tile[i, j]
            best = max(best, value)
            column[j] = max(column[j], value)
        row[i] = best


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _any_at_least(values: Floats, least: np.float32, column_least: Floats) -> bool:
    found = 0
    for j in range(len(values)):
        found += (values[j] >= least) | (values[j] >= column_least[j])
    return found > 0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _meet(best: Doubles, nearest: Longs, one: int, other: int, cosine: float) -> None:
    """Let `other` be the nearest of `one` if it is nearer; of equals the one with the lower number."""
    if cosine > best[one] or (cosine == best[one] and other < nearest[one]):
        best[one], nearest[one] = cosine, other


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find_nearest(
    a: Floats,
    b: Floats,
    tile: Floats,
    first: tuple[int, int],
    doubt: float,
    floor: Floats,
    best: Doubles,
    nearest: Longs,
) -> None:
    """Bring the nearest neighbours of all vectors (I,) up to date with a tile whose corner is `first`.

    `floor` float32 (I,) holds for each vector a cosine that is known to occur: what lies more than `doubt` below it
    cannot be the nearest.
    """
    m, n = tile.shape
    row, column = floor[first[0] : first[0] + m].copy(), floor[first[1] : first[1] + n].copy()
    _raise_maxima(tile, row, column)
    row_least = np.maximum(row - np.float32(doubt), _HIDDEN)
    column_least = np.maximum(column - np.float32(doubt), _HIDDEN)
    for i in range(m):
        if not _any_at_least(tile[i], row_least[i], column_least):
            continue
        for j in range(n):
            if tile[i, j] >= row_least[i] or tile[i, j] >= column_least[j]:
                cosine = _inner(a[i], b[j])
                _meet(best, nearest, first[0] + i, first[1] + j, cosine)
                _meet(best, nearest, first[1] + j, first[0] + i, cosine)
    for i in range(m):
        floor[first[0] + i] = max(floor[first[0] + i], row[i])
    for j in range(n):
        floor[first[1] + j] = max(floor[first[1] + j], column[j])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_cosines(a: Floats, b: Floats, tile: Floats, upper: bool, doubt: float, counts: Longs) -> None:
    """Add the tile's pairs to a histogram over [-1, 1]; `upper`: only those above the diagonal.

    The bins are centred on multiples of 2 / (bins - 1), so that -1, 0 and 1 lie in the middle of theirs. A cosine
    within `doubt` of an edge is computed again.
    """
    bins = len(counts)
    scale = np.float32((bins - 1) / 2)
    middle = np.float32(bins / 2)
    margin = np.float32(doubt) * scale
    lanes = np.zeros((_LANES, bins), dtype=np.int64)
    for i in range(tile.shape[0]):
        for j in range(i + 1 if upper else 0, tile.shape[1]):
            place = tile[i, j] * scale + middle
            k = int(place)
            rest = place - np.float32(k)
            if rest < margin or rest > np.float32(1) - margin:
                k = int(_inner(a[i], b[j]) * scale + middle)
            lanes[j % _LANES, min(max(k, 0), bins - 1)] += 1
    for lane in lanes:
        counts += lane


@njit(cache=True, nogil=True, fastmath=_NO_NAN)  # type: ignore[untyped-decorator]
def _largest(values: Floats) -> np.float32:
    best: np.float32 = values[0]
    for j in range(len(values)):
        best = max(best, values[j])
    return best


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mark_too_close(a: Floats, b: Floats, tile: Floats, limit: float, doubt: float, refused: Flags) -> None:
    """Mark the rows (m,) that have a cosine above the limit with any column; those within `doubt` of it exactly."""
    for i in range(tile.shape[0]):
        if refused[i]:
            continue
        largest = _largest(tile[i])
        if largest > limit + doubt:
            refused[i] = True
        elif largest > limit - doubt:
            for j in range(tile.shape[1]):
                if tile[i, j] > limit - doubt and _inner(a[i], b[j]) > limit:
                    refused[i] = True
                    break


@njit(cache=True, nogil=True, fastmath=_NO_NAN)  # type: ignore[untyped-decorator]
def _hinge(tile: Floats, target: float) -> tuple[np.float32, int]:
    """Turn cosines into how far they exceed the target; returns the largest cosine and how many exceed it."""
    least = np.float32(target)
    largest, near = _NOTHING, 0
    for i in range(tile.shape[0]):
        for j in range(tile.shape[1]):
            value = tile[i, j]
            largest = max(largest, value)
            near += value > least
            tile[i, j] = max(value - least, np.float32(0))
    return largest, near


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _push_few(excess: Floats, columns: Floats, push: Floats) -> None:
    """Add the columns (n, D), weighted by the excess (m, n), to the push (m, D), skipping what is zero."""
    for i in range(excess.shape[0]):
        for j in range(excess.shape[1]):
            weight = excess[i, j]
            if weight > 0:
                for d in range(columns.shape[1]):
                    push[i, d] += weight * columns[j, d]
