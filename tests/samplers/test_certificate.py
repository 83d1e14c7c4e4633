"""The certificate against brute force in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.bounds import levenshtein_bound, welch_bound
from samplers.certificate import METHOD, Certificate, certify
from samplers.cones import ConeProof
from samplers.hands import Threads
from samplers.pairs import BINS, TILE, compare_all
from tests.samplers.brute import SEEDS, Vectors, brute_force, cosines, directions, few_distinct


def certified(vectors: Tensor, limit: float, width: int = 1) -> Certificate:
    return certify(vectors, compare_all(vectors, Threads(width), histogram=True), limit, None)


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(2, 60), st.integers(2, 40), st.sampled_from([directions, few_distinct]))
def test_a_certificate_says_what_brute_force_finds(seed: int, count: int, dimension: int, vectors_of: Vectors) -> None:
    vectors = vectors_of(seed, count, dimension)
    expected, every = brute_force(vectors), cosines(vectors)
    found = certified(vectors, 0.4)
    assert (found.count, found.dimension, found.limit, found.method) == (count, dimension, 0.4, METHOD)
    assert found.max_cosine == float(every.max())
    assert found.pair == divmod(int(every.flatten().numpy().argmax()), count)
    assert found.pairs_compared == count * (count - 1) // 2 == sum(found.histogram)
    assert expected.histogram is not None
    assert found.histogram == tuple(expected.histogram.tolist())
    assert len(found.histogram) == BINS
    assert found.welch_bound == pytest.approx(welch_bound(count, dimension), abs=1e-9)
    assert found.levenshtein_bound == pytest.approx(levenshtein_bound(count, dimension), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(2, 60), st.integers(2, 40))
def test_no_arrangement_is_certified_below_the_levenshtein_bound(seed: int, count: int, dimension: int) -> None:
    found = certified(directions(seed, count, dimension), 0.4)
    assert found.max_cosine is not None
    assert found.levenshtein_bound <= found.max_cosine + 1e-7


def test_a_perfect_arrangement_meets_its_bound() -> None:
    golden = (1 + math.sqrt(5)) / 2
    corners = [(0.0, one, other * golden) for one in (1, -1) for other in (1, -1)]
    rows = torch.tensor([corner[turn:] + corner[:turn] for corner in corners for turn in range(3)])
    found = certified(rows / rows.norm(dim=1, keepdim=True), 0.448)
    assert found.max_cosine == pytest.approx(found.levenshtein_bound, abs=1e-6)
    assert found.max_cosine == pytest.approx(1 / math.sqrt(5), abs=1e-6)
    assert found.holds


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(2, 30))
def test_a_certificate_holds_up_to_the_limit_itself_and_not_a_bit_below(seed: int, count: int) -> None:
    vectors = directions(seed, count, 8)
    largest = float(cosines(vectors).max())
    assert certified(vectors, largest).holds
    assert not certified(vectors, math.nextafter(largest, -2)).holds


def test_of_equally_near_pairs_the_first_is_named() -> None:
    assert certified(torch.eye(6).repeat(3, 1)[2:], 0.5).pair == (0, 6)


def test_one_identity_has_no_pair_and_every_limit_holds() -> None:
    found = certified(directions(1, 1, 8), -1.0)
    assert (found.count, found.max_cosine, found.pair, found.pairs_compared) == (1, None, None, 0)
    assert set(found.histogram) == {0}
    assert found.levenshtein_bound == -1.0
    assert found.holds


def test_any_number_of_threads_certifies_the_same() -> None:
    vectors = directions(5, 2 * TILE + 5, 8)
    one, two, three = (certified(vectors, 0.9, width) for width in (1, 2, 3))
    assert one == two == three
    assert one.max_cosine == float(cosines(vectors).max())


def test_the_proof_of_the_cones_is_handed_on() -> None:
    vectors = directions(1, 5, 8)
    proof = ConeProof(widest_deg=12.0, narrowest_deg=3.0, least_gap_deg=1.0, disjoint=True)
    pairs = compare_all(vectors, Threads(1), histogram=True)
    assert certify(vectors, pairs, 0.5, proof).cones == proof
    assert certify(vectors, pairs, 0.5, None).cones is None
