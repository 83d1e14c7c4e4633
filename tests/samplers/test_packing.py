"""Packing: how far apart vectors come, and that a course is the same for any hands and after any stop."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.bounds import levenshtein_bound
from samplers.hands import Threads
from samplers.packing import PackingLaw, PackingState, describe, pack, packed, start_packing
from samplers.pairs import TILE
from samplers.sphere import inner
from synth.packing_state import NAME, forget_packing, load_packing, save_packing
from synth.storages.local import LocalStorage
from tests.samplers.brute import SEEDS, cosines, directions

TENSORS = ("vectors", "velocity", "best")


def course(state: PackingState, law: PackingLaw, width: int = 1) -> list[PackingState]:
    """The state before the first step, and those after each."""
    return [state, *pack(state, law, Threads(width))]


def same(one: PackingState, other: PackingState) -> bool:
    """To the last bit."""
    numbers = [{name: value for name, value in vars(state).items() if name not in TENSORS} for state in (one, other)]
    return numbers[0] == numbers[1] and all(torch.equal(getattr(one, name), getattr(other, name)) for name in TENSORS)


def largest_cosine(vectors: Tensor) -> float:
    return float(cosines(vectors).max())


@pytest.mark.parametrize("seed", range(5))
def test_twelve_vectors_in_space_become_the_icosahedron(seed: int) -> None:
    end = course(start_packing(directions(seed, 12, 3)), PackingLaw(2000))[-1]
    assert largest_cosine(packed(end)) == pytest.approx(1 / math.sqrt(5), abs=1e-3)
    assert end.settled


@pytest.mark.parametrize(("count", "dimension"), [(2, 3), (3, 3), (4, 3), (5, 4), (9, 8)])
@pytest.mark.parametrize("seed", [1, 2])
def test_few_vectors_become_a_regular_simplex(count: int, dimension: int, seed: int) -> None:
    vectors = packed(course(start_packing(directions(seed, count, dimension)), PackingLaw(3000))[-1])
    every = cosines(vectors)[torch.ones(count, count).triu(1) > 0]
    assert torch.allclose(every, torch.tensor(-1 / (count - 1)).double(), atol=2e-3)


@pytest.mark.parametrize(("count", "dimension"), [(6, 3), (10, 5), (16, 8)])
def test_twice_as_many_vectors_as_dimensions_become_the_orthoplex(count: int, dimension: int) -> None:
    end = course(start_packing(directions(1, count, dimension)), PackingLaw(3000))[-1]
    assert largest_cosine(packed(end)) == pytest.approx(0, abs=2e-3)


@settings(deadline=None, max_examples=12)
@given(SEEDS, st.integers(2, 60), st.integers(2, 12))
def test_the_largest_cosine_falls_and_never_below_the_bound(seed: int, count: int, dimension: int) -> None:
    start = directions(seed, count, dimension)
    end = course(start_packing(start), PackingLaw(60))[-1]
    found = largest_cosine(packed(end))
    assert levenshtein_bound(count, dimension) - 1e-6 <= found <= largest_cosine(start) + 1e-6
    assert found == pytest.approx(end.reached, abs=1e-6)
    assert end.history[0] == pytest.approx(largest_cosine(start), abs=1e-6)


@pytest.mark.parametrize(("count", "dimension", "share"), [(500, 32, 0.5), (1500, 16, 0.75), (120, 4, 0.9)])
def test_many_vectors_come_much_farther_apart_than_they_were_drawn(count: int, dimension: int, share: float) -> None:
    start = directions(1, count, dimension)
    end = course(start_packing(start), PackingLaw(60), width=2)[-1]
    assert largest_cosine(packed(end)) < share * largest_cosine(start)


def test_the_result_is_the_best_step_and_not_the_last() -> None:
    states = course(start_packing(directions(2, 40, 5)), PackingLaw(150))
    end = states[-1]
    assert end.history[-1] > end.reached
    best = end.history.index(end.reached)
    assert torch.equal(end.best, states[best].vectors)
    assert torch.allclose(packed(end), end.best, atol=1e-6)


def test_vectors_keep_unit_length() -> None:
    end = course(start_packing(directions(1, 300, 24)), PackingLaw(40))[-1]
    assert torch.allclose(inner(end.vectors, end.vectors), torch.ones(300).double(), atol=1e-6)
    exact = end.best.double() / end.best.double().norm(dim=1, keepdim=True)
    assert torch.equal(packed(end), exact.float())


def test_any_number_of_threads_takes_the_same_course() -> None:
    start = start_packing(directions(1, TILE + 200, 8))
    one, two, three = (course(start, PackingLaw(12), width) for width in (1, 2, 3))
    for states in zip(one, two, three, strict=True):
        assert same(states[0], states[1])
        assert same(states[0], states[2])
    assert one[-1].step == 12


def test_a_crowded_tile_and_a_sparse_one_are_pushed_alike_by_any_number_of_threads() -> None:
    """A few vectors all near each other, where whole tiles are near, with a last tile of five rows."""
    gathered = torch.nn.functional.normalize(directions(3, TILE + 5, 6) + 3 * torch.eye(6)[:1], dim=1)
    ends = [course(start_packing(gathered), PackingLaw(6), width)[-1] for width in (1, 2, 3)]
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2])
    assert largest_cosine(packed(ends[0])) < largest_cosine(gathered)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS, st.integers(0, 29), st.integers(2, 50), st.booleans())
def test_a_stop_after_any_step_changes_nothing(tmp_path: Path, seed: int, stop: int, count: int, kept: bool) -> None:
    """Whether the state waits in memory or in storage."""
    law = PackingLaw(30, 0.3, directions(seed + 1, 9, 5))
    whole = course(start_packing(directions(seed, count, 5)), law)
    state = whole[stop]
    if kept:
        storage = LocalStorage(tmp_path)
        save_packing(storage, "plan", state)
        loaded = load_packing(storage, "plan")
        assert loaded is not None
        assert same(loaded, state)
        state = loaded
    assert all(map(same, course(state, law), whole[state.step :]))
    assert len(course(state, law)) == len(whole) - state.step


def test_steps_are_counted_from_the_very_start() -> None:
    start = start_packing(directions(1, 20, 5))
    first = course(start, PackingLaw(4))[-1]
    assert [state.step for state in pack(first, PackingLaw(7), Threads(1))] == [5, 6, 7]
    assert list(pack(first, PackingLaw(4), Threads(1))) == []


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Storage with a state after five steps."""
    found = LocalStorage(tmp_path)
    save_packing(found, "plan", course(start_packing(directions(1, 20, 5)), PackingLaw(5))[-1])
    return found


