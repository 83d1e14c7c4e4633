"""Where a training runs: its device, its processes, and the folder that is its own meanwhile.

This module does not know what is learned, nor how.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch
from filelock import FileLock, Timeout
from torch import distributed as dist

from samplers.errors import DatasetError, RecipeError, StorageError
from synth.backend import Backend, prepare
from synth.training.settings import TrainingSection

_LOCK = ".training.lock"
_PATIENCE = timedelta(hours=6)  # of processes for each other: the first may have all pictures to embed


@dataclass(frozen=True)
class Place:
    """This process among those of a training."""

    rank: int = 0
    world: int = 1


ALONE: Final = Place()


@contextmanager
def among_processes(device: str) -> Iterator[Place]:
    """This process's place, as torchrun tells by the environment; inside, it belongs to their group."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Place(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def prepare_training(settings: TrainingSection) -> None:
    """Set this process up: the same steps then give the same bits. Raises RecipeError where the device is missing."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            f"device is cuda, but this machine shows no CUDA device; use --settings {settings.kind}-cpu, "
            "or --set device=cpu"
        )
    prepare(Backend(device=settings.device, threads=settings.threads, dtype=settings.dtype))
    torch.backends.mkldnn.deterministic = True  # type: ignore[assignment]


@contextmanager
def claimed(folder: Path, place: Place = ALONE) -> Iterator[None]:
    """Inside, no other training runs in the folder, which is made. Of several processes the first claims it for all.

    Raises DatasetError where another does, StorageError where the folder cannot be written.
    """
    if place.rank:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout as taken:
        raise DatasetError(f"another process is training in {folder}: wait for it, or use another --out") from taken
    except OSError as refusal:
        raise StorageError(f"cannot write {folder}: {refusal.strerror or refusal}") from refusal
    try:
        yield
    finally:
        lock.release()


def all_agree(stopped: bool, place: Place) -> bool:
    """Whether any of the processes was told to stop: then all do, after the same step."""
    if place.world == 1:
        return stopped
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    told = torch.tensor(float(stopped), device=device)
    dist.all_reduce(told)
    return bool(told)
