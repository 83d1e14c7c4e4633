"""All pairs against brute force in float64, and the compiled passes over tiles against the plain ones."""

from types import ModuleType
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers import tile_numba, tile_torch
from samplers.hands import Threads
from samplers.pairs import BINS, TILE, Pairs, compare_all
from samplers.sphere import inner, product
from tests.samplers.brute import SEEDS, Vectors, about, brute_force, cosines, directions, few_distinct

DOORS = (tile_torch, tile_numba)


def same(one: Pairs, other: Pairs) -> bool:
    """To the last bit."""
    histograms = cast(Tensor, one.histogram), cast(Tensor, other.histogram)
    same_neighbours = torch.equal(one.nearest, other.nearest) and torch.equal(one.cosine, other.cosine)
    return same_neighbours and torch.equal(*histograms)


def compared(vectors: Tensor, width: int = 1) -> Pairs:
    return compare_all(vectors, Threads(width), histogram=True)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(0, 70), st.integers(2, 40), st.sampled_from([directions, few_distinct]))
def test_neighbours_and_histogram_are_those_of_brute_force(
    seed: int, count: int, dimension: int, vectors_of: Vectors
) -> None:
    vectors = vectors_of(seed, count, dimension)
    assert same(compared(vectors), brute_force(vectors))


@pytest.mark.parametrize("vectors_of", [directions, few_distinct])
@pytest.mark.parametrize(
    ("count", "dimension"),
    [(1, 8), (2, 8), (TILE - 1, 3), (TILE, 3), (TILE + 1, 3), (TILE + 1, 96), (2 * TILE + 5, 5)],
)
def test_all_sizes_about_a_tile_and_any_number_of_threads_agree_with_brute_force(
    count: int, dimension: int, vectors_of: Vectors
) -> None:
    vectors = vectors_of(1, count, dimension)
    expected = brute_force(vectors)
    for width in (1, 2, 3):
        assert same(compared(vectors, width), expected), width


