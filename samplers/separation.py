"""Separation: which candidates become identities, and the proof that no two are alike.

The greedy rule, exact: a candidate is kept if and only if its cosine to every identity kept before it is at most the
limit. Blocks of candidates are compared by matrix products; a cosine within rounding of the limit is redone in float64,
so the verdict does not depend on block size, threads or device. The search is bounded: it counts what it accepts and
stops with a forecast when the sphere is full. This module does not know where candidates come from.

Shapes: I identities kept, C candidates in a block, D dimensions.
"""

import math
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
#: Candidates looked at to forecast, before a large search begins, whether it can end well.
FORECAST_SAMPLE = 4096
_ADVICE = "ask for fewer, or raise identities.separation.max_cosine"


@dataclass(frozen=True)
class Separated:
    """The kept vectors, in the order of their candidates, and how many candidates it took."""

    vectors: Tensor  # float32 (I, D)
    candidates: int


def _too_close(candidates: Tensor, others: Tensor, limit: float) -> Tensor:
    """Whether candidates (C, D) exceed the limit to others (I, D), pair by pair: bool (C, I), exact."""
    cosines = candidates @ others.T
    close = cosines > limit
    doubtful = (cosines > limit - COSINE_ROUNDING) & (cosines <= limit + COSINE_ROUNDING)
    row, column = doubtful.nonzero().unbind(-1)
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


def forecast_candidates(candidates: Tensor, count: int, limit: float) -> tuple[float, Callable[[float], int]]:
    """How many candidates `count` identities take, and how many identities fit a number of candidates.

    From the share q of pairs among `candidates` (C, D) that exceed the limit. A new candidate is free of k identities
    with a chance of about exp(-q k); identities, being apart, cover more, so the forecast is on the hopeful side.
    """
    total = len(candidates)
    close = int(_too_close(candidates, candidates, limit).fill_diagonal_(False).sum())
    share = close / (total * (total - 1))
    if share == 0:
        return float(count), lambda budget: count
    needed = math.expm1(min(share * count, 700.0)) / share
    return needed, lambda budget: int(math.log1p(share * budget) / share)


def separate(draw: Callable[[int, int], Tensor], count: int, max_cosine: float) -> Separated:
    """Keep the first `count` candidates that the greedy rule allows.

    `draw(first, n)` gives candidates float32 (n, D) of unit length, the same for any split. Raises SaturationError if
    they do not fit: at once where the forecast leaves no hope, else after a bounded number of candidates; the message
    says how many fit.
    """
    budget = BUDGET_PER_IDENTITY * max(count, BLOCK)
    where = f"of the {count} identities fit at max_cosine {max_cosine:g} in {draw(0, 0).shape[1]} dimensions"
    if count > BLOCK:
        needed, fitting = forecast_candidates(draw(0, FORECAST_SAMPLE), count, max_cosine)
        if needed > budget:
            raise SaturationError(f"fewer than {fitting(budget)} {where}; {_ADVICE}")
    kept, first, last_success = draw(0, 0), 0, 0
    while len(kept) < count:
        candidates = draw(first, BLOCK)
        positions = (~_too_close(candidates, kept, max_cosine).any(1)).nonzero()[:, 0]
        fresh = positions[_sift(candidates[positions], max_cosine)][: count - len(kept)]
        kept = torch.cat((kept, candidates[fresh]))
        if len(fresh):
            last_success = first + int(fresh[-1]) + 1
        first += BLOCK
        if len(kept) < count and (first - last_success >= BARREN_CANDIDATES or first >= budget):
            raise SaturationError(f"only {len(kept)} {where} (after {first} candidates); {_ADVICE}")
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
