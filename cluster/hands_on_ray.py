"""Actors that do block work on vectors: `samplers.hands.Hands` on Ray.

Vectors are put into the object store once, as arrays that all actors of a node read in place, and an actor keeps those
of its latest tasks on its device. Task k goes to actor k mod the number of actors, so that what an actor has is mostly
what it needs next. Tasks are pure, so those of an actor that dies are done by the others: Ray would start it again, but
where no place is left for it, its tasks would wait for ever. Actors that find no place on the cluster are done without.
Like all of `cluster`, this decides nothing about vectors.
"""

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.hands import local_hands
from cluster.ray_cluster import LOST, connected, ray  # it says in one line where Ray is missing
from cluster.run import Crew
from samplers.errors import BuildError
from samplers.hands import Hands, Held, arrived

Result = TypeVar("Result")

_TASKS_IN_FLIGHT = 2  # for each actor: one at work, one waiting, so that it never idles
_TRIES = 4  # of a task whose actors die
_KEPT_BYTES = 2 << 30  # of tensors that an actor keeps beside those of the task in hand
_PLACE_S = 60.0  # how long an actor may take to find a place once another has found one
_FIRST_PLACE_S = 900.0  # how long the first may take: a machine may have to be started for it
_LOOK_S = 2.0  # between two looks for an answer; Ctrl-C is heard in between
_GONE = (*LOST, ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.OutOfMemoryError)


class VectorWorker:
    """The actor: does tasks on vectors that it keeps on its device."""

    def __init__(self, device: str) -> None:
        torch.set_num_threads(1)
        self._device = device
        self._kept: dict[Any, Tensor] = {}  # what was named last lies last

    def ready(self) -> None:
        """Answers once the actor has found a place."""

    def do(self, work: Callable[..., Any], task: tuple[Any, ...]) -> Any:
        """One task; what is held is fetched if it is not here."""
        named = _references(task)
        for reference in named:
            kept = self._kept.pop(reference, None)
            self._kept[reference] = _tensor(ray.get(reference)).to(self._device) if kept is None else kept
        for reference in dropped(self._kept, len(set(named))):
            del self._kept[reference]
        return work(*arrived(_replaced(task, self._kept)))


def dropped(kept: Mapping[Any, Tensor], in_hand: int) -> list[Any]:
    """Which of the kept tensors to let go, in the order in which they were named, so that few bytes are left.

    The last `in_hand` are those of the task in hand, which stay, however large.
    """
    others = list(kept)[: len(kept) - in_hand]
    left, let_go = sum(kept[name].nbytes for name in others), []
    for name in others:
        if left <= _KEPT_BYTES:
            break
        let_go.append(name)
        left -= kept[name].nbytes
    return let_go


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


@dataclass
class _Pending:
    """A task that somebody does."""

    task: tuple[Any, ...]
    actor: Any
    answer: Any
    tries: int = 1


class RayHands:
    """The actors of a crew, as hands."""

    def __init__(self, actors: list[Any]) -> None:
        self._actors = actors
        self.width = len(actors)

    def hold(self, vectors: Tensor) -> Held:
        """Put vectors where all actors can fetch them."""
        return Held(ray.put(vectors.contiguous().numpy()))

    def run(self, work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """See `Hands.run`. Raises BuildError where actors die again and again."""
        pending: deque[_Pending] = deque()
        for number, task in enumerate(tasks):
            actor = self._actors[number % self.width]
            pending.append(_Pending(task, actor, actor.do.remote(work, task)))
            if len(pending) >= _TASKS_IN_FLIGHT * self.width:
                yield self._received(pending.popleft(), work)
        while pending:
            yield self._received(pending.popleft(), work)

    def _received(self, pending: _Pending, work: Callable[..., Any]) -> Any:
        """The result of a task, by another actor where the first is gone."""
        while True:
            try:
                return _answer(pending.answer)
            except _GONE as end:
                self._actors = [actor for actor in self._actors if actor is not pending.actor]
                self.width = len(self._actors)
                if not self._actors or pending.tries == _TRIES:
                    first = str(end).splitlines()[0]
                    raise BuildError(f"the workers that compare identities die: {first}") from end
                pending.actor = self._actors[pending.tries % self.width]
                pending.answer, pending.tries = pending.actor.do.remote(work, pending.task), pending.tries + 1


def _answer(reference: Any) -> Any:
    while not ray.wait([reference], timeout=_LOOK_S)[0]:
        pass
    return ray.get(reference)


def _placed(actors: list[Any], say: Callable[[str], None]) -> list[Any]:
    """Those actors that found a place on the cluster in time: none, perhaps. The others are let go."""
    waiting = {actor.ready.remote(): actor for actor in actors}
    placed: list[Any] = []
    began, said = time.monotonic(), False
    while waiting and time.monotonic() - began < (_PLACE_S if placed else _FIRST_PLACE_S):
        for reference in ray.wait(list(waiting), num_returns=1, timeout=_LOOK_S)[0]:
            actor = waiting.pop(reference)
            try:
                ray.get(reference)
            except _GONE:
                continue
            placed.append(actor)
            began = time.monotonic()
        if not placed and not said and time.monotonic() - began > _PLACE_S:
            said = True
            say(f"waiting for machines to compare identities on, {_FIRST_PLACE_S / 60:.0f} minutes at most")
    for actor in waiting.values():
        ray.kill(actor)
    return placed


@contextmanager
def ray_hands(crew: Crew, device: str, say: Callable[[str], None] = lambda message: None) -> Iterator[Hands]:
    """`crew.workers` actors on the crew's cluster, or on one that only this machine can reach.

    Where none of them finds a place, this process does the work.
    """
    with connected(crew, threads=1):
        hire = ray.remote(num_cpus=1, num_gpus=crew.gpus_per_worker)(VectorWorker)
        placed = _placed([hire.remote(device) for _ in range(crew.workers)], say)
        if not placed:
            say("no machine came: this process compares the identities")
        yield RayHands(placed) if placed else local_hands(device)
