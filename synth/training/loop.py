"""The loop that all trainings share: steps, checkpoints, exact resume, and the file of weights.

A training's folder holds `checkpoint.pt` (the last one, replaced as a whole), `losses.jsonl`, and at the end
NAME.safetensors with `training.json`. A training that was stopped anywhere goes on to the same weights, bit by bit on
the same machine. This module does not know what is learned.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers import random
from samplers.errors import RecipeError
from synth.network_file import header, write_network
from synth.section import pin_files, without_urls
from synth.storage import json_bytes, open_storage, sha256
from synth.training.checkpoint import Origin, Progress, finite, refuse_another, resume, save
from synth.training.descent import Moment
from synth.training.journal import LOSSES, Journal, Report, diverged
from synth.training.material import Examples, Material, Order, batches, decoded, held_batches
from synth.training.place import ALONE, Place, all_agree
from synth.training.record import RECORD, machine, training_record
from synth.training.settings import TrainingSection
from synth.training.trainee import Trainee


@contextmanager
def drawn_from(seed: int, purpose: str) -> Iterator[None]:
    """Networks made inside get initial weights that seed and purpose decide; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random.key_of(seed, purpose)[0])  # the CPU's, and no GPU's
        yield


def settings_hash(settings: TrainingSection) -> str:
    """Names all that decides the weights.

    Where files and folders lie does not, since what they hold is compared, nor how pictures are read and how often it
    saves. Raises StorageError where a file that is named cannot be read.
    """
    return sha256(json.dumps(_deciding(settings), sort_keys=True).encode())


def _deciding(settings: TrainingSection) -> dict[str, Any]:
    ways = {"name", "data", "loaders", "hold", "checkpoint_minutes"}
    decides: dict[str, Any] = without_urls(pin_files(settings).model_dump(mode="json", exclude=ways))
    return decides


def examine(settings: TrainingSection, material: Material, folder: Path, place: Place = ALONE) -> None:
    """Raises as `train` does for what can be told before a model is made: another training, an unfit batch."""
    _refuse_uneven(settings, place)
    refuse_another(folder, _origin(settings, material, place))


def _origin(settings: TrainingSection, material: Material, place: Place) -> Origin:
    return Origin(settings_hash(settings), _deciding(settings), material.contents, place.world)


def train(
    settings: TrainingSection,
    material: Material,
    trainee: Trainee,
    folder: Path,
    tell: Callable[[Report], None],
    place: Place = ALONE,
    stop_after: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train, or go on training, in a folder that was `claimed`; returns the file of weights.

    A finished training is left as it is. `stop_after` ends early, after a checkpoint at that step, and returns None;
    and so does `stopped`, which is asked after each step. Raises DatasetError where the folder holds another training,
    RecipeError where losses are no longer finite or the processes cannot share a batch, StorageError where the folder
    cannot be written.
    """
    _refuse_uneven(settings, place)
    origin = _origin(settings, material, place)
    before = resume(folder, origin, trainee.parts)
    path = folder / f"{settings.name}.safetensors"
    if before.step == settings.steps and (folder / RECORD).exists() and path.exists():
        return path
    machines = tuple(dict.fromkeys((*before.machines, machine(settings))))
    journal = Journal(settings, tell, folder / LOSSES if place.rank == 0 else None)
    journal.go_on(before.step, before.noted)
    last = min(settings.steps, stop_after or settings.steps)
    order = Order(settings.seed, len(material), settings.batch, place.rank, place.world)
    saved = time.monotonic()
    began = saved - before.seconds
    feed = _feed(settings, material, order, before.step, last)
    done = before.step
    for step in range(before.step, last):
        found = trainee.step(next(feed), moment_at(settings, step, place))
        done = step + 1
        journal.note(done, found)
        ending = done == last or all_agree(stopped(), place)
        if place.rank == 0 and (ending or time.monotonic() - saved > settings.checkpoint_minutes * 60):
            if not finite(trainee.parts):
                raise RecipeError(diverged(done, "a weight"))
            save(folder, origin, trainee.parts, Progress(done, time.monotonic() - began, machines, journal.noted))
            saved = time.monotonic()
        if ending:
            break
    if done < settings.steps:
        return None
    if place.rank == 0:
        record = training_record(settings, material, place.world, time.monotonic() - began, machines)
        _finish(settings, trainee, path, record)
    return path


def _feed(settings: TrainingSection, material: Material, order: Order, first: int, last: int) -> Iterator[Examples]:
    """The batches of steps first .. last - 1."""
    if first == last:
        return iter(())
    if settings.hold:
        return held_batches(decoded(material, settings.device, settings.loaders), order, first, last)
    return batches(material, order, first, last, settings.loaders)


def _refuse_uneven(settings: TrainingSection, place: Place) -> None:
    """Raises RecipeError where the processes cannot have equal shares of a batch, of two pictures at least."""
    if settings.batch % place.world or settings.batch < 2 * place.world:
        raise RecipeError(
            f"{place.world} processes cannot share a batch of {settings.batch}: set batch to a multiple of "
            f"{place.world}, {2 * place.world} at least"
        )


def moment_at(settings: TrainingSection, step: int, place: Place = ALONE) -> Moment:
    """The moment of a step, with its own random numbers."""
    generator = torch.Generator(device=settings.device)
    high, low = random.key_of(settings.seed, f"training/step/{step}/{place.rank}")
    generator.manual_seed(high << 31 ^ low)
    return Moment(step, settings.steps, settings.horizon or settings.steps, generator)


def _finish(settings: TrainingSection, trainee: Trainee, path: Path, record: dict[str, Any]) -> None:
    """Write the weights in half precision and, last, the record."""
    weights = {name: _in_half(value).contiguous().cpu() for name, value in trainee.weights().items()}
    write_network(path, header(settings.kind, trainee.description()), weights)
    record |= {"parameters": sum(value.numel() for value in weights.values()), "bytes": path.stat().st_size}
    open_storage(str(path.parent)).replace(RECORD, json_bytes(record))


def _in_half(value: Tensor) -> Tensor:
    """A tensor in half precision, but for whole numbers and what half precision cannot hold."""
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if bool(half.isfinite().all()) else value
