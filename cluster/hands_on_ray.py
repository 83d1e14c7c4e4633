"""Actors that do block work on vectors: `samplers.hands.Hands` on Ray.

Vectors are put into the object store once and reach every node once; an actor keeps those of its present task on its
device. Task k goes to actor k mod the number of actors, so that what an actor has is what it needs next. Tasks are
pure, so an actor that dies is started again and its tasks are repeated. Like all of `cluster`, this decides nothing
about vectors.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import ray
import torch
from torch import Tensor

from cluster.on_ray import connected  # first: it says in one line where Ray is missing
from cluster.run import Crew
from samplers.errors import BuildError
from samplers.hands import Held, arrived

Result = TypeVar("Result")

_TASKS_IN_FLIGHT = 2  # for each actor: one at work, one waiting, so that it never idles
_RESTARTS = 3


class VectorWorker:
    """The actor: does tasks on vectors that it keeps on its device."""

    def __init__(self, device: str) -> None:
        torch.set_num_threads(1)
        self._device = device
        self._kept: dict[Any, Tensor] = {}

    def do(self, work: Callable[..., Any], task: tuple[Any, ...]) -> Any:
        """One task; what is held is fetched if the last task did not have it."""
        needed = _references(task)
        self._kept = {reference: self._fetch(reference) for reference in needed}
        return work(*arrived(_replaced(task, self._kept)))

    def _fetch(self, reference: Any) -> Tensor:
        kept = self._kept.get(reference)
        return kept if kept is not None else ray.get(reference).to(self._device)


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
        return Held(ray.put(vectors.contiguous()))

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
        return ray.get(reference)
    except ray.exceptions.RayActorError as end:
        raise BuildError(f"the workers that compare identities die: {str(end).splitlines()[0]}") from end


@contextmanager
def ray_hands(crew: Crew, device: str) -> Iterator[RayHands]:
    """`crew.workers` actors on the crew's cluster, or on one that only this machine can reach."""
    with connected(crew, threads=1):
        hire = ray.remote(
            num_cpus=1, num_gpus=crew.gpus_per_worker, max_restarts=_RESTARTS, max_task_retries=_RESTARTS
        )(VectorWorker)
        yield RayHands([hire.remote(device) for _ in range(crew.workers)])
