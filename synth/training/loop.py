"""The loop that all trainings share: steps, checkpoints, exact resume, and a log of losses.

A training's folder holds `checkpoint.pt` (the last one, replaced as a whole), `losses.jsonl`,
and at the end NAME.safetensors with `training.json`. A training that was stopped anywhere goes on to the same weights,
bit by bit on the same backend. This module does not know what is learned.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch import distributed as dist

from samplers import random
from samplers.errors import DatasetError
from synth.network_file import header
from synth.storage import sha256
from synth.training.descent import Moment, restore, state
from synth.training.material import Examples, Material, Order, batches
from synth.training.settings import TrainingSection

CHECKPOINT, LOSSES, RECORD = "checkpoint.pt", "losses.jsonl", "training.json"
_LOG_EVERY = 20  # steps


class Trainee(Protocol):
    """A model in training: it knows its networks, its losses and its descents."""

    @property
    def parts(self) -> Mapping[str, Any]:
        """All that changes while training, by names for the checkpoint: networks, averages, descents."""
        ...

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        """Learn from one batch; returns what to log: numbers, averaged over the batch."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """What is kept in the end, by the names that the network is loaded with."""
        ...

    def description(self) -> dict[str, Any]:
        """What whoever loads the weights must know, for the file's header (`synth.network_file`)."""
        ...


@dataclass(frozen=True)
class Place:
    """This process among those of a training."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Report:
    """How far a training is."""

    step: int
    steps: int
    seconds_left: float
    pictures_per_s: float
    losses: Mapping[str, float]  # means since the last report


def place_among_processes(device: str) -> Place:
    """This process's place, as torchrun tells by the environment; joins the group where there are several."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Place()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return Place(dist.get_rank(), world)


@contextmanager
def drawn_from(seed: int, purpose: str) -> Iterator[None]:
    """Networks made inside get initial weights that seed and purpose decide; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(random.key_of(seed, purpose)[0])
        yield


def settings_hash(settings: TrainingSection) -> str:
    """Names all that decides the weights. Where processes read and how often they save does not."""
    decides = settings.model_dump(mode="json", exclude={"loaders", "checkpoint_minutes"})
    return sha256(json.dumps(decides, sort_keys=True).encode())


def train(
    settings: TrainingSection,
    material: Material,
    trainee: Trainee,
    folder: Path,
    tell: Callable[[Report], None],
    place: Place = Place(),
    stop_after: int | None = None,
) -> Path | None:
    """Train, or go on training, in a folder; returns the file of weights.

    `stop_after` ends early, after a checkpoint at that step, and returns None. Raises DatasetError where the folder
    holds a training with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, seconds_before = _resume(settings, trainee, folder)
    last = min(settings.steps, stop_after or settings.steps)
    order = Order(settings.seed, len(material), settings.batch, place.rank, place.world)
    log = _Log(folder / LOSSES, first, settings, tell, writes=place.rank == 0)
    saved = time.monotonic()
    began = saved - seconds_before
    feed = batches(material, order, first, last, settings.loaders)
    for step in range(first, last):
        found = trainee.step(next(feed), moment_at(settings, step, place))
        log.note(step, found)
        if time.monotonic() - saved > settings.checkpoint_minutes * 60 and place.rank == 0:
            _save(settings, trainee, folder, step + 1, time.monotonic() - began)
            saved = time.monotonic()
    if place.rank == 0:
        _save(settings, trainee, folder, last, time.monotonic() - began)
    return _finish(settings, trainee, folder, time.monotonic() - began, place) if last == settings.steps else None


def moment_at(settings: TrainingSection, step: int, place: Place = Place()) -> Moment:
    """The moment of a step, with its own random numbers."""
    generator = torch.Generator(device=settings.device)
    high, low = random.key_of(settings.seed, f"training/step/{step}/{place.rank}")
    generator.manual_seed(high << 31 ^ low)
    return Moment(step, settings.steps, generator)


def _resume(settings: TrainingSection, trainee: Trainee, folder: Path) -> tuple[int, float]:
    """The step to go on with, and the seconds spent before."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0, 0.0
    kept = torch.load(path, map_location=settings.device, weights_only=True)
    if kept["settings"] != settings_hash(settings):
        raise DatasetError(f"{folder} holds a training with other settings; use another --out, or remove it")
    for name, part in trainee.parts.items():
        restore(part, kept["parts"][name])
    return kept["step"], kept["seconds"]


def _save(settings: TrainingSection, trainee: Trainee, folder: Path, step: int, seconds: float) -> None:
    """Replace the checkpoint, as a whole."""
    parts = {name: state(part) for name, part in trainee.parts.items()}
    unfinished = folder / f"{CHECKPOINT}.unfinished"
    torch.save({"settings": settings_hash(settings), "step": step, "seconds": seconds, "parts": parts}, unfinished)
    unfinished.replace(folder / CHECKPOINT)


def _finish(settings: TrainingSection, trainee: Trainee, folder: Path, seconds: float, place: Place) -> Path:
    """Write the weights in half precision, and the record."""
    path = folder / f"{settings.name}.safetensors"
    if place.rank == 0:
        half = {
            name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
            for name, value in trainee.weights().items()
        }
        save_file(half, path, header(settings.kind, trainee.description()))
        record = {
            "settings": settings.model_dump(mode="json"),
            "seconds": round(seconds, 1),
            "processes": place.world,
            "device": torch.cuda.get_device_name() if settings.device == "cuda" else "cpu",
            "torch": torch.__version__,
            "parameters": sum(value.numel() for value in half.values()),
            "bytes": path.stat().st_size,
        }
        (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return path


class _Log:
    """Means of losses: a line of JSON for each report."""

    def __init__(
        self, path: Path, first: int, settings: TrainingSection, tell: Callable[[Report], None], writes: bool
    ) -> None:
        self._path, self._settings, self._tell, self._writes = path, settings, tell, writes
        self._sums: dict[str, Tensor] = {}
        self._count, self._began, self._first = 0, time.monotonic(), first
        if writes:  # what was logged after the checkpoint will be logged again
            lines = path.read_text().splitlines() if path.exists() else []
            path.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["step"] <= first))

    def note(self, step: int, found: Mapping[str, Tensor]) -> None:
        for name, value in found.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=value.device)) + value.detach()
        self._count += 1
        done = step + 1
        if not self._writes or (done % _LOG_EVERY and done != self._settings.steps):
            return
        losses = {name: float(f"{float(total) / self._count:.5g}") for name, total in self._sums.items()}
        with self._path.open("a") as file:
            file.write(json.dumps({"step": done, **losses}) + "\n")
        per_step = (time.monotonic() - self._began) / (done - self._first)
        left = per_step * (self._settings.steps - done)
        self._tell(Report(done, self._settings.steps, left, self._settings.batch / per_step, losses))
        self._sums, self._count = {}, 0