def test_a_state_of_another_plan_is_not_taken_up(storage: LocalStorage) -> None:
    assert load_packing(storage, "plan") is not None
    assert load_packing(storage, "another plan") is None


def test_a_later_state_takes_the_place_of_an_earlier_one(storage: LocalStorage) -> None:
    later = course(start_packing(directions(1, 20, 5)), PackingLaw(8))[-1]
    save_packing(storage, "plan", later)
    loaded = load_packing(storage, "plan")
    assert loaded is not None
    assert same(loaded, later)


def test_nothing_is_loaded_where_nothing_was_kept_or_all_is_forgotten(storage: LocalStorage, tmp_path: Path) -> None:
    assert load_packing(LocalStorage(tmp_path / "elsewhere"), "plan") is None
    forget_packing(storage)
    assert load_packing(storage, "plan") is None
    forget_packing(storage)


def test_a_state_that_was_cut_off_anywhere_is_not_taken_up(storage: LocalStorage) -> None:
    whole = storage.read(NAME)
    for length in {*range(0, len(whole), 97), 7, 8, 9, len(whole) - 1}:
        storage.replace(NAME, whole[:length])
        assert load_packing(storage, "plan") is None, length


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"velocity"', b'"velocitz"'),
        (b"history", b"hystory"),
        (b"stride", b"strode"),
        (b'"plan":', b'"plon":'),
        (b"__metadata__", b"__metadate__"),
        (b'\\"since\\": 5', b'\\"since\\"= 5'),
        (b"[20,5]", b"[20,6]"),
        (b"{", b"\xff"),
    ],
)
def test_a_state_with_a_damaged_head_is_not_taken_up(storage: LocalStorage, old: bytes, new: bytes) -> None:
    whole = storage.read(NAME)
    assert old in whole
    storage.replace(NAME, whole.replace(old, new, 1))
    assert load_packing(storage, "plan") is None


