"""Whose hands find the identities: this process's threads, or actors on the machines of a cluster.

The results are the same; only the time differs. This module does not import Ray; `cluster.hands_on_ray` is imported
only where other machines' hands are wanted.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from cluster.run import Crew
from samplers.hands import Hands, Threads

#: Vectors below which comparing all pairs here is faster than reaching for a cluster.
WORTH_SHARING = 20_000


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_hands(device: str = "cpu") -> Hands:
    """All of this process's threads, or its GPU; threads too where the GPU is another machine's."""
    return Threads(cores(), device if device == "cpu" or torch.cuda.is_available() else "cpu")


def shares(crew: Crew, count: int) -> bool:
    """Whether work on so many vectors goes to the crew's actors.

    Without a cluster and without GPUs the actors would sit on the very cores that this process's threads use.
    """
    elsewhere = crew.address is not None or crew.gpus_per_worker > 0
    return elsewhere and crew.workers > 0 and count >= WORTH_SHARING


@contextmanager
def open_hands(
    crew: Crew, count: int, device: str, say: Callable[[str], None] = lambda message: None
) -> Iterator[Hands]:
    """Hands for work on so many vectors, for the time inside; says what takes long.

    Raises MissingPackageError where Ray is absent.
    """
    if not shares(crew, count):
        yield local_hands(device)
        return
    from cluster.hands_on_ray import ray_hands

    with ray_hands(crew, device, say) as hands:
        yield hands
