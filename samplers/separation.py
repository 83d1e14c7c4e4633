"""Separation: which candidates become identities, and the proof that no two are alike.

The greedy rule, exact: a candidate is kept if and only if its cosine to every identity kept before it is at most the
limit. Blocks of candidates are compared by matrix products; a cosine within rounding of the limit is redone in float64,
so the verdict does not depend on block size, threads or device. The search is bounded: it counts what it accepts and
stops with a forecast when the sphere is full. This module does not know where candidates come from.

Shapes: I identities kept, C candidates in a block, D dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.errors import SaturationError
from samplers.sphere import COSINE_ROUNDING, inner

BLOCK = 1024
#: Candidates drawn per identity wanted before the search gives up.
BUDGET_PER_IDENTITY = 50
#: The search also gives up after this many candidates in a row were all refused.
BARREN_CANDIDATES = 20_000


@dataclass(frozen=True)
class Separated:
    """The kept vectors, in the order of their candidates, and how many candidates it took."""

    vectors: Tensor  # float32 (I, D)
    candidates: int


def _too_close(candidates: Tensor, others: Tensor, limit: float) -> Tensor:
    """Whether candidates (C, D) exceed the limit to others (I, D), pair by pair: bool (C, I), exact."""
    cosines = candidates @ others.T
    close = cosines > limit
    doubtful = ((cosines - limit).abs() <= COSINE_ROUNDING).nonzero()
    if len(doubtful):
        row, column = doubtful.unbind(-1)
        close[row, column] = inner(candidates[row], others[column]) > limit
    return close


def _sift(candidates: Tensor, limit: float) -> list[int]:
    """The greedy rule inside one block (C, D): positions kept, in order."""
    close = _too_close(candidates, candidates, limit).numpy()
    kept: list[int] = []
    for position in range(len(candidates)):
        if not close[position, kept].any():
            kept.append(position)
    return kept


def separate(draw: Callable[[int, int], Tensor], count: int, max_cosine: float) -> Separated:
    """Keep the first `count` candidates that the greedy rule allows.

    `draw(first, n)` gives candidates float32 (n, D) of unit length, the same for any split. Raises SaturationError,
    after a bounded number of candidates, if the sphere fills up before; the message says how many fit.
    """
    kept = draw(0, 0)
    first, last_success = 0, 0
    while len(kept) < count:
        candidates = draw(first, BLOCK)
        if len(kept):
            free = ~_too_close(candidates, kept, max_cosine).any(1)
            positions = free.nonzero()[:, 0]
        else:
            positions = torch.arange(BLOCK)
        fresh = positions[_sift(candidates[positions], max_cosine)][: count - len(kept)]
        kept = torch.cat((kept, candidates[fresh]))
        if len(fresh):
            last_success = first + int(fresh[-1]) + 1
        first += BLOCK
        hopeless = first - last_success >= BARREN_CANDIDATES or first >= BUDGET_PER_IDENTITY * max(count, BLOCK)
        if len(kept) < count and hopeless:
            raise SaturationError(
                f"only {len(kept)} of the {count} identities fit at max_cosine {max_cosine:g} "
                f"in {kept.shape[1]} dimensions (after {first} candidates); ask for at most {len(kept)}, or raise identities.separation.max_cosine"
            )
    return Separated(kept, last_success)


@dataclass(frozen=True)
class Neighbours:
    """The nearest identity of each identity. With a single identity there is none: position -1, cosine -1."""

    nearest: Tensor  # int64 (I,)
    cosine: Tensor  # float64 (I,)


def nearest_neighbours(vectors: Tensor) -> Neighbours:
    """The exact nearest neighbour of every row of (I, D), by cosine; of equals the one with the lower number.

    Every pair is compared; per row, all that float32 cannot tell from the nearest are compared again in float64.
    """
    count = len(vectors)
    nearest = torch.full((count,), -1, dtype=torch.int64)
    best = torch.full((count,), -1.0, dtype=torch.float64)
    if count < 2:
        return Neighbours(nearest, best)
    for first in range(0, count, BLOCK):
        rows = torch.arange(first, min(first + BLOCK, count))
        cosines = vectors[rows] @ vectors.T
        cosines[torch.arange(len(rows)), rows] = -2.0
        row, column = (cosines >= cosines.amax(1, keepdim=True) - 2 * COSINE_ROUNDING).nonzero().unbind(-1)
        exact = inner(vectors[rows[row]], vectors[column])
        # Written from the worst to the best (and from the last to the first among equals): the best stays.
        for k in sorted(range(len(row)), key=lambda k: (float(exact[k]), -int(column[k]))):
            nearest[rows[row[k]]], best[rows[row[k]]] = column[k], exact[k]
    return Neighbours(nearest, best)


@dataclass(frozen=True)
class Certificate:
    """The proof of separation: the largest cosine over all pairs, and the pair that has it."""

    count: int
    dimension: int
    max_cosine: float | None  # None with fewer than two identities
    pair: tuple[int, int] | None
    limit: float
    method: str
    pairs_compared: int

    @property
    def holds(self) -> bool:
        """Whether no pair exceeds the limit."""
        return self.max_cosine is None or self.max_cosine <= self.limit


def certify(vectors: Tensor, neighbours: Neighbours, limit: float) -> Certificate:
    """The certificate of vectors (I, D), from their exact nearest neighbours."""
    count, dimension = vectors.shape
    largest, pair = None, None
    if count > 1:
        one = int((neighbours.cosine == neighbours.cosine.max()).nonzero()[0, 0])
        largest, pair = float(neighbours.cosine[one]), (one, int(neighbours.nearest[one]))
    method = "every pair in float32 blocks, the leading pairs again in float64 in a fixed order"
    return Certificate(count, dimension, largest, pair, limit, method, count * (count - 1) // 2)
