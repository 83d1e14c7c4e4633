"""Actors that do block work on vectors: `samplers.hands.Hands` on Ray.

Vectors are put into the object store once, as arrays that all actors of a node read in place, and an actor keeps those
of its latest tasks on its device. Task k goes to actor k mod the number of actors, so that what an actor has is mostly
what it needs next. Tasks are pure, so an actor that dies is started again and its tasks are repeated. Actors that find
no place on the cluster are done without. Like all of `cluster`, this decides nothing about vectors.
"""

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.ray_cluster import LOST, connected, ray  # it says in one line where Ray is missing
from cluster.run import Crew
from samplers.errors import BuildError
from samplers.hands import Held, arrived

Result = TypeVar("Result")

_TASKS_IN_FLIGHT = 2  # for each actor: one at work, one waiting, so that it never idles
_RESTARTS = 3
_KEPT_TASKS = 96  # a tensor that none of so many tasks named is let go
_PLACE_S = 60.0  # how long an actor may take to find a place
_LOOK_S = 2.0  # between two looks for an answer; Ctrl-C is heard in between
_GONE = (*LOST, ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.OutOfMemoryError)


class VectorWorker:
    """The actor: does tasks on vectors that it keeps on its device."""

    def __init__(self, device: str) -> None:
        torch.set_num_threads(1)
        self._device = device
        self._kept: dict[Any, Tensor] = {}
        self._named: dict[Any, int] = {}  # the last task that named each
        self._tasks = 0

    def ready(self) -> None:
        """Answers once the actor has found a place."""

    def do(self, work: Callable[..., Any], task: tuple[Any, ...]) -> Any:
        """One task; what is held is fetched if it is not here."""
        self._tasks += 1
        for reference in _references(task):
            self._named[reference] = self._tasks
            if reference not in self._kept:
                self._kept[reference] = _tensor(ray.get(reference)).to(self._device)
        for reference in [one for one, last in self._named.items() if last <= self._tasks - _KEPT_TASKS]:
            del self._named[reference], self._kept[reference]
        return work(*arrived(_replaced(task, self._kept)))


def _tensor(array: NDArray[np.float32]) -> Tensor:
    """An array in the object store as a tensor over the same memory, which nobody writes to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, that the memory must not be written to
        return torch.from_numpy(array)


def _references(task: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = []
    for argument in task:
        if isinstance(argument, Held):
            found.append(argument.content)
        elif isinstance(argument, tuple):
            found += _references(argument)
    return found


def _replaced(task: tuple[Any, ...], kept: dict[Any, Tensor]) -> tuple[Any, ...]:
    """The task with tensors for references."""
    return tuple(
        Held(kept[argument.content])
        if isinstance(argument, Held)
        else _replaced(argument, kept)
        if isinstance(argument, tuple)
        else argument
        for argument in task
    )


class RayHands:
    """The actors of a crew, as hands."""

    def __init__(self, actors: list[Any]) -> None:
        self.width = len(actors)
        self._actors = actors

    def hold(self, vectors: Tensor) -> Held:
        """Put vectors where all actors can fetch them."""
        return Held(ray.put(vectors.contiguous().numpy()))

    def run(self, work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """See `Hands.run`. Raises BuildError where actors die again and again."""
        pending: deque[Any] = deque()
        for number, task in enumerate(tasks):
            pending.append(self._actors[number % self.width].do.remote(work, task))
            if len(pending) >= _TASKS_IN_FLIGHT * self.width:
                yield _received(pending.popleft())
        while pending:
            yield _received(pending.popleft())


def _received(reference: Any) -> Any:
    try:
        while not ray.wait([reference], timeout=_LOOK_S)[0]:
            pass
        return ray.get(reference)
    except _GONE as end:
        raise BuildError(f"the workers that compare identities die: {str(end).splitlines()[0]}") from end


def _placed(actors: list[Any]) -> list[Any]:
    """Those actors that found a place on the cluster in time. Raises BuildError if none did."""
    waiting = {actor.ready.remote(): actor for actor in actors}
    deadline = time.monotonic() + _PLACE_S
    placed: list[Any] = []
    while waiting and time.monotonic() < deadline:
        for reference in ray.wait(list(waiting), num_returns=1, timeout=_LOOK_S)[0]:
            actor = waiting.pop(reference)
            _received(reference)
            placed.append(actor)
    for actor in waiting.values():
        ray.kill(actor)
    if not placed:
        raise BuildError(f"none of {len(actors)} workers that compare identities found a place on the cluster")
    return placed


@contextmanager
def ray_hands(crew: Crew, device: str) -> Iterator[RayHands]:
    """`crew.workers` actors on the crew's cluster, or on one that only this machine can reach."""
    with connected(crew, threads=1):
        hire = ray.remote(
            num_cpus=1, num_gpus=crew.gpus_per_worker, max_restarts=_RESTARTS, max_task_retries=_RESTARTS
        )(VectorWorker)
        yield RayHands(_placed([hire.remote(device) for _ in range(crew.workers)]))
