"""Hands: the order of results, when tasks are taken, what is held, and what is left behind when work fails."""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from threading import Event, get_ident
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.hands import Held, Threads, arrived


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise ValueError("this is three")
    return number


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.lists(st.integers(-100, 100), max_size=20))
def test_results_come_in_the_order_of_the_tasks(width: int, numbers: list[int]) -> None:
    assert list(Threads(width).run(square, [(number,) for number in numbers])) == [n * n for n in numbers]


def test_a_task_that_ends_late_does_not_let_later_ones_pass() -> None:
    """The first task waits for the second."""
    second_is_done = Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(60)
        if number == 1:
            second_is_done.set()
        return number

    assert list(Threads(2).run(work, [(number,) for number in range(6)])) == list(range(6))


def test_as_many_tasks_as_there_are_hands_are_done_at_the_same_time() -> None:
    """Three tasks that all wait for each other end only if three hands hold them."""
    arrivals = [Event() for _ in range(3)]

    def work(number: int) -> bool:
        arrivals[number].set()
        return all(arrival.wait(60) for arrival in arrivals)

    assert list(Threads(3).run(work, [(0,), (1,), (2,)])) == [True] * 3


@pytest.mark.parametrize("width", [1, 2, 4])
def test_tasks_are_taken_as_hands_become_free(width: int) -> None:
    """While a result is waited for, there is one more task for each hand at most."""
    taken = 0

    def tasks() -> Iterator[tuple[int]]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield (number,)

    results = Threads(width).run(square, tasks())
    assert taken == 0
    for number in range(20):
        assert next(results) == number * number
        assert number < taken <= number + 1 + 2 * width
    results.close()  # type: ignore[attr-defined]


def test_one_hand_works_in_one_thread_of_its_own() -> None:
    assert len({*Threads(1).run(get_ident, [()] * 20)} - {get_ident()}) == 1


def test_what_is_held_arrives_as_its_tensor_also_inside_tuples() -> None:
    hands = Threads(2)
    one, other = hands.hold(torch.ones(2)), hands.hold(torch.zeros(3))
    seen = list(hands.run(lambda *arguments: arguments, [(one, 5, (other, (one, "x")), [1])]))
    assert len(seen) == 1
    first, five, (second, (third, letter)), numbers = seen[0]
    assert all(isinstance(tensor, Tensor) for tensor in (first, second, third))
    assert (first.tolist(), second.tolist(), third.tolist()) == ([1, 1], [0, 0, 0], [1, 1])
    assert (five, letter, numbers) == (5, "x", [1])


def test_a_task_without_anything_held_arrives_as_it_is() -> None:
    task = (1, "two", (3.0, ()), None)
    assert arrived(task) == task
    assert arrived((Held(4), (Held(5), 6))) == (4, (5, 6))


@pytest.fixture
def three_torch_threads() -> Iterator[None]:
    """Torch set to a number of threads that nothing else sets."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_torch_threads")
def test_the_threads_of_torch_are_as_before_when_all_is_done() -> None:
    assert list(Threads(2).run(torch.get_num_threads, [()] * 5)) == [1] * 5
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_torch_threads")
def test_an_error_in_work_arrives_here_and_leaves_the_threads_as_before() -> None:
    results = Threads(2).run(refuse, [(number,) for number in range(6)])
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    with pytest.raises(ValueError, match="this is three"):
        next(results)
    assert torch.get_num_threads() == 3
    assert list(results) == []


@pytest.mark.usefixtures("three_torch_threads")
def test_an_error_in_the_tasks_arrives_here_and_leaves_the_threads_as_before() -> None:
    def tasks() -> Iterator[tuple[int]]:
        yield (1,)
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(Threads(2).run(square, tasks()))
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_torch_threads")
def test_a_caller_who_stops_early_leaves_the_threads_as_before() -> None:
    results: Any = Threads(2).run(square, [(number,) for number in range(100)])
    assert next(results) == 0
    results.close()
    assert torch.get_num_threads() == 3


def test_a_product_is_made_with_one_thread_from_the_first_on() -> None:
    """Torch tells a fresh thread only late how many threads OpenMP may use there; oneDNN does not wait for that."""
    libraries = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
    if not libraries:
        pytest.skip("this torch brings no OpenMP of its own to ask")
    openmp = ctypes.CDLL(str(libraries[0]))
    assert set(Threads(2).run(openmp.omp_get_max_threads, [()] * 8)) == {1}


def test_no_tasks_give_no_results() -> None:
    assert list(Threads(2).run(square, [])) == []