def test_of_equals_the_lower_number_is_the_nearest_in_every_tile() -> None:
    """Orthonormal vectors over and over: nobody's nearest is unique."""
    vectors = torch.eye(64).repeat(TILE // 64 + 2, 1)
    for width in (1, 3):
        found = compared(vectors, width)
        assert found.nearest.tolist() == [*range(64, 128), *(row % 64 for row in range(64, len(vectors)))]
        assert set(found.cosine.tolist()) == {1.0}
    lonely = compared(torch.eye(TILE + 2)[1:])
    assert lonely.nearest.tolist() == [1] + [0] * TILE
    assert set(lonely.cosine.tolist()) == {0.0}
    assert cast(Tensor, lonely.histogram)[BINS // 2] == TILE * (TILE + 1) // 2


def test_opposite_vectors_are_each_others_nearest() -> None:
    found = compared(torch.eye(4)[:1] * torch.tensor([[1.0], [-1.0]]))
    assert (found.nearest.tolist(), found.cosine.tolist()) == ([1, 0], [-1.0, -1.0])
    assert cast(Tensor, found.histogram).nonzero().tolist() == [[0]]


@pytest.mark.parametrize("seed", range(6))
def test_cosines_that_float32_cannot_tell_apart_are_told_apart(seed: int) -> None:
    """Twenty vectors at nearly the same cosine to the first, in either half of the first two tiles."""
    close = about(seed, 64, [0.9 + 1e-9 * number for number in range(20)])
    assert len(set(product(close[:1], close[1:])[0].tolist())) < 20
    assert same(compared(close), brute_force(close))
    far = directions(seed, TILE, 64)
    apart = torch.cat((close[:10], far, close[10:]))
    assert same(compared(apart, 2), brute_force(apart))


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(3, 64), st.lists(st.tuples(st.integers(-99, 99), st.floats(-1e-7, 1e-7)), min_size=1))
def test_cosines_within_1e_7_of_the_edge_of_a_bin_are_counted_exactly(
    seed: int, dimension: int, places: list[tuple[int, float]]
) -> None:
    vectors = about(seed, dimension, [bin_ / 100 + 0.005 + offset for bin_, offset in places])
    assert same(compared(vectors), brute_force(vectors))


def test_no_histogram_is_made_where_none_is_asked_for() -> None:
    vectors = directions(1, TILE + 3, 6)
    bare, full = compare_all(vectors, Threads(2), histogram=False), compared(vectors)
    assert bare.histogram is None
    assert torch.equal(bare.nearest, full.nearest)
    assert torch.equal(bare.cosine, full.cosine)


def test_the_share_of_the_pairs_that_is_done_is_told_after_every_row_of_tiles() -> None:
    vectors, shares = directions(1, 2 * TILE + 5, 3), list[float]()
    compare_all(vectors, Threads(2), histogram=False, tell=shares.append)
    left = [(len(vectors) - TILE * rows) / len(vectors) for rows in (1, 2)]
    assert shares == pytest.approx([1 - left[0] ** 2, 1 - left[1] ** 2, 1.0])


def test_the_vectors_are_left_as_they_were() -> None:
    vectors = directions(1, 50, 6)
    before = vectors.clone()
    compared(vectors)
    assert torch.equal(vectors, before)


def cut_by(door: ModuleType, vectors: Tensor, size: int) -> Pairs:
    """All pairs by the passes of a door, over tiles of any size."""
    count = len(vectors)
    floor = torch.full((count,), -2.0)
    best, nearest = torch.full((count,), -2.0).double(), torch.full((count,), -1)
    counts = torch.zeros(BINS, dtype=torch.int64)
    for first in range(0, count, size):
        for second in range(first, count, size):
            a, b = vectors[first : first + size], vectors[second : second + size]
            tile = product(a, b)
            door.count_cosines(a, b, tile, first == second, counts)
            if first == second:
                door.hide_lower(tile)
            door.find_nearest(a, b, tile, (first, second), floor, best, nearest)
    return Pairs(nearest, best, counts)


@settings(deadline=None, max_examples=30)
@given(
    SEEDS,
    st.integers(2, 60),
    st.integers(2, 40),
    st.integers(1, 70),
    st.sampled_from([directions, few_distinct]),
)
def test_both_doors_find_the_same_however_the_pairs_are_cut_into_tiles(
    seed: int, count: int, dimension: int, size: int, vectors_of: Vectors
) -> None:
    vectors = vectors_of(seed, count, dimension)
    for door in DOORS:
        assert same(cut_by(door, vectors, size), brute_force(vectors)), door.__name__


@pytest.mark.parametrize("vectors_of", [directions, few_distinct])
def test_both_doors_find_the_same_in_whole_tiles(vectors_of: Vectors) -> None:
    vectors = vectors_of(3, TILE + 40, 24)
    expected = compared(vectors)
    for door in DOORS:
        assert same(cut_by(door, vectors, TILE), expected), door.__name__


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40), st.integers(2, 24), st.floats(-1e-7, 1e-7))
def test_both_doors_refuse_the_same_rows_and_those_of_brute_force(
    seed: int, rows: int, columns: int, dimension: int, offset: float
) -> None:
    vectors = few_distinct(seed, rows + columns, dimension)
    a, b = vectors[:rows], vectors[rows:]
    every = cosines(vectors)[:rows, rows:]
    for limit in (float(every.median()) + offset, float(every.max()), float(every.min()) + offset, 0.3):
        before = torch.rand(rows, generator=torch.Generator().manual_seed(seed)) < 0.2
        for door in DOORS:
            refused = before.clone()
            door.mark_too_close(a, b, product(a, b), limit, refused)
            assert torch.equal(refused, before | (every > limit).any(1)), door.__name__
        pairs = tile_torch.pairs_too_close(a, b, product(a, b), limit)
        assert torch.equal(pairs, (every > limit).nonzero())


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40), st.integers(2, 24), st.sampled_from([-0.5, 0.2, 0.6, 0.95]))
def test_both_doors_push_by_what_exceeds_the_target(
    seed: int, rows: int, columns: int, dimension: int, target: float
) -> None:
    """Also where few pairs are near and the compiled pass adds them one by one."""
    vectors = directions(seed, rows + columns, dimension)
    a, b = vectors[:rows], vectors[rows:]
    tile = product(a, b)
    expected = (tile.double() - target).clamp(min=0) @ b.double() + 1
    for door in DOORS:
        push = torch.ones(rows, dimension)
        assert door.push_apart(tile.clone(), b, target, push) == float(tile.max())
        assert torch.allclose(push.double(), expected, atol=1e-5), door.__name__


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(2, 50), st.integers(2, 600))
def test_the_compiled_cosine_is_that_of_the_sphere_to_the_last_bit(seed: int, count: int, dimension: int) -> None:
    vectors = directions(seed, count, dimension)
    found = compared(vectors)
    assert torch.equal(found.cosine, inner(vectors, vectors[found.nearest]))
