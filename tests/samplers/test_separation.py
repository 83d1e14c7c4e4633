"""The greedy rule against brute force in float64, and searches that cannot succeed."""

import math
import re
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.errors import RecipeError, SaturationError
from samplers.hands import Threads
from samplers.pairs import TILE
from samplers.prior import Candidates, Group, Prior
from samplers.priors import Given, Groups, UniformPrior, VonMisesFisher
from samplers.saturation import Tally
from samplers.search import BARREN_CANDIDATES
from samplers.separation import Separated, look_ahead, separate
from samplers.sphere import inner
from samplers.wanted import Wanted, quotas
from tests.samplers.brute import SEEDS, Vectors, about, cosines, directions, few_distinct

#: No search looks at more candidates at a time.
BLOCK = 16 * TILE
HELD = re.compile(r"this prior holds (?:about )?(\d+) of the (\d+) identities asked for")
ADVICE = re.compile(r"raise identities\.separation\.max_cosine to about (\d\.\d+)$")


@dataclass
class Counted:
    """A prior that keeps the number of the last candidate that it was asked for."""

    prior: Prior
    drawn: int = 0

    @property
    def size(self) -> int | None:
        return self.prior.size

    @property
    def ends(self) -> tuple[int | None, ...]:
        return self.prior.ends

    @property
    def dimension(self) -> int | None:
        return self.prior.dimension

    @property
    def groups(self) -> tuple[Group, ...]:
        return self.prior.groups

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        if len(candidate):
            self.drawn = max(self.drawn, int(candidate.max()) + 1)
        return self.prior.draw(seed, candidate, dimension, purpose=purpose)

    def group_of(self, candidate: Tensor) -> Tensor:
        return self.prior.group_of(candidate)


class Stream(Given):
    """Some vectors, and after them the first one for ever, which nobody who has it takes again."""

    @property
    def size(self) -> int | None:
        return None

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        row = torch.where(candidate < len(self.vectors), candidate, 0)
        return super().draw(seed, row, dimension, purpose=purpose)


def all_of(prior: Prior, total: int, dimension: int, seed: int = 1) -> Candidates:
    return prior.draw(seed, torch.arange(total), dimension)


def greedy(candidates: Candidates, places: list[int], limit: float) -> list[int]:
    """The rule, one candidate after the other, until every group has its places."""
    close = (cosines(candidates.vectors) > limit).numpy()
    kept: list[int] = []
    free = list(places)
    for number, group in enumerate(candidates.group.tolist()):
        if free[group] and not close[number, kept].any():
            kept.append(number)
            free[group] -= 1
    return kept


def greedy_among_many(vectors: Tensor, limit: float) -> list[int]:
    """The rule over so many candidates that their pairs do not fit in memory; float32 will do here."""
    kept, numbers = vectors[:0], []
    for first in range(0, len(vectors), TILE):
        block = vectors[first : first + TILE]
        free = (block @ kept.T <= limit).all(1).nonzero()[:, 0]
        close = (block[free] @ block[free].T > limit).numpy()
        fresh: list[int] = []
        for row in range(len(free)):
            if not close[row, fresh].any():
                fresh.append(row)
        kept = torch.cat((kept, block[free[fresh]]))
        numbers += (first + free[fresh]).tolist()
    return numbers


def found(prior: Prior, wanted: Wanted, dimension: int, *, width: int = 1, seed: int = 1) -> Separated:
    return separate(prior, seed, dimension, wanted, Threads(width))


def holds_those(separated: Separated, candidates: Candidates, numbers: list[int]) -> bool:
    """Whether these candidates were kept, to the last bit."""
    kept = candidates.select(torch.tensor(numbers))
    return separated.candidate.tolist() == numbers and all(
        torch.equal(getattr(separated.people, part), getattr(kept, part)) for part in ("vectors", "norm", "group")
    )


