"""Saturation: how many identities a prior holds under a limit, told from how the search goes.

The chance that a candidate is free of k identities falls as k grows. If candidates differ in how crowded their
neighbourhood is, and crowding follows a gamma law, that chance is (1 + k / b)^-a (a mixture of exponentials; one
exponential where a is large). Then k identities take b / (a + 1) ((1 + k / b)^(a + 1) - 1) candidates, in closed form,
and a and b follow from the counts so far. This module does not know what a candidate is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Candidates refused before a forecast is ventured.
LEAST_REFUSED = 200
_SHAPES = torch.logspace(-1, 2.5, 60, dtype=torch.float64)
_SCALES = torch.logspace(-2, 3, 150, dtype=torch.float64)


@dataclass(frozen=True)
class Tally:
    """Where a search stood: candidates looked at, and identities kept of them."""

    candidates: int
    kept: int


@dataclass(frozen=True)
class Forecast:
    """The law of a search, fitted: the chance of being free of k identities is (1 + k / b)^-a."""

    a: float
    b: float

    def candidates(self, kept: float) -> float:
        """How many candidates it takes to keep so many."""
        return self.b / (self.a + 1) * math.expm1(min((self.a + 1) * math.log1p(kept / self.b), 700.0))

    def kept(self, candidates: float) -> float:
        """How many are kept of so many candidates."""
        return self.b * math.expm1(math.log1p((self.a + 1) * candidates / self.b) / (self.a + 1))


def forecast(tallies: Sequence[Tally]) -> Forecast | None:
    """The law that makes the counts of a search most likely; None while too few candidates were refused."""
    if not tallies or tallies[-1].candidates - tallies[-1].kept < LEAST_REFUSED:
        return None
    points = torch.tensor([(0, 0), *((t.candidates, t.kept) for t in tallies)], dtype=torch.float64)
    drawn, fresh = points.diff(dim=0).unbind(-1)
    middle = (points[1:, 1] + points[:-1, 1]) / 2
    shape, scale = torch.meshgrid(_SHAPES, _SCALES * tallies[-1].kept, indexing="ij")
    chance = _chance(middle, shape[..., None], scale[..., None]).clamp(1e-12, 1 - 1e-12)
    likelihood = (fresh * chance.log() + (drawn - fresh) * (1 - chance).log()).sum(-1)
    best = int(likelihood.argmax())
    return Forecast(float(shape.flatten()[best]), float(scale.flatten()[best]))


def _chance(kept: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return (1 + kept / b) ** -a


def roomier_limit(histogram: Tensor, limit: float, holds: float, wanted: int) -> float | None:
    """A limit under which about `wanted` identities should fit where `limit` holds `holds`; None where none is told.

    The number that fits is about in inverse proportion to the share of pairs of candidates beyond the limit. That
    share is read from a histogram of candidates' pairs as `samplers.pairs` makes it; steps of 0.01.
    """
    bins = len(histogram)
    beyond = histogram.double().flip(0).cumsum(0).flip(0)
    at = round((limit + 1) / 2 * (bins - 1)) + 1
    if at >= bins or beyond[at] < 1:
        return None
    enough = (beyond <= beyond[at] * holds / wanted).nonzero()[:, 0]
    enough = enough[enough > at]
    if len(enough) == 0 or int(enough[0]) >= bins:
        return None
    return round(float(enough[0]) / (bins - 1) * 2 - 1, 2)
