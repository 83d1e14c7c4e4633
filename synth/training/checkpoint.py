"""Checkpoints of a training: all that changes while it runs, as it was after one step, replaced as a whole.

A checkpoint names what decides the weights, so that a training never goes on as another one. This module does not know
what is trained.
"""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers.errors import DatasetError, StorageError
from synth.storage import open_storage
from synth.training.descent import restore, state
from synth.training.difference import first_difference

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Origin:
    """What decides the weights: a training goes on only where all of this is the same."""

    settings: str  # their hash
    document: Mapping[str, Any]  # the settings that were hashed, so that a difference can be named
    data: tuple[str, ...]  # of each dataset, a hash of all its bytes
    processes: int


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    step: int = 0  # steps that are done
    seconds: float = 0.0  # spent on them
    machines: tuple[str, ...] = ()  # that did them, one after the other, by name
    noted: Mapping[str, Any] = field(default_factory=dict)  # what the journal has not written yet


def save(folder: Path, origin: Origin, parts: Mapping[str, Any], progress: Progress) -> None:
    """Replace the folder's checkpoint, durably. Raises StorageError where it cannot be written."""
    kept = {
        "settings": origin.settings,
        "document": dict(origin.document),
        "data": list(origin.data),
        "processes": origin.processes,
        "step": progress.step,
        "seconds": progress.seconds,
        "machines": list(progress.machines),
        "noted": dict(progress.noted),
        "parts": {name: state(part) for name, part in parts.items()},
    }
    data = io.BytesIO()
    torch.save(kept, data)
    open_storage(str(folder)).replace(CHECKPOINT, data.getvalue())


def resume(folder: Path, origin: Origin, parts: Mapping[str, Any]) -> Progress:
    """Put the folder's checkpoint into the parts, if there is one; returns how far the training was.

    Raises DatasetError where the checkpoint is damaged, or belongs to another training or version, StorageError where
    it cannot be read.
    """
    kept = _kept(folder, origin)
    if kept is None:
        return Progress()
    try:
        for name, part in parts.items():
            restore(part, kept["parts"][name])
        return Progress(kept["step"], kept["seconds"], tuple(kept["machines"]), kept["noted"])
    except (KeyError, RuntimeError, ValueError) as unlike:
        raise _of_another_version(folder) from unlike


def refuse_another(folder: Path, origin: Origin) -> None:
    """Raises as `resume` where the folder's checkpoint is not one of this training: cheaply, before anything begins."""
    _kept(folder, origin)


def _kept(folder: Path, origin: Origin) -> dict[str, Any] | None:
    """The folder's checkpoint, if there is one, once it is known to be of this training."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        # To the CPU first: each part brings its tensors where they belong, and leaves counters of steps on the CPU.
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as damage:
        raise DatasetError(f"{path} is damaged; remove it to begin this training anew") from damage
    except OSError as refusal:
        raise StorageError(f"cannot read {path}: {refusal.strerror or refusal}") from refusal
    try:
        _refuse_other_origins(folder, origin, kept)
    except KeyError as missing:
        raise _of_another_version(folder) from missing
    return kept


def _of_another_version(folder: Path) -> DatasetError:
    return DatasetError(
        f"{folder} holds a training that another version of Hypersynth began; use another --out, or remove the folder"
    )


def _refuse_other_origins(folder: Path, origin: Origin, kept: Mapping[str, Any]) -> None:
    if kept["settings"] != origin.settings:
        what = f"with other settings{_said(first_difference(kept['document'], origin.document))}"
    elif tuple(kept["data"]) != origin.data:
        what = "on other pictures: a dataset was built anew under the same name"
    elif kept["processes"] != origin.processes:
        what = f"in {kept['processes']} processes, not {origin.processes}, which see other random numbers"
    else:
        return
    raise DatasetError(f"{folder} holds a training {what}; use another --out, or remove the folder")


def _said(difference: str) -> str:
    return f" ({difference})" if difference else ""


def finite(parts: Mapping[str, Any]) -> bool:
    """Whether all numbers of the parts' networks are finite."""
    tensors = (value for part in parts.values() for value in state(part).values() if isinstance(value, Tensor))
    return all(bool(value.isfinite().all()) for value in tensors if value.is_floating_point())