@settings(deadline=None, max_examples=60)
@given(
    SEEDS,
    st.integers(2, 6),
    st.integers(1, 80),
    st.floats(-0.5, 0.95),
    st.sampled_from([directions, few_distinct]),
)
def test_the_greedy_rule_is_that_of_brute_force(
    seed: int, dimension: int, total: int, limit: float, vectors_of: Vectors
) -> None:
    prior = Given(vectors_of(seed, total, dimension))
    candidates = all_of(prior, total, dimension)
    kept = greedy(candidates, [total], limit)
    separated = found(prior, Wanted(len(kept), limit), dimension)
    assert holds_those(separated, candidates, kept)
    assert separated.drawn == kept[-1] + 1


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(3, 64), st.lists(st.floats(-1e-7, 1e-7), min_size=1, max_size=20), st.floats(-0.3, 0.9))
def test_vectors_within_1e_7_of_the_limit_are_judged_exactly(
    seed: int, dimension: int, offsets: list[float], limit: float
) -> None:
    prior = Given(about(seed, dimension, [limit + offset for offset in offsets]))
    candidates = all_of(prior, 1 + len(offsets), dimension)
    kept = greedy(candidates, [len(candidates.vectors)], limit)
    assert holds_those(found(prior, Wanted(len(kept), limit), dimension), candidates, kept)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(0, 30))
def test_a_cosine_equal_to_the_limit_is_allowed(seed: int, number: int) -> None:
    prior = Given(directions(seed, 40, 8))
    candidates = all_of(prior, 40, 8)
    limit = float(cosines(candidates.vectors)[number].max())
    for nudged in (limit, math.nextafter(limit, -1)):
        kept = greedy(candidates, [40], nudged)
        assert holds_those(found(prior, Wanted(len(kept), nudged), 8), candidates, kept)


@pytest.mark.parametrize(("dimension", "limit"), [(3, 0.98), (8, 0.72), (16, 0.6)])
def test_the_rule_holds_across_blocks_and_tiles_for_any_number_of_threads(dimension: int, limit: float) -> None:
    total = 2 * TILE + 300
    candidates = all_of(UniformPrior(), total, dimension)
    kept = greedy(candidates, [total], limit)
    assert len(kept) > 150
    for width in (1, 2, 3):
        separated = found(UniformPrior(), Wanted(len(kept), limit), dimension, width=width)
        assert holds_those(separated, candidates, kept), width


def test_the_kept_of_one_block_meet_the_candidates_of_all_later_ones() -> None:
    """The first vector returns at every place where a block or a tile might end; its opposite comes last."""
    vectors = torch.eye(4)[torch.zeros(5 * TILE, dtype=torch.int64)]
    vectors[-1] = -vectors[0]
    separated = found(Given(vectors), Wanted(2, 0.9), 4)
    assert separated.candidate.tolist() == [0, 5 * TILE - 1]


def test_more_identities_than_one_tile_hold_each_other_off() -> None:
    separated = found(UniformPrior(), Wanted(TILE + 400, 0.75), 16, width=2)
    assert float(cosines(separated.people.vectors).max()) <= 0.75
    passed_over = torch.ones(separated.drawn, dtype=torch.bool)
    passed_over[separated.candidate] = False
    refused = all_of(UniformPrior(), separated.drawn, 16).vectors[passed_over]
    close = refused.double() @ separated.people.vectors.double().T > 0.75 - 1e-9
    earlier = separated.candidate < passed_over.nonzero()
    assert len(refused) > 100
    assert bool((close & earlier).any(1).all())


