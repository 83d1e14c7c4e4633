"""Variations in vector space: how the vector of a view departs from the person's anchor.

Every draw is keyed by (seed, identity, view, attempt) and made for the pictures at hand; nothing is ever held for all
views, and no row depends on the others of its batch. Each law also states what cosine to expect of its views, so that a
plan can be judged before a picture is made. This module does not know what a vector looks like, nor where people and
directions come from.

Shapes: B pictures, I identities, D dimensions, K directions. Cosines, norms and sigmas have no unit; angles say theirs.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from samplers import random
from samplers.attributes import Choice, Constant, Law
from samplers.sphere import inner, normalise

#: By how much the cosine at a rim exceeds that of half the angle to the neighbour. A float32 vector is off by less than
#: 2e-7 rad, and a margin in the cosine narrows a cone by at least as many rad: rounding cannot make two cones touch.
APART_MARGIN = 1e-6
#: Points at which `AttributeSteps` averages the cosine: one step of `Sometimes` then weighs at most 1/4096 amiss.
_QUADRATURE_POINTS = 4096

Cosine = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class Subjects:
    """The people whom B views show."""

    anchor: Tensor  # float32 (B, D), unit length
    nearest_cosine: Tensor  # float32 (B,), to the nearest other person
    norm: Tensor  # float32 (B,), length of the person's feature before it was scaled to one
    views: int  # planned for each person


class Variation(Protocol):
    """A law for the vectors of a person's views."""

    def draw(self, seed: int, index: Tensor, subjects: Subjects) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length. `index` int64 (B, 3) is identity, view, attempt."""
        ...

    def expected_cosine(self, nearest_cosine: Tensor, norm: Tensor, dimension: int) -> Tensor:
        """The expected cosine of a view to its anchor, for people (I,) as `Subjects` describes them: float64 (I,)."""
        ...


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoVariation(_Record):
    """Every view has the anchor itself; only attributes vary."""

    kind: Literal["none"] = "none"

    def draw(self, seed: int, index: Tensor, subjects: Subjects) -> Tensor:
        """The anchors (B, D)."""
        return subjects.anchor

    def expected_cosine(self, nearest_cosine: Tensor, norm: Tensor, dimension: int) -> Tensor:
        """One, always (see `Variation.expected_cosine`)."""
        return torch.ones(nearest_cosine.shape, dtype=torch.float64)


def _apart(cosine: float, nearest_cosine: Tensor) -> Tensor:
    """A cosine (I,), raised where a cone of that rim would reach halfway to the nearest neighbour: float64."""
    halfway = ((1 + nearest_cosine.double().clamp(-1, 1)) / 2).sqrt()
    return (halfway + APART_MARGIN).clamp(min=cosine, max=1)


def _at_cosines(seed: int, index: Tensor, anchor: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Vectors (B, D) whose cosine to their anchor is U[low, high], (B,) each, in a uniformly drawn direction."""
    height = random.uniforms(random.key_of(seed, "cone/height"), index, 1)[:, 0]
    s = (low + height * (high - low)).clamp(-1, 1)
    noise = random.normals(random.key_of(seed, "cone/direction"), index, anchor.shape[1]).double()
    tangent = normalise(noise - inner(noise, anchor)[:, None] * anchor)
    return normalise(s[:, None] * anchor + (1 - s * s).sqrt()[:, None] * tangent)


