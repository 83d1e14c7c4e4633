"""Unique identities by the published rule, one prefix after the other."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.hands import Threads
from samplers.pairs import TILE
from samplers.uniqueness import unique_so_far
from tests.samplers.brute import SEEDS, Vectors, about, cosines, directions, few_distinct


def published(vectors: Tensor, limit: float) -> int:
    """How many vectors have no other one before them above the limit: the whole matrix of one list, as published."""
    above = (cosines(vectors) > limit).tril(-1)
    return int((~above.any(1)).sum())


@settings(deadline=None, max_examples=40)
@given(
    SEEDS,
    st.integers(0, 40),
    st.integers(2, 12),
    st.floats(-0.9, 0.99),
    st.sampled_from([directions, few_distinct]),
)
def test_every_prefix_has_as_many_unique_identities_as_by_the_published_rule(
    seed: int, count: int, dimension: int, limit: float, vectors_of: Vectors
) -> None:
    vectors = vectors_of(seed, max(count, 1), dimension)[:count]
    unique = unique_so_far(vectors, limit, Threads(1))
    assert unique.dtype == torch.bool
    assert unique.cumsum(0).tolist() == [published(vectors[:length], limit) for length in range(1, count + 1)]


@pytest.mark.parametrize(("dimension", "limit"), [(3, 0.999), (16, 0.75)])
def test_all_prefixes_of_more_than_a_tile_are_right_for_any_number_of_threads(dimension: int, limit: float) -> None:
    vectors = directions(1, 2 * TILE + 5, dimension)
    expected = ~(cosines(vectors) > limit).tril(-1).any(1)
    assert 100 < int(expected.sum()) < len(vectors) - 100
    for width in (1, 2, 3):
        assert torch.equal(unique_so_far(vectors, limit, Threads(width)), expected), width


def test_of_equal_vectors_only_the_first_is_unique() -> None:
    vectors = directions(1, 10, 64).repeat(TILE // 10 + 2, 1)
    unique = unique_so_far(vectors, 0.9, Threads(2))
    assert unique.nonzero()[:, 0].tolist() == list(range(10))


def test_who_is_not_unique_counts_against_those_after_it_all_the_same() -> None:
    """The stricter rule, which asks the unique alone, would find the third unique."""
    angle = torch.tensor([0.0, 0.5, 1.0])
    vectors = torch.stack((angle.cos(), angle.sin()), 1)
    assert unique_so_far(vectors, math.cos(0.6), Threads(1)).tolist() == [True, False, False]


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(3, 64), st.lists(st.floats(-1e-7, 1e-7), min_size=1, max_size=20), st.floats(-0.5, 0.9))
def test_cosines_within_1e_7_of_the_limit_are_judged_exactly(
    seed: int, dimension: int, offsets: list[float], limit: float
) -> None:
    vectors = about(seed, dimension, [limit + offset for offset in offsets])
    expected = ~(cosines(vectors) > limit).tril(-1).any(1)
    assert torch.equal(unique_so_far(vectors, limit, Threads(1)), expected)


def test_a_cosine_equal_to_the_limit_is_unique_and_one_a_bit_above_is_not() -> None:
    vectors = directions(1, 2, 8)
    cosine = float(cosines(vectors).max())
    assert unique_so_far(vectors, cosine, Threads(1)).tolist() == [True, True]
    assert unique_so_far(vectors, math.nextafter(cosine, -2), Threads(1)).tolist() == [True, False]
