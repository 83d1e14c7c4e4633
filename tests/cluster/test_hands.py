"""The hands of real Ray actors: the same identities for any number of them, alive or killed."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from cluster import hands_on_ray
from cluster.hands import WORTH_SHARING, local_hands, open_hands, shares
from cluster.hands_on_ray import RayHands, ray_hands
from cluster.run import Crew
from samplers.hands import Held, Threads
from samplers.identities import draw_identities
from samplers.packing import PackingLaw, pack, start_packing
from samplers.pairs import TILE
from samplers.sphere import inner
from samplers.wanted import Wanted
from tests.samplers.brute import directions
from tests.samplers.test_identities import DRAWN, GROUPED, PACKED, digest

MANY = 10 * WORTH_SHARING
SPECS = {"drawn": replace(DRAWN, dimension=32, wanted=Wanted(1500, 0.55)), "grouped": GROUPED, "packed": PACKED}
EACH = pytest.mark.parametrize("name", SPECS)


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, str]:
    """The sha256 of everything found by one thread of this process, several tiles wide."""
    assert min(SPECS["drawn"].wanted.count, SPECS["packed"].wanted.count) > TILE
    return {name: digest(draw_identities(spec, Threads(1))) for name, spec in SPECS.items()}


@pytest.fixture(scope="module", params=[1, 2, 3])
def hands(request: pytest.FixtureRequest) -> Iterator[RayHands]:
    """So many actors on this machine."""
    with ray_hands(Crew(request.param), "cpu") as found:
        assert found.width == request.param
        yield found


def processes(hands: RayHands) -> set[int]:
    """Those in which the actors live."""
    return set(hands.run(os.getpid, [()] * hands.width))


def test_every_actor_lives_in_a_process_of_its_own(hands: RayHands) -> None:
    assert len(processes(hands)) == hands.width
    assert os.getpid() not in processes(hands)


@EACH
def test_any_number_of_actors_finds_what_one_thread_finds(
    hands: RayHands, name: str, undisturbed: dict[str, str]
) -> None:
    assert digest(draw_identities(SPECS[name], hands)) == undisturbed[name]


def test_results_come_in_the_order_of_the_tasks(hands: RayHands) -> None:
    numbers = [(2, power) for power in range(20)]
    assert list(hands.run(pow, numbers)) == [2**power for power in range(20)]


def test_tasks_are_taken_as_actors_become_free(hands: RayHands) -> None:
    taken = 0

    def tasks() -> Iterator[tuple[int]]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield (number,)

    results = hands.run(abs, tasks())
    for number in range(10):
        assert next(results) == number
        assert number < taken <= number + 1 + 2 * hands.width


def test_what_is_held_arrives_as_its_tensor_also_inside_tuples(hands: RayHands) -> None:
    vectors = directions(1, 30, 8)
    one, other = hands.hold(vectors[:10]), hands.hold(vectors[10:])
    assert all(torch.equal(found, vectors) for found in hands.run(torch.cat, [((one, other),)] * 4))
    products = list(hands.run(inner, [(one, one), (other, other), (one, vectors[:10])]))
    assert [len(found) for found in products] == [10, 20, 10]
    assert torch.equal(torch.cat(products[:2]), inner(vectors, vectors))


def test_an_error_in_work_arrives_here_and_the_actors_work_on(hands: RayHands) -> None:
    with pytest.raises(ValueError, match="no number"):
        list(hands.run(int, [("7",), ("no number",), ("8",)]))
    assert list(hands.run(int, [("7",), ("8",)])) == [7, 8]


@dataclass
class Fatal:
    """Hands of which one is killed when so many tasks were taken."""

    hands: RayHands
    victim: int
    after: int
    taken: int = 0
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = self.hands.width

    def hold(self, vectors: torch.Tensor) -> Held:
        return self.hands.hold(vectors)

    def run(self, work: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        return self.hands.run(work, self._counted(tasks))

    def _counted(self, tasks: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for task in tasks:
            if self.taken == self.after:
                os.kill(self.victim, signal.SIGKILL)
            self.taken += 1
            yield task


@pytest.mark.parametrize("hands", [2], indirect=True)
def test_an_actor_that_is_killed_in_the_middle_changes_nothing(hands: RayHands) -> None:
    """It dies when the first of the two tasks of a step is out, and several more steps are to come."""
    start, law = start_packing(directions(1, PACKED.wanted.count, 16)), PackingLaw(8)
    before = processes(hands)
    fatal = Fatal(hands, min(before), after=7)
    *_, end = pack(start, law, fatal)
    *_, expected = pack(start, law, Threads(1))
    assert fatal.taken == 18  # eight steps and a last look, two tasks each
    assert before - processes(hands) == {fatal.victim}
    assert end.history == expected.history
    assert torch.equal(end.vectors, expected.vectors)
    assert torch.equal(end.velocity, expected.velocity)


@pytest.mark.parametrize(
    ("crew", "number", "shared"),
    [
        (Crew(0), MANY, False),
        (Crew(8), MANY, False),
        (Crew(8, address="10.0.0.1:6379"), MANY, True),
        (Crew(8, address="10.0.0.1:6379"), WORTH_SHARING, True),
        (Crew(8, address="10.0.0.1:6379"), WORTH_SHARING - 1, False),
        (Crew(0, address="10.0.0.1:6379"), MANY, False),
        (Crew(2, gpus_per_worker=0.5), MANY, True),
        (Crew(2, gpus_per_worker=0.5), 10, False),
        (Crew(0, gpus_per_worker=1.0), MANY, False),
        (Crew(2, address="10.0.0.1:6379", gpus_per_worker=1.0), MANY, True),
    ],
)
def test_work_is_shared_where_other_processors_do_it_and_it_is_worth_it(crew: Crew, number: int, shared: bool) -> None:
    assert shares(crew, number) is shared


def test_little_used_tensors_are_let_go_before_they_fill_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was named longest ago goes first, and never what the task in hand names."""
    monkeypatch.setattr(hands_on_ray, "_KEPT_BYTES", 100)
    kept = {name: torch.zeros(10) for name in "abcdef"}  # 40 bytes each
    assert hands_on_ray.dropped(kept, 2) == ["a", "b"]
    assert hands_on_ray.dropped(kept, 4) == []
    assert hands_on_ray.dropped(kept, 6) == []
    assert hands_on_ray.dropped(kept, 0) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("crew", "number"), [(Crew(0), MANY), (Crew(3), MANY), (Crew(3, address="10.0.0.1:1"), 100)])
def test_without_a_cluster_or_with_little_work_the_hands_are_threads_of_this_process(crew: Crew, number: int) -> None:
    with open_hands(crew, number, "cpu") as found:
        assert isinstance(found, Threads)
        assert found.width == local_hands().width >= 1
        assert set(found.run(os.getpid, [()] * 3)) == {os.getpid()}