class Cone(_Record):
    """A geodesic cone about the anchor: a cosine s ~ U[lowest, 1], in a uniformly drawn direction.

    `lowest` is `min_cosine`, or, with `keep_cones_apart`, the cosine of half the angle to the nearest other person
    where that is narrower, so that no two people's cones overlap (IDperturb, arXiv 2602.18831).
    """

    kind: Literal["cone"] = "cone"
    min_cosine: Cosine = 0.9
    keep_cones_apart: bool = True

    def lowest_cosine(self, nearest_cosine: Tensor) -> Tensor:
        """The cosine (I,) at the rim of each person's cone, from that to their nearest neighbour (I,): float64."""
        if self.keep_cones_apart:
            return _apart(self.min_cosine, nearest_cosine)
        return torch.full(nearest_cosine.shape, self.min_cosine, dtype=torch.float64)

    def draw(self, seed: int, index: Tensor, subjects: Subjects) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length (see `Variation.draw`)."""
        lowest = self.lowest_cosine(subjects.nearest_cosine)
        return _at_cosines(seed, index, subjects.anchor, lowest, torch.ones_like(lowest))

    def expected_cosine(self, nearest_cosine: Tensor, norm: Tensor, dimension: int) -> Tensor:
        """Halfway between rim and anchor (see `Variation.expected_cosine`)."""
        return (self.lowest_cosine(nearest_cosine) + 1) / 2


class CosineBand(_Record):
    """A band about the anchor: a cosine ~ U[min_cosine, max_cosine], in a uniformly drawn direction.

    The clusters of ID3 (NeurIPS 2024, openreview x4HMnqs6IE), which are not kept apart; its figures show [0.5, 0.7] and
    [0.7, 0.9]. With `keep_cones_apart` both ends are raised as the rim of a `Cone` is.
    """

    kind: Literal["band"] = "band"
    min_cosine: Cosine = 0.5
    max_cosine: Cosine = 0.7
    keep_cones_apart: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "CosineBand":
        if not self.min_cosine <= self.max_cosine:
            raise ValueError(f"min_cosine {self.min_cosine:g} is above max_cosine {self.max_cosine:g}")
        return self

    def lowest_cosine(self, nearest_cosine: Tensor) -> Tensor:
        """The cosine (I,) at the outer rim of each person's band, from that to their nearest neighbour: float64."""
        return self._end(self.min_cosine, nearest_cosine)

    def _end(self, cosine: float, nearest_cosine: Tensor) -> Tensor:
        if self.keep_cones_apart:
            return _apart(cosine, nearest_cosine)
        return torch.full(nearest_cosine.shape, cosine, dtype=torch.float64)

    def draw(self, seed: int, index: Tensor, subjects: Subjects) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length (see `Variation.draw`)."""
        low, high = (self._end(cosine, subjects.nearest_cosine) for cosine in (self.min_cosine, self.max_cosine))
        return _at_cosines(seed, index, subjects.anchor, low, high)

    def expected_cosine(self, nearest_cosine: Tensor, norm: Tensor, dimension: int) -> Tensor:
        """The middle of the band (see `Variation.expected_cosine`)."""
        return (self._end(self.min_cosine, nearest_cosine) + self._end(self.max_cosine, nearest_cosine)) / 2


def _noisy_cosine(sigma: float, norm: Tensor, dimension: int) -> Tensor:
    """The expected cosine of norm * anchor + sigma * n to the anchor, for n ~ N(0, I_D) and norms (I,): float64 (I,).

    With z ~ N(0, 1) along the anchor and y ~ chi^2(D - 1) across, the cosine is x / sqrt(x^2 + y), x = norm/sigma + z.
    To second order about the means of z and y its expectation is c (1 - 3/4 (1 - c^2)^2 / (D - 1)), where
    c = 1 / sqrt(1 + sigma^2 (D - 1) / norm^2) is the value at the means. Against the exact value (a confluent
    hypergeometric function) this is off by 3e-5 at most for D = 64, by 5e-7 for D = 512.
    """
    across = max(dimension - 1, 1)
    c = (1 + across * (sigma / norm.double()) ** 2) ** -0.5
    return c * (1 - 0.75 * (1 - c * c) ** 2 / across)


class GaussianMixture(_Record):
    """Gaussian noise of several sizes on the un-normalised feature: unit(norm * anchor + sigma * n), n ~ N(0, I_D).

    Vec2Face (arXiv 2409.02979): sigma is in units of the feature, whose length (about 21.9 there, D = 512) is kept, so
    only its direction changes and the renderer scales back by the norm. Their shares are met on average; here every
    person has them exactly, in an order of their own that no attempt changes.
    """

    kind: Literal["gaussian_mixture"] = "gaussian_mixture"
    sigmas: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = Field((0.3, 0.5, 0.7), min_length=1)
    shares: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = (0.4, 0.4, 0.2)

    @model_validator(mode="after")
    def _whole(self) -> "GaussianMixture":
        if len(self.sigmas) != len(self.shares):
            raise ValueError(f"{len(self.sigmas)} sigmas need as many shares, not {len(self.shares)}")
        if not abs(sum(self.shares) - 1) <= 1e-6:
            raise ValueError(f"shares add up to {sum(self.shares):.7g}, not to 1")
        return self

    def counts(self, views: int) -> tuple[int, ...]:
        """How many of a person's views have each sigma: largest remainders, of equal ones the earlier sigma's."""
        shares = [Fraction(repr(share)) for share in self.shares]  # as written: 0.3 of 5 ties with 0.1 of 5
        quotas = [views * share / sum(shares) for share in shares]
        counts = [int(quota) for quota in quotas]
        by_remainder = sorted(range(len(quotas)), key=lambda k: counts[k] - quotas[k])
        for k in by_remainder[: views - sum(counts)]:
            counts[k] += 1
        return tuple(counts)

    def sigma_of(self, seed: int, index: Tensor, views: int) -> Tensor:
        """The sigma of B views (B, 3) of people with so many views each, whatever the attempt: float64 (B,)."""
        keys = random.words(random.key_of(seed, "mixture/order"), index * torch.tensor([1, 0, 0]), 2)
        place = random.permute(keys, index[:, 1], views)
        ends = torch.tensor(self.counts(views)).cumsum(0)
        return torch.tensor(self.sigmas, dtype=torch.float64)[torch.searchsorted(ends, place, right=True)]

    def draw(self, seed: int, index: Tensor, subjects: Subjects) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length (see `Variation.draw`)."""
        sigma = self.sigma_of(seed, index, subjects.views)
        noise = random.normals(random.key_of(seed, "mixture/noise"), index, subjects.anchor.shape[1])
        return normalise(subjects.norm.double()[:, None] * subjects.anchor + sigma[:, None] * noise)

    def expected_cosine(self, nearest_cosine: Tensor, norm: Tensor, dimension: int) -> Tensor:
        """By the shares as written, before they are rounded to whole views (see `Variation.expected_cosine`)."""
        total = torch.zeros(norm.shape, dtype=torch.float64)
        for sigma, share in zip(self.sigmas, self.shares, strict=True):
            total = total + share * _noisy_cosine(sigma, norm, dimension)
        return total / sum(self.shares)