def shared(*shares: float) -> Groups:
    return Groups(tuple((Group(f"g{place}", share), UniformPrior()) for place, share in enumerate(shares)))


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 60), st.sampled_from([(0.5, 0.5), (0.5, 0.3, 0.2), (0.05, 0.95), (0.1, 0.2, 0.3, 0.4)]))
def test_groups_are_filled_exactly_by_the_rule_of_brute_force(seed: int, count: int, shares: tuple[float, ...]) -> None:
    """Nobody is kept whose group is full, and who is passed over for that keeps nobody off."""
    prior = shared(*shares)
    candidates = all_of(prior, 300, 12, seed)
    places = quotas(prior, count)
    kept = greedy(candidates, places, 0.6)
    assert len(kept) == count
    separated = found(prior, Wanted(count, 0.6), 12, seed=seed)
    assert holds_those(separated, candidates, kept)
    assert separated.people.group.bincount(minlength=len(shares)).tolist() == places


def test_a_crowded_group_is_searched_on_while_the_other_is_full() -> None:
    """Nearly all who are looked at last belong to the group that takes longer, for any number of threads."""
    prior = Groups(((Group("crowd", 0.5), VonMisesFisher(20.0)), (Group("all", 0.5), UniformPrior())))
    candidates = all_of(prior, TILE, 16)
    kept = greedy(candidates, [80, 80], 0.7)
    assert len(kept) == 160
    assert sum(candidates.group[kept[-20:]]) == 0
    for width in (1, 2, 3):
        assert holds_those(found(prior, Wanted(160, 0.7), 16, width=width), candidates, kept), width


def test_the_first_of_a_larger_search_are_those_of_a_smaller() -> None:
    small, large = (found(UniformPrior(), Wanted(count, 0.55), 32, width=2) for count in (70, 900))
    assert torch.equal(small.people.vectors, large.people.vectors[:70])
    assert torch.equal(small.candidate, large.candidate[:70])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=7), st.integers(0, 500))
def test_quotas_add_up_and_go_to_the_largest_remainders(parts: list[int], count: int) -> None:
    prior = shared(*(part / sum(parts) for part in parts))
    given_ = quotas(prior, count)
    exact = [part * count / sum(parts) for part in parts]
    assert sum(given_) == count
    assert all(abs(number - share) < 1 for number, share in zip(given_, exact, strict=True))
    remainders = [
        (share - math.floor(share + 1e-9), share < number - 1e-9) for number, share in zip(given_, exact, strict=True)
    ]
    least_up = min((rest for rest, up in remainders if up), default=1.0)
    assert all(rest <= least_up + 1e-9 for rest, up in remainders if not up)


def test_of_equal_remainders_the_first_groups_are_rounded_up() -> None:
    assert quotas(shared(0.25, 0.25, 0.25, 0.25), 6) == [2, 2, 1, 1]
    assert quotas(shared(0.7, 0.3), 5) == [4, 1]
    assert quotas(shared(0.29, 0.71), 100) == [29, 71]
    assert quotas(UniformPrior(), 7) == [7]


@pytest.mark.parametrize(
    ("count", "dimension", "limit", "bound"),
    [(5, 4, -0.251, "simplex"), (8, 4, -0.001, "orthoplex"), (12, 3, 0.447, "Levenshtein"), (3, 8, -0.501, "simplex")],
)
def test_impossible_limits_are_refused_at_once_and_name_the_bound(
    count: int, dimension: int, limit: float, bound: str
) -> None:
    prior = Counted(UniformPrior())
    with pytest.raises(RecipeError, match=f"^no {count} vectors in {dimension} .*by the {bound} bound") as wall:
        found(prior, Wanted(count, limit), dimension)
    assert not isinstance(wall.value, SaturationError)
    assert "\n" not in str(wall.value)
    assert prior.drawn == 0


@pytest.mark.parametrize(("dimension", "limit", "most"), [(8, 0.5, 240), (23, 1 / 3, 4600), (2, 0.5, 6), (4, -0.25, 5)])
def test_a_refusal_says_how_many_a_perfect_arrangement_holds(dimension: int, limit: float, most: int) -> None:
    with pytest.raises(RecipeError, match=f"and at most {most} can keep this limit"):
        found(UniformPrior(), Wanted(most + 1, limit), dimension)


