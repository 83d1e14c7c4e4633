"""Identities, all steps together: what the record says of the people is true, and the same in every process."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.errors import RecipeError, SaturationError
from samplers.hands import Threads
from samplers.identities import Identities, IdentitySpec, draw_identities, rounded_up
from samplers.packing import PackingLaw, PackingState
from samplers.pairs import TILE
from samplers.prior import Group
from samplers.priors import Given, Groups, UniformPrior, VonMisesFisher
from samplers.saturation import Tally
from samplers.separation import separate
from samplers.sphere import inner
from samplers.variations import Cone, NoVariation
from samplers.wanted import Wanted, quotas
from tests.samplers.brute import SEEDS, brute_force, cosines, directions

ROOT = Path(__file__).parents[2]
GROUPS = Groups(
    (
        (Group("few", 0.15), VonMisesFisher(4.0)),
        (Group("many", 0.6), UniformPrior()),
        (Group("some", 0.25), VonMisesFisher(10.0, components=4)),
    )
)
DRAWN = IdentitySpec(UniformPrior(), 1, 16, Wanted(200, 0.6), NoVariation())
GROUPED = replace(DRAWN, prior=GROUPS, wanted=Wanted(90, 0.65))
PACKED = replace(DRAWN, wanted=Wanted(TILE + 76, 0.85), packing=PackingLaw(8, 0.1, directions(9, 50, 16)))
SPECS = {"drawn": DRAWN, "grouped": GROUPED, "packed": PACKED}
EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@dataclass
class Diary:
    """Writes down what it is told."""

    tallies: list[Tally] = field(default_factory=list)
    states: list[PackingState] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    kept: PackingState | None = None

    def searched(self, tally: Tally) -> None:
        self.tallies.append(tally)

    def load(self) -> PackingState | None:
        return self.kept

    def packed(self, state: PackingState) -> None:
        self.states.append(state)

    def compared(self, share: float) -> None:
        self.shares.append(share)


def drawn(spec: IdentitySpec, width: int = 1) -> Identities:
    return draw_identities(spec, Threads(width))


def digest(identities: Identities) -> str:
    """sha256 of everything that a record holds."""
    found = hashlib.sha256()
    for name, part in vars(identities).items():
        found.update(name.encode() + (part.numpy().tobytes() if isinstance(part, Tensor) else repr(part).encode()))
    return found.hexdigest()


def digests(width: int) -> list[str]:
    return [digest(drawn(spec, width)) for spec in SPECS.values()]


@EACH
def test_the_record_says_of_the_vectors_what_brute_force_finds(spec: IdentitySpec) -> None:
    found = drawn(spec)
    vectors, expected = found.vectors, brute_force(found.vectors)
    assert vectors.shape == (spec.wanted.count, spec.dimension)
    assert vectors.dtype == torch.float32
    assert torch.allclose(inner(vectors, vectors), torch.ones(len(vectors)).double(), atol=1e-7)
    assert torch.equal(found.nearest, expected.nearest)
    assert found.certificate.max_cosine == float(expected.cosine.max())
    assert expected.histogram is not None
    assert found.certificate.histogram == tuple(expected.histogram.tolist())
    assert found.certificate.limit == spec.wanted.max_cosine
    assert found.certificate.holds
    assert len(found.candidate) == len(found.norm) == spec.wanted.count


@EACH
def test_the_cosine_to_the_nearest_is_rounded_up_to_float32_and_no_farther(spec: IdentitySpec) -> None:
    found = drawn(spec)
    exact = cosines(found.vectors).amax(1)
    assert found.nearest_cosine.dtype == torch.float32
    assert bool((found.nearest_cosine.double() >= exact).all())
    below = torch.nextafter(found.nearest_cosine, torch.tensor(-2.0))
    assert bool((below.double() < exact).all())


@settings(max_examples=200)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_numbers_are_rounded_up_to_the_next_float32_and_those_that_are_one_stay(numbers: list[float]) -> None:
    exact = torch.tensor(numbers, dtype=torch.float64)
    up = rounded_up(exact)
    assert bool((up.double() >= exact).all())
    assert bool((torch.nextafter(up, torch.tensor(-2.0)).double() < exact).all())
    assert torch.equal(rounded_up(up.double()), up)


def test_without_packing_the_people_are_those_of_the_search() -> None:
    found = drawn(DRAWN)
    separated = separate(DRAWN.prior, DRAWN.seed, DRAWN.dimension, DRAWN.wanted, Threads(1))
    assert torch.equal(found.vectors, separated.people.vectors)
    assert torch.equal(found.candidate, separated.candidate)
    assert found.course.candidates == separated.drawn
    assert found.course.packing is None
    assert found.group is None


@pytest.mark.parametrize("packing", [None, PackingLaw(3)])
def test_groups_have_their_labels_and_their_shares(packing: PackingLaw | None) -> None:
    found = drawn(replace(GROUPED, wanted=Wanted(90, 0.97 if packing else 0.65), packing=packing))
    assert found.group is not None
    labels = [group.label for group in GROUPS.groups]
    assert Counter(found.group) == dict(zip(labels, quotas(GROUPS, 90), strict=True)) != Counter(found.group[:50])
    assert [labels[group] for group in GROUPS.group_of(found.candidate).tolist()] == list(found.group)


@pytest.mark.parametrize("packing", [None, PackingLaw(3)])
def test_norms_are_those_of_the_features_that_were_brought_along(packing: PackingLaw | None) -> None:
    features = directions(3, 60, 16) * torch.linspace(0.5, 20, 60)[:, None]
    found = drawn(replace(DRAWN, prior=Given(features), wanted=Wanted(30, 0.6), packing=packing))
    assert torch.allclose(found.norm, features[found.candidate].norm(dim=1))
    if packing is None:
        assert torch.allclose(found.vectors * found.norm[:, None], features[found.candidate], rtol=1e-5, atol=1e-6)
        assert found.candidate.tolist() != list(range(30))


def test_packing_moves_the_first_candidates_apart() -> None:
    found = drawn(PACKED, width=2)
    start = directions(1, PACKED.wanted.count, 16)
    assert torch.equal(found.candidate, torch.arange(PACKED.wanted.count))
    assert found.course.packing is not None
    assert found.course.packing["steps"] == 8
    assert found.certificate.max_cosine == pytest.approx(found.course.packing["reached"], abs=1e-5)
    assert float(cosines(start).max()) == pytest.approx(found.course.packing["start"], abs=1e-5)
    assert found.course.packing["reached"] < found.course.packing["start"] - 0.03


def test_packing_that_misses_its_limit_says_what_it_reached() -> None:
    spec = replace(PACKED, wanted=replace(PACKED.wanted, max_cosine=0.5))
    with pytest.raises(SaturationError) as missed:
        drawn(spec)
    said = re.fullmatch(
        r"packing reached a largest cosine of (\d\.\d{4}) in 8 steps, not 0\.5; allow more identities\.packing\.steps, "
        r"pull less, or raise identities\.separation\.max_cosine",
        str(missed.value),
    )
    assert said
    assert float(said[1]) == pytest.approx(drawn(PACKED).certificate.max_cosine, abs=1e-4)


def test_one_identity_is_packed_without_a_step() -> None:
    found = drawn(replace(DRAWN, wanted=Wanted(1, -0.5), packing=PackingLaw(5)))
    assert (found.nearest.tolist(), found.nearest_cosine.tolist()) == ([-1], [-1.0])
    assert found.certificate.holds
    assert found.course.packing == {"steps": 0, "start": None, "reached": None, "history": []}


def test_one_identity_has_no_neighbour() -> None:
    found = drawn(replace(DRAWN, wanted=Wanted(1, -0.5)))
    assert (found.nearest.tolist(), found.nearest_cosine.tolist(), found.candidate.tolist()) == ([-1], [-1.0], [0])
    assert (found.certificate.pair, found.course.candidates) == (None, 1)


def test_the_course_shows_the_pairs_of_the_first_candidates() -> None:
    histogram = drawn(DRAWN).course.prior_histogram
    assert sum(histogram) == 4096 * 4095 // 2
    few = directions(3, 60, 16)
    expected = brute_force(Given(few).draw(1, torch.arange(60), 16).vectors).histogram
    assert expected is not None
    assert drawn(replace(DRAWN, prior=Given(few), wanted=Wanted(30, 0.6))).course.prior_histogram == tuple(
        expected.tolist()
    )


@pytest.mark.parametrize("keep", [True, False])
def test_the_certificate_proves_the_cones_of_a_variation_that_has_them(keep: bool) -> None:
    found = drawn(replace(DRAWN, variation=Cone(min_cosine=0.5, keep_cones_apart=keep)))
    assert found.certificate.cones is not None
    assert found.certificate.cones.disjoint is keep
    assert drawn(DRAWN).certificate.cones is None


@pytest.mark.parametrize("packing", [None, PackingLaw(5)])
def test_what_cannot_be_is_refused_before_anything_is_drawn(packing: PackingLaw | None) -> None:
    diary = Diary()
    impossible = replace(DRAWN, wanted=Wanted(200, 0.1), packing=packing)
    with pytest.raises(RecipeError, match=r"^no 200 vectors in 16 dimensions .* Levenshtein bound"):
        draw_identities(impossible, Threads(1), diary)
    misfit = replace(DRAWN, prior=Given(directions(1, 300, 8)), packing=packing)
    with pytest.raises(RecipeError, match="have 8 numbers, the renderer wants 16"):
        draw_identities(misfit, Threads(1), diary)
    assert diary == Diary()


def test_the_log_hears_of_every_step() -> None:
    diary = Diary()
    draw_identities(DRAWN, Threads(2), diary)
    assert diary.tallies[-1].kept == DRAWN.wanted.count
    found = draw_identities(PACKED, Threads(2), diary)
    assert [state.step for state in diary.states] == list(range(1, 9))
    assert found.course.packing is not None
    assert found.course.packing["history"] == pytest.approx(diary.states[-1].history, abs=1e-6)
    assert diary.shares[0] == diary.shares[-1] == 1.0
    assert 0 < diary.shares[1] < 1


def test_packing_goes_on_from_the_state_that_the_log_kept() -> None:
    first, second = Diary(), Diary()
    whole = draw_identities(PACKED, Threads(1), first)
    second.kept = first.states[4]
    resumed = draw_identities(PACKED, Threads(2), second)
    assert digest(resumed) == digest(whole)
    assert [state.step for state in second.states] == [6, 7, 8]


@settings(deadline=None, max_examples=10)
@given(SEEDS, st.integers(1, 40), st.integers(41, 80))
def test_more_identities_begin_with_the_same(seed: int, few: int, many: int) -> None:
    small, large = (drawn(replace(DRAWN, seed=seed, wanted=Wanted(count, 0.6))) for count in (few, many))
    assert torch.equal(small.vectors, large.vectors[:few])
    assert torch.equal(small.norm, large.norm[:few])


@pytest.mark.parametrize(("width", "openmp_threads"), [(1, 1), (3, 4)])
def test_another_process_finds_the_same_to_the_last_bit(width: int, openmp_threads: int) -> None:
    program = f"import tests.samplers.test_identities as here; print(*here.digests({width}))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(openmp_threads)},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert ended.stdout.split() == digests(2)