class IsotropicNoise(_Record):
    """Gaussian noise of one size on the unit vector: unit(anchor + sigma * n), n ~ N(0, I_D).

    After HyperFace (arXiv 2411.08470); the default is a place to start, not a figure checked against its code. The
    noise is about sigma * sqrt(D) long, 0.45 for the default and D = 512, beside an anchor of length one.
    """

    kind: Literal["noise"] = "noise"
    sigma: float = Field(0.02, gt=0, le=1e6)

    def draw(self, seed: int, index: Tensor, subjects: Subjects) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length (see `Variation.draw`)."""
        noise = random.normals(random.key_of(seed, "noise"), index, subjects.anchor.shape[1]).double()
        return normalise(subjects.anchor + self.sigma * noise)

    def expected_cosine(self, nearest_cosine: Tensor, norm: Tensor, dimension: int) -> Tensor:
        """The same for all people (see `Variation.expected_cosine`)."""
        return _noisy_cosine(self.sigma, torch.ones_like(norm), dimension)


@dataclass(frozen=True)
class AttributeSteps:
    """Steps along named directions: unit(anchor + sum_k step_k * direction_k), each step drawn by its own law.

    A step of one moves by the length of its direction; an anchor has length one. Raises ValueError for parts that do
    not fit each other, a direction that is not finite or has no length, and a law that gives no numbers.
    """

    directions: Tensor  # float32 (K, D)
    names: tuple[str, ...]
    laws: tuple[Law, ...]

    def __post_init__(self) -> None:
        if self.directions.ndim != 2 or not len(self.directions) == len(self.names) == len(self.laws):
            shape = tuple(self.directions.shape)
            raise ValueError(
                f"{len(self.names)} names and {len(self.laws)} laws do not fit directions of shape {shape}"
            )
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"two directions have the same name: {', '.join(self.names)}")
        for name, direction, law in zip(self.names, self.directions, self.laws, strict=True):
            if not bool(direction.isfinite().all()) or not bool(direction.any()):
                raise ValueError(f"direction {name!r} is zero or not finite")
            if isinstance(law, Choice) or (isinstance(law, Constant) and isinstance(law.value, str)):
                raise ValueError(f"direction {name!r} needs steps that are numbers, not a choice")

    def draw(self, seed: int, index: Tensor, subjects: Subjects) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length (see `Variation.draw`)."""
        self._check_dimension(subjects.anchor.shape[1])
        keys = (random.key_of(seed, f"direction/{name}") for name in self.names)
        return normalise(self._moved(subjects.anchor.double(), [random.uniforms(key, index, 1)[:, 0] for key in keys]))

    def expected_cosine(self, nearest_cosine: Tensor, norm: Tensor, dimension: int) -> Tensor:
        """The same for all people: E[1 / sqrt(1 + |sum_k step_k direction_k|^2)] (see `Variation.expected_cosine`).

        This takes the offset to be at right angles to the anchor. Over people without a preferred direction the mean is
        off by less than 0.3 / D (second order); one person's, whose anchor has cosine x to an offset of length w, by
        x (1 + 1 / w^2)^(-3/2) (first order). The laws are averaged over a Latin hypercube fixed by the names.
        """
        self._check_dimension(dimension)
        n = _QUADRATURE_POINTS
        keys = (random.key_of(0, f"direction/{name}") for name in self.names)
        quantiles = [(random.permute(key, torch.arange(n), n).double() + 0.5) / n for key in keys]
        offset = self._moved(torch.zeros(n, dimension, dtype=torch.float64), quantiles)
        cosine = float(((1 + inner(offset, offset)) ** -0.5).mean())
        return torch.full(nearest_cosine.shape, cosine, dtype=torch.float64)

    def _check_dimension(self, dimension: int) -> None:
        if dimension != self.directions.shape[1]:
            raise ValueError(f"directions of {self.directions.shape[1]} dimensions for anchors of {dimension}")

    def _moved(self, start: Tensor, quantiles: list[Tensor]) -> Tensor:
        """Float64 points (B, D) after the steps of these quantiles, (B,) for each direction, added in order."""
        for law, u, direction in zip(self.laws, quantiles, self.directions, strict=True):
            assert not isinstance(law, Choice)
            step = torch.full_like(u, float(law.value)) if isinstance(law, Constant) else law.quantile(u)
            start = start + step[:, None] * direction
        return start
