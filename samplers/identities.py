"""Identities: the people of a dataset as separated unit vectors, with the certificate of their separation.

One function, from a specification to a record: drawn from a prior and sifted, or moved apart by packing, then compared
all with all. This module does not know how a person looks, nor where the record is stored.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from samplers import packing
from samplers.certificate import Certificate, certify
from samplers.cones import prove_cones
from samplers.errors import SaturationError
from samplers.hands import Hands
from samplers.packing import PackingLaw, PackingState
from samplers.pairs import compare_all
from samplers.prior import Candidates, Prior, check_dimension
from samplers.saturation import Tally
from samplers.separation import Separated, separate
from samplers.variations import Variation
from samplers.wanted import Wanted, refuse_impossible

#: Candidates whose pairs show what the prior alone would give.
_PRIOR_SAMPLE = 4096


@dataclass(frozen=True)
class IdentitySpec:
    """Who is wanted."""

    prior: Prior
    seed: int
    dimension: int
    wanted: Wanted
    variation: Variation  # of their views; its cones are proved disjoint where it promises that
    packing: PackingLaw | None = None


@dataclass(frozen=True)
class Course:
    """How the identities were found; for plots and the curious, not for the proof."""

    candidates: int  # drawn from the prior until all were found
    prior_histogram: tuple[int, ...]  # pairs of candidates by cosine, bins as in the certificate
    packing: dict[str, Any] | None


@dataclass(frozen=True)
class Identities:
    """All people of a dataset."""

    vectors: Tensor  # float32 (I, D), unit length: the anchors
    norm: Tensor  # float32 (I,), the length of each one's feature before it was scaled to one
    group: tuple[str, ...] | None  # each one's label; None where the prior has no groups
    candidate: Tensor  # int64 (I,), the number of each one's candidate
    nearest: Tensor  # int64 (I,), each one's nearest other identity
    nearest_cosine: Tensor  # float32 (I,), rounded up
    certificate: Certificate
    course: Course


class Log(Protocol):
    """Is told how the search for identities goes, and keeps packing's state so that it can go on after a stop."""

    def searched(self, tally: Tally) -> None:
        """So many candidates were looked at, so many kept."""
        ...

    def load(self) -> PackingState | None:
        """The state of packing to go on from."""
        ...

    def packed(self, state: PackingState) -> None:
        """Another step of packing is done."""
        ...

    def compared(self, share: float) -> None:
        """This share of all pairs is compared."""
        ...


class NoLog:
    """Says nothing and keeps nothing."""

    def searched(self, tally: Tally) -> None:
        """Forget it."""

    def load(self) -> PackingState | None:
        """Nothing to go on from."""
        return None

    def packed(self, state: PackingState) -> None:
        """Forget it."""

    def compared(self, share: float) -> None:
        """Forget it."""


def draw_identities(spec: IdentitySpec, hands: Hands, log: Log | None = None) -> Identities:
    """Find the identities of a specification; the same for any hands.

    Raises RecipeError where the prior does not fit or no arrangement can keep the limit, SaturationError, within a
    bounded number of candidates or steps, where the identities do not fit.
    """
    check_dimension(spec.prior, spec.dimension)
    refuse_impossible(spec.wanted, spec.dimension)
    log = log or NoLog()
    found, moves = _find(spec, hands, log)
    people, limit = found.people, spec.wanted.max_cosine
    pairs = compare_all(people.vectors, hands, histogram=True, tell=log.compared)
    nearest_cosine = rounded_up(pairs.cosine)
    cones = prove_cones(spec.variation, pairs.nearest, nearest_cosine)
    certificate = certify(people.vectors, pairs, limit, cones)
    if not certificate.holds:
        assert moves is not None, "the greedy rule let a pair pass"
        raise SaturationError(
            f"packing reached a largest cosine of {certificate.max_cosine:.4f} in {moves['steps']} steps, "
            f"not {limit:g}; {_packing_advice(spec, moves)}raise identities.separation.max_cosine"
        )
    labels = [group.label for group in spec.prior.groups]
    return Identities(
        vectors=people.vectors,
        norm=people.norm,
        group=tuple(labels[group] for group in people.group.tolist()) if any(labels) else None,
        candidate=found.candidate,
        nearest=pairs.nearest,
        nearest_cosine=nearest_cosine,
        certificate=certificate,
        course=Course(found.drawn, _prior_histogram(spec, hands), moves),
    )


def _packing_advice(spec: IdentitySpec, moves: dict[str, Any]) -> str:
    assert spec.packing is not None
    more = "allow more identities.packing.steps, " if moves["steps"] >= spec.packing.steps else ""
    less = "pull less, " if spec.packing.pull else ""
    return f"{more}{less}or " if more or less else ""


def _find(spec: IdentitySpec, hands: Hands, log: Log) -> tuple[Separated, dict[str, Any] | None]:
    """The people, and the course of packing."""
    if spec.packing is None:
        return separate(spec.prior, spec.seed, spec.dimension, spec.wanted, hands, log.searched), None
    anybody = replace(spec.wanted, max_cosine=1.0)
    first = separate(spec.prior, spec.seed, spec.dimension, anybody, hands, log.searched)
    state = log.load() or packing.start_packing(first.people.vectors)
    for moved in packing.pack(state, spec.packing, hands):
        log.packed(moved)
        state = moved
    people = Candidates(packing.packed(state), first.people.norm, first.people.group)
    return Separated(people, first.candidate), packing.describe(state)


def _prior_histogram(spec: IdentitySpec, hands: Hands) -> tuple[int, ...]:
    total = _PRIOR_SAMPLE if spec.prior.size is None else min(_PRIOR_SAMPLE, spec.prior.size)
    sample = spec.prior.draw(spec.seed, torch.arange(total), spec.dimension)
    histogram = compare_all(sample.vectors, hands, histogram=True).histogram
    assert histogram is not None
    return tuple(histogram.tolist())


def rounded_up(cosine: Tensor) -> Tensor:
    """float64 as float32, never smaller: an angle that is half of the one to a neighbour must not become wider."""
    single = cosine.float()
    return torch.where(single.double() < cosine, torch.nextafter(single, torch.tensor(torch.inf)), single)
