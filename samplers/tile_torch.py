"""The passes over one tile of cosines, in plain torch: what `samplers.tile_numba` computes, readable and on any device.

A tile is the float32 product of two blocks of unit vectors. What float32 cannot decide is redone in float64 and in a
fixed order (`samplers.sphere.inner`), so that no result depends on block sizes, threads or device. This module does not
know where tiles lie, nor who works on others.

Shapes: a tile has m rows and n columns, of blocks a (m, D) and b (n, D); I vectors in all.
"""

import torch
from torch import Tensor

from samplers.sphere import inner, rounding

_NOTHING = -2.0  # below every cosine: stands where there is no pair
_HIDDEN = -1.5  # between the two


def hide_lower(tile: Tensor) -> None:
    """Of a tile on the diagonal, leave only the pairs above it."""
    tile.masked_fill_(torch.ones_like(tile, dtype=torch.bool).tril(), _NOTHING)


def find_nearest(
    a: Tensor, b: Tensor, tile: Tensor, first: tuple[int, int], floor: Tensor, best: Tensor, nearest: Tensor
) -> None:
    """Bring the nearest neighbours of all vectors up to date with a tile whose corner is `first`.

    `floor` float32 (I,) holds for each vector a cosine that is known to occur, `best` float64 (I,) and `nearest` int64
    (I,) the nearest so far; all three are changed in place. Of equals the one with the lower number is the nearest.
    """
    rows, columns = (slice(at, at + size) for at, size in zip(first, tile.shape, strict=True))
    row = torch.maximum(floor[rows], tile.amax(1))
    column = torch.maximum(floor[columns], tile.amax(0))
    near = (tile >= (row - 2 * rounding(tile))[:, None]) | (tile >= column - 2 * rounding(tile))
    near &= tile > _HIDDEN
    floor[rows] = torch.maximum(floor[rows], row)
    floor[columns] = torch.maximum(floor[columns], column)
    i, j = near.nonzero().unbind(-1)
    cosine = inner(a[i], b[j])
    one, other = torch.cat((first[0] + i, first[1] + j)), torch.cat((first[1] + j, first[0] + i))
    _meet(best, nearest, one, other, cosine.repeat(2))


def _meet(best: Tensor, nearest: Tensor, one: Tensor, other: Tensor, cosine: Tensor) -> None:
    """Let each `other` be the nearest of its `one` if it is nearer than all else."""
    order = other.argsort(stable=True)
    order = order[cosine[order].argsort(descending=True, stable=True)]
    order = order[one[order].argsort(stable=True)]
    one, other, cosine = one[order], other[order], cosine[order]
    foremost = torch.ones_like(one, dtype=torch.bool)
    foremost[1:] = one[1:] != one[:-1]
    one, other, cosine = one[foremost], other[foremost], cosine[foremost]
    nearer = (cosine > best[one]) | ((cosine == best[one]) & (other < nearest[one]))
    best[one[nearer]], nearest[one[nearer]] = cosine[nearer], other[nearer]


def count_cosines(a: Tensor, b: Tensor, tile: Tensor, upper: bool, counts: Tensor) -> None:
    """Add the tile's pairs to a histogram over [-1, 1], in place; `upper`: only those above the diagonal.

    The bins are centred on multiples of 2 / (bins - 1), so that -1, 0 and 1 lie in the middle of theirs.
    """
    bins = len(counts)
    scale, middle = (bins - 1) / 2, bins / 2
    place = tile * scale + middle
    bin_ = place.long()
    rest = place - bin_
    doubtful = (rest < rounding(tile) * scale) | (rest > 1 - rounding(tile) * scale)
    i, j = doubtful.nonzero().unbind(-1)
    bin_[i, j] = (inner(a[i], b[j]) * scale + middle).long()
    counted = bin_[torch.ones_like(doubtful).triu(1)] if upper else bin_.flatten()
    counts += counted.clamp(0, bins - 1).bincount(minlength=bins)


def mark_too_close(a: Tensor, b: Tensor, tile: Tensor, limit: float, refused: Tensor) -> None:
    """Mark, in `refused` bool (m,), the rows that have a cosine above the limit with any column, exactly."""
    refused |= (tile > limit + rounding(tile)).any(1)
    i, j = ((tile > limit - rounding(tile)) & ~refused[:, None]).nonzero().unbind(-1)
    refused[i[inner(a[i], b[j]) > limit]] = True


def pairs_too_close(a: Tensor, b: Tensor, tile: Tensor, limit: float) -> Tensor:
    """The pairs of the tile with a cosine above the limit, exactly: int64 (pairs, 2), row and column."""
    pairs = (tile > limit - rounding(tile)).nonzero()
    doubtful = tile[pairs[:, 0], pairs[:, 1]] <= limit + rounding(tile)
    i, j = pairs[doubtful].unbind(-1)
    close = torch.ones_like(doubtful)
    close[doubtful] = inner(a[i], b[j]) > limit
    return pairs[close]


def push_apart(tile: Tensor, columns: Tensor, target: float, push: Tensor) -> float:
    """Add to `push` float32 (m, D) the columns (n, D), each weighted by how far its cosine exceeds the target.

    The tile is used up. Returns its largest cosine.
    """
    largest = float(tile.max())
    push += tile.sub_(target).clamp_(min=0) @ columns
    return largest
