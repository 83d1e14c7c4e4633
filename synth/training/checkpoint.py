"""Checkpoints of a training: all that changes while it runs, as it was after one step, replaced as a whole.

A checkpoint names what decides the weights, so that a training never goes on as another one. This module does not know
what is trained.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers.errors import DatasetError, StorageError
from synth.training.descent import restore, state

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Origin:
    """What decides the weights: a training goes on only where all of this is the same."""

    settings: str  # their hash
    document: Mapping[str, Any]  # the settings that were hashed, so that a difference can be named
    data: tuple[str, ...]  # the plan's hash of each dataset
    processes: int


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    step: int = 0  # steps that are done
    seconds: float = 0.0  # spent on them
    noted: Mapping[str, Any] = field(default_factory=dict)  # what the journal has not written yet


def save(folder: Path, origin: Origin, parts: Mapping[str, Any], progress: Progress) -> None:
    """Replace the folder's checkpoint. Raises StorageError where it cannot be written."""
    kept = {
        "settings": origin.settings,
        "document": dict(origin.document),
        "data": list(origin.data),
        "processes": origin.processes,
        "step": progress.step,
        "seconds": progress.seconds,
        "noted": dict(progress.noted),
        "parts": {name: state(part) for name, part in parts.items()},
    }
    unfinished = folder / f"{CHECKPOINT}.unfinished"
    try:
        torch.save(kept, unfinished)
        unfinished.replace(folder / CHECKPOINT)
    except (OSError, RuntimeError) as refusal:  # PyTorch's writer raises its own where a disk is full
        raise StorageError(f"cannot write {folder / CHECKPOINT}: {str(refusal).splitlines()[0]}") from refusal


def resume(folder: Path, origin: Origin, parts: Mapping[str, Any]) -> Progress:
    """Put the folder's checkpoint into the parts, if there is one; returns how far the training was.

    Raises DatasetError where the checkpoint is damaged, or belongs to another training.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return Progress()
    try:
        # To the CPU first: each part brings its tensors where they belong, and leaves counters of steps on the CPU.
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as damage:
        raise DatasetError(f"{path} is damaged; remove it to begin this training anew") from damage
    _refuse_another(folder, origin, kept)
    for name, part in parts.items():
        restore(part, kept["parts"][name])
    return Progress(kept["step"], kept["seconds"], kept["noted"])


def _refuse_another(folder: Path, origin: Origin, kept: Mapping[str, Any]) -> None:
    if kept["settings"] != origin.settings:
        what = f"with other settings{_difference(kept['document'], origin.document)}"
    elif tuple(kept["data"]) != origin.data:
        what = "on other pictures: a dataset was built anew under the same name"
    elif kept["processes"] != origin.processes:
        what = f"in {kept['processes']} processes, not {origin.processes}, which see other random numbers"
    else:
        return
    raise DatasetError(f"{folder} holds a training {what}; use another --out, or remove the folder")


def _difference(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first setting that is not the same, in words."""
    before, now = _flat(kept), _flat(wanted)
    for name in before:
        if name in now and before[name] != now[name]:
            return f" ({name} is {before[name]} there, not {now[name]})"
    return ""


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
        flat.update(inner)
    return flat


def finite(parts: Mapping[str, Any]) -> bool:
    """Whether all numbers of the parts' networks are finite."""
    tensors = (value for part in parts.values() for value in state(part).values() if isinstance(value, Tensor))
    return all(bool(value.isfinite().all()) for value in tensors if value.is_floating_point())
