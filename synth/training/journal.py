"""The journal of a training: the means of its losses, a line of JSON for every so many steps, and how fast it goes.

A training that was stopped writes the same lines as one that was not. Of several processes the first one writes, about
its own share of each batch. This module does not know what the losses mean.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplers.errors import DatasetError, RecipeError, StorageError
from synth.storage import open_parent
from synth.training.settings import TrainingSection

LOSSES = "losses.jsonl"
_EVERY = 20  # steps


@dataclass(frozen=True)
class Report:
    """How far a training is."""

    step: int
    steps: int
    seconds_left: float
    pictures_per_s: float
    losses: Mapping[str, float]  # means since the last report


class Journal:
    """Sums losses up, and tells their means now and then."""

    def __init__(self, settings: TrainingSection, tell: Callable[[Report], None], path: Path | None) -> None:
        """Nothing is written or told where there is no `path`."""
        self._settings, self._tell, self._path = settings, tell, path
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}  # steps that had each loss: some begin late
        self._first = 0
        self._began = time.monotonic()

    def go_on(self, step: int, noted: Mapping[str, Any]) -> None:
        """Begin after `step` with what a checkpoint kept; lines that were written after it will be written again."""
        self._first, self._began = step, time.monotonic()
        self._sums, self._counts = dict(noted.get("sums", {})), dict(noted.get("counts", {}))
        if self._path is not None:
            kept = [line for line in read_losses(self._path) if line["step"] <= step]
            storage, name = open_parent(str(self._path))
            storage.replace(name, "".join(f"{json.dumps(line)}\n" for line in kept).encode())

    @property
    def noted(self) -> dict[str, Any]:
        """What a checkpoint must keep: the sums since the last report."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def note(self, done: int, found: Mapping[str, Tensor]) -> None:
        """Take note of a step, the `done`-th. Raises RecipeError where the losses are no longer finite."""
        for name, value in found.items():
            before = self._sums.get(name, torch.zeros(()))
            self._sums[name] = before.to(value.device) + value.detach()
            self._counts[name] = self._counts.get(name, 0) + 1
        if done % _EVERY and done != self._settings.steps:
            return
        losses = {name: float(f"{float(total) / self._counts[name]:.5g}") for name, total in self._sums.items()}
        if broken := [name for name, value in losses.items() if not math.isfinite(value)]:
            raise RecipeError(diverged(done, broken[0]))
        self._sums, self._counts = {}, {}
        if self._path is not None:
            _append(self._path, json.dumps({"step": done, **losses}) + "\n")
            per_step = (time.monotonic() - self._began) / (done - self._first)
            left = per_step * (self._settings.steps - done)
            self._tell(Report(done, self._settings.steps, left, self._settings.batch / per_step, losses))


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a") as file:
            file.write(text)
    except OSError as refusal:
        raise StorageError(f"cannot write {path}: {refusal.strerror or refusal}") from refusal


def diverged(step: int, what: str) -> str:
    """What is said of a training that fell apart."""
    return (
        f"by step {step} the training has fallen apart: {what} is no finite number; lower rate.peak, or compute with "
        "dtype float32, and train anew"
    )


def read_losses(path: Path) -> list[dict[str, float]]:
    """The lines of a journal; a last line that was cut off when the training was killed is left out.

    Raises DatasetError for a damaged one.
    """
    text = path.read_text(errors="replace") if path.exists() else ""
    try:
        lines: list[dict[str, float]] = [json.loads(line) for line in text.split("\n")[:-1]]
    except ValueError as damage:
        raise DatasetError(f"{path} is damaged; remove it to go on without the losses so far") from damage
    return lines
