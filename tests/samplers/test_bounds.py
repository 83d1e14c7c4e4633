"""Bounds against tight codes, closed forms, design theory and vectors drawn at random."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.bounds import (
    least_max_cosine,
    levenshtein_bound,
    levenshtein_size,
    orthoplex_bound,
    simplex_bound,
    welch_bound,
)

#: Dimension, largest cosine and size of sharp codes (Cohn and Kumar 2007, table 1): none is larger or wider.
TIGHT = [
    (3, 1 / math.sqrt(5), 12),  # the icosahedron
    (5, 1 / 5, 16),
    (6, 1 / 4, 27),
    (7, 1 / 3, 56),
    (8, 1 / 2, 240),  # the roots of E8
    (21, 1 / 7, 162),
    (22, 1 / 6, 275),
    (23, 1 / 3, 4600),
    (24, 1 / 2, 196_560),  # the shortest vectors of the Leech lattice
]
DIMENSIONS = st.integers(3, 4096)
PARTS = st.floats(0.001, 0.999)


def largest_zero(k: int, a: float, b: float) -> float:
    """Of the Jacobi polynomial P_k^{(a, b)}: the largest eigenvalue of its symmetric tridiagonal matrix."""
    j = np.arange(1, k)
    twice = 2 * j + a + b
    middle = [(b - a) / (a + b + 2), *((b * b - a * a) / (twice * (twice + 2)))]
    beside = 4 * j * (j + a) * (j + b) * (j + a + b) / (twice**2 * (twice + 1) * (twice - 1))
    beside[:1] = 4 * (1 + a) * (1 + b) / ((2 + a + b) ** 2 * (3 + a + b))
    return float(np.linalg.eigvalsh(np.diag(middle) + np.diag(np.sqrt(beside), 1) + np.diag(np.sqrt(beside), -1))[-1])


@pytest.mark.parametrize(("dimension", "cosine", "size"), TIGHT)
def test_tight_codes_meet_the_levenshtein_bound(dimension: int, cosine: float, size: int) -> None:
    assert levenshtein_size(dimension, cosine) == pytest.approx(size, rel=1e-12)
    assert levenshtein_bound(size, dimension) == pytest.approx(cosine, abs=1e-12)
    assert least_max_cosine(size, dimension) == (levenshtein_bound(size, dimension), "Levenshtein")


def test_the_600_cell_stays_below_the_bound_for_it_is_not_sharp() -> None:
    assert 120 < levenshtein_size(4, math.cos(math.pi / 5)) < 122
    assert math.cos(math.pi / 5) - 0.002 < levenshtein_bound(120, 4) < math.cos(math.pi / 5)


@settings(deadline=None)
@given(DIMENSIONS, PARTS)
def test_the_first_three_sizes_have_closed_forms(n: int, part: float) -> None:
    s = -1 + part * (1 - 1 / n)
    assert levenshtein_size(n, s) == pytest.approx((s - 1) / s, rel=1e-9)
    s = (part - 1) / n
    assert levenshtein_size(n, s) == pytest.approx(2 * n * (1 - s) / (1 - n * s), rel=1e-9)
    s = part * (math.sqrt(n + 3) - 1) / (n + 2)
    assert levenshtein_size(n, s) == pytest.approx(n * (1 - s) * (2 + (n + 1) * s) / (1 - n * s * s), rel=1e-9)


@pytest.mark.parametrize("n", [3, 4, 8, 24, 512])
@pytest.mark.parametrize("k", [1, 2, 3, 7, 20])
def test_where_its_intervals_meet_the_bound_is_the_size_of_a_tight_design(n: int, k: int) -> None:
    half = (n - 3) / 2
    odd_end, even_end = largest_zero(k, half + 1, half), largest_zero(k, half + 1, half + 1)
    even_design = math.comb(n + k - 1, k) + math.comb(n + k - 2, k - 1)  # Delsarte, Goethals and Seidel 1977
    odd_design = 2 * math.comb(n + k - 1, k)
    for nudge in (-1e-13, 0.0, 1e-13):  # on whichever side rounding puts it
        assert levenshtein_size(n, odd_end + nudge) == pytest.approx(even_design, rel=1e-7)
        assert levenshtein_size(n, even_end + nudge) == pytest.approx(odd_design, rel=1e-7)


@settings(deadline=None)
@given(DIMENSIONS, st.floats(-0.999, 0.9), st.floats(1e-4, 0.05))
def test_more_vectors_are_allowed_where_they_may_be_nearer(n: int, cosine: float, step: float) -> None:
    nearer = levenshtein_size(n, cosine + step)
    assert levenshtein_size(n, cosine) < nearer or nearer == math.inf


@settings(deadline=None, max_examples=100)
@given(st.integers(3, 10**8), DIMENSIONS)
def test_the_levenshtein_bound_is_where_the_size_reaches_the_count(count: int, dimension: int) -> None:
    bound = levenshtein_bound(count, dimension)
    assert levenshtein_size(dimension, bound - 1e-9 * (1 - bound)) < count
    assert levenshtein_size(dimension, min(bound + 1e-9 * (1 - bound), 0.999999999)) >= count * (1 - 1e-9)


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 2**31))
def test_no_vectors_drawn_at_random_are_farther_apart_than_the_bounds(count: int, dimension: int, seed: int) -> None:
    rows = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows /= rows.norm(dim=1, keepdim=True)
    cosines = (rows @ rows.T).fill_diagonal_(-2)
    largest = float(cosines.max())
    for bound in (
        least_max_cosine(count, dimension)[0],
        levenshtein_bound(count, dimension),
        simplex_bound(count),
        orthoplex_bound(count, dimension),
    ):
        assert largest >= bound - 1e-12
    absolute = max(largest, -float(cosines.fill_diagonal_(0).min()))
    assert absolute >= welch_bound(count, dimension) - 1e-12


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 64])
def test_each_bound_speaks_where_it_is_the_strongest(dimension: int) -> None:
    assert [least_max_cosine(count, dimension) for count in (0, 1, 2)] == [(-1.0, "simplex")] * 3
    simplex, orthoplex, crowd = dimension + 1, 2 * dimension, 2 * dimension + 1
    assert least_max_cosine(simplex, dimension) == (-1 / dimension, "simplex")
    assert least_max_cosine(orthoplex, dimension) == ((-1.0, "simplex") if dimension == 1 else (0.0, "orthoplex"))
    bound, name = least_max_cosine(crowd, dimension)
    assert bound > 0
    assert name == "Levenshtein"


def test_the_circle_and_the_line_are_exact() -> None:
    assert least_max_cosine(5, 2)[0] == pytest.approx(math.cos(math.tau / 5), abs=1e-15)
    assert levenshtein_size(2, math.cos(math.tau / 5)) == pytest.approx(5)
    assert least_max_cosine(3, 1) == (1.0, "Levenshtein")
    assert levenshtein_size(1, 0.3) == 2


@pytest.mark.parametrize("dimension", [2, 3, 4, 16, 512, 4096])
def test_a_hundred_million_vectors_have_a_bound(dimension: int) -> None:
    bounds = [least_max_cosine(count, dimension)[0] for count in (10**4, 10**6, 10**8)]
    assert 0 <= bounds[0] < bounds[1] < bounds[2] < 1


def test_welch_bounds_absolute_cosines_and_the_orthoplex_beats_it() -> None:
    assert welch_bound(9, 8) == pytest.approx(1 / 8)  # the simplex, whose cosines are all -1/8
    assert welch_bound(16, 8) > 0.25 > orthoplex_bound(16, 8)
    assert welch_bound(8, 8) == welch_bound(1, 1) == 0


def test_nonsense_is_refused() -> None:
    for bound in (welch_bound, orthoplex_bound, levenshtein_bound, least_max_cosine):
        with pytest.raises(ValueError, match="no 5 vectors in 0 dimensions"):
            bound(5, 0)
    with pytest.raises(ValueError, match=r"between -1 and 1, not at 1\.5"):
        levenshtein_size(3, 1.5)
    assert levenshtein_size(3, 1.0) == math.inf
    assert levenshtein_size(4096, 0.9) == math.inf
