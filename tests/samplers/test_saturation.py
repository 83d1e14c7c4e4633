"""Forecasts of searches that follow the forecast's own law, and limits told from histograms made by hand."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.pairs import BINS
from samplers.saturation import LEAST_REFUSED, Forecast, Tally, forecast, roomier_limit

LAWS = st.builds(Forecast, st.floats(0.2, 30), st.floats(5, 2000))


def search(law: Forecast, candidates: int, seed: int, every: int = 100) -> list[Tally]:
    """The tallies of a search whose candidates are kept by chance, as the law says."""
    chance, kept, tallies = random.Random(seed), 0, []
    for looked in range(1, candidates + 1):
        kept += chance.random() < (1 + kept / law.b) ** -law.a
        if looked % every == 0:
            tallies.append(Tally(looked, kept))
    return tallies


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "law", [Forecast(1.0, 400.0), Forecast(3.0, 300.0), Forecast(8.0, 400.0), Forecast(40.0, 9000.0)]
)
def test_a_search_by_the_law_is_forecast(law: Forecast, seed: int) -> None:
    """What was seen is met within 5 %, what ten times as many candidates give within 15 %."""
    tallies = search(law, 10_000, seed)
    fitted = forecast(tallies)
    assert fitted is not None
    for tally in tallies[9:]:
        assert fitted.kept(tally.candidates) == pytest.approx(tally.kept, rel=0.05)
        assert fitted.candidates(tally.kept) == pytest.approx(tally.candidates, rel=0.2)
    assert fitted.kept(100_000) == pytest.approx(law.kept(100_000), rel=0.15)
    wanted = law.kept(40_000)
    assert fitted.candidates(wanted) == pytest.approx(40_000, rel=0.5)


def test_alike_candidates_are_forecast_by_a_single_exponential() -> None:
    """The chance exp(-k / 100): ever more candidates for the next identity, e times as many for each hundred."""
    kept, tallies, chance = 0, [], random.Random(3)
    for looked in range(1, 8001):
        kept += chance.random() < 2.718281828 ** (-kept / 100)
        if looked % 500 == 0:
            tallies.append(Tally(looked, kept))
    fitted = forecast(tallies)
    assert fitted is not None
    assert fitted.kept(80_000) == pytest.approx(100 * 6.686, rel=0.1)  # log(1 + 80,000 / 100)


@settings(max_examples=200)
@given(LAWS, st.floats(1, 1e6))
def test_kept_and_candidates_are_each_others_inverse(law: Forecast, candidates: float) -> None:
    assert law.candidates(law.kept(candidates)) == pytest.approx(candidates, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.builds(Forecast, st.floats(0.2, 30), st.floats(100, 2000)), st.integers(1, 3000))
def test_the_candidates_taken_are_the_sum_of_the_waits_for_each(law: Forecast, kept: int) -> None:
    waits = (1 + (torch.arange(kept, dtype=torch.float64) + 0.5) / law.b) ** law.a
    assert law.candidates(kept) == pytest.approx(float(waits.sum()), rel=0.01)


@given(LAWS, st.floats(1, 1e9), st.floats(1.01, 100))
def test_more_candidates_never_keep_fewer_nor_more_than_all_of_themselves(
    law: Forecast, candidates: float, factor: float
) -> None:
    few, many = law.kept(candidates), law.kept(candidates * factor)
    assert few <= many
    assert few <= candidates * (1 + 1e-9)


def test_so_many_that_no_number_tells_them_are_still_a_number() -> None:
    assert 1e100 < Forecast(300.0, 10.0).candidates(1e9) < float("inf")


def test_nothing_is_forecast_while_too_few_were_refused() -> None:
    assert forecast([]) is None
    assert forecast([Tally(1000, 1000)]) is None
    assert forecast([Tally(1000, 1001 - LEAST_REFUSED)]) is None
    assert forecast([Tally(1000, 1000 - LEAST_REFUSED)]) is not None


def test_tallies_that_follow_each_other_count_once() -> None:
    """Only what lies between two tallies is new: more of them say no more, but say it finer."""
    tallies = search(Forecast(3.0, 300.0), 10_000, 1)
    fine, coarse = forecast(tallies), forecast(tallies[9::10])
    assert fine is not None
    assert coarse is not None
    assert fine.kept(100_000) == pytest.approx(coarse.kept(100_000), rel=0.05)


def histogram(**pairs: int) -> Tensor:
    """Pairs by cosine, the keywords being c35 for 0.35."""
    counts = torch.zeros(BINS, dtype=torch.int64)
    for name, count in pairs.items():
        counts[100 + int(name[1:])] = count
    return counts


def test_the_roomier_limit_has_as_much_less_beyond_it_as_more_are_wanted() -> None:
    counts = histogram(c10=10**6, c50=900, c60=90, c70=10)
    assert roomier_limit(counts, 0.45, 50, 500) == pytest.approx(0.51)  # a tenth: 100 of the 1000
    assert roomier_limit(counts, 0.45, 50, 501) == pytest.approx(0.61)
    assert roomier_limit(counts, 0.55, 50, 500) == pytest.approx(0.61)
    assert roomier_limit(counts, 0.45, 1, 1000) == pytest.approx(0.71)
    assert roomier_limit(counts, -0.5, 1, 1001) == pytest.approx(0.11)
    assert roomier_limit(counts, -0.5, 1, 1002) == pytest.approx(0.51)


def test_no_limit_is_told_where_the_histogram_ends() -> None:
    counts = histogram(c10=1000, c50=10)
    assert roomier_limit(counts, 0.5, 10, 100) is None
    assert roomier_limit(counts, 0.995, 10, 100) is None
    assert roomier_limit(counts, 1.0, 10, 100) is None
    assert roomier_limit(histogram(c100=10), 0.5, 10, 100) is None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(-50, 90), st.floats(0.001, 0.9))
def test_the_limit_told_is_the_first_with_few_enough_pairs_beyond(seed: int, at: int, share: float) -> None:
    counts = torch.randint(0, 50, (BINS,), generator=torch.Generator().manual_seed(seed))
    limit = roomier_limit(counts, at / 100, share * 1000, 1000)
    beyond = [int(counts[place:].sum()) for place in range(BINS)]
    first = 100 + at + 1
    enough = [place for place in range(first + 1, BINS) if beyond[place] <= beyond[first] * share]
    assert limit == (None if not enough else pytest.approx((enough[0] - 100) / 100))