def test_a_limit_that_a_bound_just_allows_is_not_refused() -> None:
    axes = torch.cat((torch.eye(4), -torch.eye(4)))
    assert len(found(Given(axes), Wanted(8, 0.0), 4).candidate) == 8


def saturated(prior: Prior, wanted: Wanted, dimension: int, *, width: int = 1, seed: int = 1) -> tuple[int, str]:
    """How many are said to fit, and the whole message, of a search that cannot succeed."""
    with pytest.raises(SaturationError) as full:
        found(prior, wanted, dimension, width=width, seed=seed)
    message = str(full.value)
    held = HELD.search(message)
    assert held, message
    assert "\n" not in message
    assert "ask for fewer, or raise identities.separation.max_cosine" in message
    assert int(held[2]) == wanted.count
    return int(held[1]), message


def test_a_full_sphere_ends_the_search_and_says_how_many_fit() -> None:
    prior = Counted(Stream(torch.eye(3)))
    holds, message = saturated(prior, Wanted(4, 0.5), 3)
    assert holds == 3
    assert message.startswith("at max_cosine 0.5 in 3 dimensions this prior holds 3 of the 4 identities asked for")
    assert prior.drawn <= BARREN_CANDIDATES + BLOCK


def test_a_sphere_that_fills_ever_more_slowly_is_given_up_too() -> None:
    """A newcomer now and then must not keep the search alive for ever."""
    vectors = torch.eye(100)[(torch.arange(40 * TILE) // 400).clamp(max=99)]
    wanted = Wanted(101, 0.5, 30.0)
    prior = Counted(Stream(vectors))
    saturated(prior, wanted, 100)
    assert prior.drawn <= wanted.budget


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_search_ends_within_its_budget(seed: int) -> None:
    """Enough of those who are wanted fit that no forecast ends it early."""
    wanted = Wanted(1000, 0.45, 8.0)
    fit = greedy_among_many(all_of(UniformPrior(), wanted.budget, 32, seed).vectors, wanted.max_cosine)
    assert 770 < len(fit) < 1000
    prior = Counted(UniformPrior())
    holds, message = saturated(prior, wanted, 32, seed=seed)
    assert f"(after {wanted.budget} candidates)" in message
    assert prior.drawn == wanted.budget
    assert holds == len(fit)


@pytest.mark.parametrize(("count", "limit", "patience"), [(9500, 0.62, 1.0), (400, 0.4, 10.0), (4000, 0.45, 6.0)])
def test_where_a_search_ends_does_not_depend_on_the_number_of_threads(
    count: int, limit: float, patience: float
) -> None:
    outcomes = set()
    for width in (1, 2, 3):
        try:
            outcomes.add(str(found(UniformPrior(), Wanted(count, limit, patience), 32, width=width).drawn))
        except SaturationError as full:
            outcomes.add(str(full))
    assert len(outcomes) == 1


def test_a_prior_that_runs_out_says_how_many_fit() -> None:
    prior = Given(directions(1, 700, 6))
    candidates = all_of(prior, 700, 6)
    kept = greedy(candidates, [700], 0.7)
    assert holds_those(found(prior, Wanted(len(kept), 0.7), 6), candidates, kept)
    with pytest.raises(SaturationError) as ended:
        found(prior, Wanted(len(kept) + 1, 0.7), 6)
    assert f"no more candidates: of the first 700, {len(kept)} fit at max_cosine 0.7" in str(ended.value)


def test_groups_that_are_not_full_are_named() -> None:
    sprawl = VonMisesFisher(1e5, torch.eye(8)[:1])
    prior = Groups(((Group("pinned", 0.25), sprawl), (Group("free", 0.75), UniformPrior())))
    _, message = saturated(prior, Wanted(40, 0.7), 8)
    assert "asked for (groups pinned are not full)" in message


def test_one_group_that_runs_out_ends_the_search_only_if_it_is_not_full() -> None:
    prior = Groups(((Group("few", 0.5), Given(torch.eye(16)[:3])), (Group("many", 0.5), UniformPrior())))
    assert found(prior, Wanted(6, 0.5), 16).people.group.bincount().tolist() == [3, 3]
    with pytest.raises(SaturationError, match="no more candidates for the group few: of the first 6, 6 fit"):
        found(prior, Wanted(8, 0.5), 16)


@pytest.mark.parametrize(
    ("dimension", "limit", "count", "seed"),
    [(32, 0.3, 600, 1), (32, 0.35, 900, 2), (16, 0.5, 600, 3), (8, 0.6, 300, 4)],
)
def test_an_early_forecast_is_within_40_percent_of_what_a_whole_search_holds(
    dimension: int, limit: float, count: int, seed: int
) -> None:
    wanted, prior = Wanted(count, limit), Counted(UniformPrior())
    whole = len(greedy_among_many(all_of(UniformPrior(), wanted.budget, dimension, seed).vectors, limit))
    holds, message = saturated(prior, wanted, dimension, width=2, seed=seed)
    assert "foreseen after" in message
    assert prior.drawn < wanted.budget / 2
    assert 0.6 * whole < holds < 1.4 * whole


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_search_that_can_just_succeed_is_not_given_up(seed: int) -> None:
    patience = 20.0
    fit = greedy_among_many(all_of(UniformPrior(), Wanted(1, 0.5, patience).budget, 16, seed).vectors, 0.5)
    separated = found(UniformPrior(), Wanted(len(fit), 0.5, patience), 16, seed=seed, width=2)
    assert separated.candidate.tolist() == fit


@pytest.mark.parametrize(("dimension", "limit", "count"), [(32, 0.35, 900), (16, 0.5, 600), (64, 0.2, 800)])
def test_the_limit_that_is_advised_holds_those_who_are_wanted(dimension: int, limit: float, count: int) -> None:
    _, message = saturated(UniformPrior(), Wanted(count, limit), dimension)
    advised = ADVICE.search(message)
    assert advised, message
    assert len(found(UniformPrior(), Wanted(count, float(advised[1])), dimension).candidate) == count
    assert float(advised[1]) < limit + 0.15


def test_a_search_tells_after_every_block_how_far_it_is() -> None:
    heard: list[Tally] = []
    separated = separate(UniformPrior(), 1, 32, Wanted(900, 0.5), Threads(1), heard.append)
    assert len(heard) > 2
    assert heard == sorted(heard, key=lambda tally: tally.candidates)
    assert heard[-1].kept == 900
    assert heard[-1].candidates >= separated.drawn
    for tally in heard:
        assert int((separated.candidate < tally.candidates).sum()) == tally.kept


@pytest.mark.parametrize(("limit", "looked"), [(0.48, 4000), (0.5, 2000), (0.52, 2000)])
def test_a_look_ahead_foresees_how_many_candidates_a_search_takes(limit: float, looked: int) -> None:
    wanted, prior = Wanted(1500, limit), Counted(UniformPrior())
    separated = found(UniformPrior(), wanted, 32, width=2)
    outlook = look_ahead(prior, 1, 32, wanted, Threads(2), looked)
    assert looked <= outlook.candidates == prior.drawn < separated.drawn
    assert outlook.kept == int((separated.candidate < outlook.candidates).sum())
    assert outlook.needed == pytest.approx(separated.drawn, rel=0.4)
    assert outlook.fitting == 1500


def test_a_look_ahead_at_a_search_that_succeeds_has_nothing_to_foretell() -> None:
    outlook = look_ahead(UniformPrior(), 1, 32, Wanted(20, 0.6), Threads(1), 4000)
    assert (outlook.kept, outlook.needed, outlook.fitting) == (20, None, 20.0)


def test_identities_are_unit_vectors() -> None:
    people = found(UniformPrior(), Wanted(60, 0.5), 16).people
    assert torch.allclose(inner(people.vectors, people.vectors), torch.ones(60).double(), atol=1e-7)
