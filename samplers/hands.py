"""Hands: who does block work on vectors. One signature for the threads of a process and for actors elsewhere.

Work is a module's function on tensors; tasks are its arguments. Results come in the order of the tasks, and every task
computes with one thread, so no result depends on how many hands there are. This module does not know what the work is.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


@dataclass(frozen=True)
class Held:
    """Vectors that all hands can reach; becomes the tensor, on their device, where a task arrives."""

    content: Any


class Hands(Protocol):
    """What samplers ask of those who do block work."""

    width: int  # tasks done at the same time

    def hold(self, vectors: Tensor) -> Held:
        """Bring vectors (n, D) to where tasks can use them."""
        ...

    def run(self, work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """`work(*task)` for every task, in their order; a `Held` among a task's arguments arrives as its tensor.

        Tasks are taken from the iterable as hands become free. Results are on the CPU, or hold what the work returns.
        """
        ...


class Threads:
    """The threads of this process; on a GPU one thread, which keeps the device busy by itself."""

    def __init__(self, width: int = 1, device: str = "cpu") -> None:
        self.width = 1 if device != "cpu" else width
        self._device = device

    def hold(self, vectors: Tensor) -> Held:
        """Vectors on the device."""
        return Held(vectors.to(self._device))

    def run(self, work: Callable[..., Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """See `Hands.run`."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(self.width, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                pending: deque[Future[Result]] = deque()
                for task in tasks:
                    pending.append(pool.submit(work, *arrived(task)))
                    if len(pending) > self.width:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
        finally:
            torch.set_num_threads(before)


def arrived(task: tuple[Any, ...]) -> tuple[Any, ...]:
    """A task's arguments with what is held put in its place, also inside a tuple."""
    return tuple(
        argument.content
        if isinstance(argument, Held)
        else arrived(argument)
        if isinstance(argument, tuple)
        else argument
        for argument in task
    )