def nearness(pull: float, count: int, dimension: int, gallery: int, steps: int) -> float:
    """How near packed vectors lie to the nearest of a gallery, in the mean."""
    reference = directions(7, gallery, dimension)
    law = PackingLaw(steps, pull, reference)
    vectors = packed(course(start_packing(directions(1, count, dimension)), law, width=2)[-1])
    return float((vectors @ reference.T).amax(1).mean())


@pytest.mark.parametrize("pulls", [(0.0, 0.05, 0.1, 0.2, 0.4), (0.0, 0.4, 0.8, 1.6)], ids=["weak", "strong"])
@pytest.mark.parametrize(("count", "dimension", "gallery"), [(100, 16, 30), (300, 32, 200)])
def test_pulled_vectors_lie_nearer_to_the_gallery_the_stronger_the_pull(
    count: int, dimension: int, gallery: int, pulls: tuple[float, ...]
) -> None:
    found = [nearness(pull, count, dimension, gallery, steps=80) for pull in pulls]
    assert found == sorted(found)
    assert found[1] > found[0] + 0.05


def test_the_nearest_of_a_gallery_of_several_tiles_pulls() -> None:
    """One gallery vector near the only pair, in the last tile; all others lie on the far side."""
    pair = torch.tensor([[1.0, 0.1, 0.0], [1.0, -0.1, 0.0]])
    start = start_packing(pair / pair.norm(dim=1, keepdim=True))
    far = torch.nn.functional.normalize(directions(1, 2 * TILE, 3) - 9 * torch.eye(3)[:1], dim=1)
    lure = torch.tensor([[0.8, 0.0, 0.6]])
    moved = course(start, PackingLaw(1, 1.0, torch.cat((far, lure))))[-1].vectors
    assert bool((moved[:, 2] > 0.01).all())
    repelled = course(start, PackingLaw(1, 1.0, far))[-1].vectors
    assert bool((repelled[:, 2].abs() < 0.01).all())


def test_a_gallery_without_a_pull_changes_nothing() -> None:
    start, gallery = start_packing(directions(1, 30, 6)), directions(2, 10, 6)
    with_gallery, without = (course(start, PackingLaw(10, 0.0, end))[-1] for end in (gallery, None))
    assert same(with_gallery, without)


def test_packing_ends_early_where_nothing_more_is_gained() -> None:
    end = course(start_packing(directions(1, 12, 3)), PackingLaw(5000))[-1]
    assert end.settled
    assert end.step < 1000
    assert list(pack(end, PackingLaw(5000), Threads(1))) == []


def test_a_target_that_is_met_is_lowered_and_one_that_stalls_is_raised_with_a_shorter_stride() -> None:
    lowered = raised = 0
    for before, after in pairwise(course(start_packing(directions(1, 12, 3)), PackingLaw(5000))):
        largest = after.history[-1]
        if largest <= before.target:
            assert after.target < before.target
        if after.target < before.target:
            lowered += 1
            assert after.stride == before.stride
        if after.target > before.target:
            raised += 1
            assert after.stride == before.stride / 2
            assert after.target < largest
        if after.target == before.target:
            assert after.stride == before.stride
    assert lowered > 0
    assert raised > 0


def test_one_vector_alone_is_left_where_it_is() -> None:
    alone = start_packing(directions(1, 1, 8))
    assert list(pack(alone, PackingLaw(10), Threads(1))) == []
    assert torch.allclose(packed(alone), directions(1, 1, 8), atol=1e-7)


def test_a_course_is_described_by_its_largest_cosines() -> None:
    end = course(start_packing(directions(1, 30, 6)), PackingLaw(40))[-1]
    told = describe(end)
    assert (told["steps"], told["start"]) == (40, round(end.history[0], 6))
    assert told["reached"] == min(told["history"]) < told["start"]
    assert told["history"] == pytest.approx(end.history, abs=1e-6)
    assert json.loads(json.dumps(told)) == told


def test_a_course_without_a_step_is_described_too() -> None:
    told = describe(start_packing(directions(1, 1, 8)))
    assert told == {"steps": 0, "start": None, "reached": None, "history": []}
