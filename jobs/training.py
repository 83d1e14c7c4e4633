"""The verb behind `hypersynth train-model`: settings from YAML, one training in this process, and what it leaves.

With torchrun this process is one of several; the first alone writes and tells. This module does not know what is
learned (`synth.training`).
"""

import json
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from pydantic import ValidationError
from rich.console import Console

from jobs.mistakes import explained
from jobs.progress import TrainingWatch
from jobs.source import TRAININGS, parse_override, read_source
from samplers.errors import RecipeError
from synth.section import pin_files
from synth.storage import local_folder, open_storage
from synth.training.card import CARD, model_card
from synth.training.checkpoint import CHECKPOINT
from synth.training.journal import LOSSES, read_losses
from synth.training.loop import examine, train
from synth.training.material import Material
from synth.training.place import Place, among_processes, claimed, prepare_training
from synth.training.record import RECORD
from synth.training.settings import TrainingSection
from synth.training.trainee import KINDS, begin, kind_of, material_of


@dataclass(frozen=True)
class Request:
    """A training as it was asked for."""

    kind: str
    out: str
    settings: str | None = None  # a file, or the name of a shipped one
    data: Sequence[str] = ()
    overrides: Sequence[str] = ()  # KEY=VALUE

    def command(self, processes: int) -> str:
        """What to type for the same training on any machine."""
        launcher = ["hypersynth"]
        if processes > 1:
            launcher = ["torchrun", "--nproc-per-node", str(processes), "-m", "jobs.cli"]
        words = [*launcher, "train-model", self.kind, "--out", self.out, "--settings", self.source]
        for url in self.data:
            words += ["--data", url]
        for override in self.overrides:
            words += ["--set", override]
        return shlex.join(words)

    @property
    def source(self) -> str:
        """The settings' file or name: where none was given, the preset for this machine."""
        if self.settings is not None:
            return self.settings
        on_gpu = f"{self.kind}-gpu"
        return on_gpu if torch.cuda.is_available() and on_gpu in TRAININGS.texts() else f"{self.kind}-cpu"


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    weights: Path | None  # None: it was told to stop, and can go on
    signal: int | None  # that told it
    plotted: bool
    first: bool  # whether this is the first of the processes, the one that tells


def load_training(request: Request) -> TrainingSection:
    """The settings of a training, every default filled in.

    Raises RecipeError, in one line, for what cannot be read or does not make sense.
    """
    section = kind_of(request.kind).settings
    overrides: dict[str, Any] = {"data": list(request.data)} if request.data else {}
    overrides |= dict(parse_override(each, TRAININGS) for each in request.overrides)
    source = read_source(request.source, overrides, TRAININGS)
    said = source.data.get("kind")
    if said != request.kind and said in list(KINDS):
        raise RecipeError(f"{source.where(('kind',))}: these are settings for kind {said}, not {request.kind}")
    try:
        return section.model_validate(source.data)
    except ValidationError as invalid:
        raise RecipeError(explained(source, invalid, section)) from invalid


def run_training(request: Request, console: Console) -> Outcome:
    """Do a training, or what is left of it. Raises as `load_training`, `material_of`, `begin` and `train` do.

    Files that the settings name are pinned first, so that a training never goes on with other contents.
    """
    settings = load_training(request)
    folder = local_folder(request.out)
    prepare_training(settings)
    settings = pin_files(settings)
    with among_processes(settings.device) as place:
        if place.rank:
            console = Console(quiet=True)
        material = material_of(settings)
        examine(settings, material, folder, place)
        with claimed(folder, place):
            console.print(_announced(settings, material, folder))
            trainee = begin(settings, material, folder)
            with TrainingWatch(console) as watch, _Interruption() as interruption:
                weights = train(settings, material, trainee, folder, watch.told, place, stopped=interruption)
            plotted = weights is not None and place.rank == 0 and _leave_card(request, folder, place)
    return Outcome(weights, interruption.signal, plotted, place.rank == 0)


def _announced(settings: TrainingSection, material: Material, folder: Path) -> str:
    """What is about to happen."""
    people = sum(len(part.anchors) for part in material.parts)
    seen = settings.steps * settings.batch / len(material)
    again = ", on from its checkpoint" if (folder / CHECKPOINT).exists() else ""
    return (
        f"{settings.kind} {settings.name}: {len(material)} pictures of {people} people, "
        f"{settings.steps} steps of {settings.batch} ({seen:.3g} times through them){again}"
    )


def _leave_card(request: Request, folder: Path, place: Place) -> bool:
    """Write the model card and, where matplotlib is there, the curves of the losses; returns whether it was."""
    storage, lines = open_storage(str(folder)), read_losses(folder / LOSSES)
    before = storage.read(CARD).decode() if storage.exists(CARD) else ""
    record: Mapping[str, Any] = json.loads(storage.read(RECORD))
    storage.replace(CARD, model_card(record, request.command(place.world), lines, before).encode())
    if find_spec("matplotlib") is None:
        return False
    from synth.training.plots import LOSS_CURVES, loss_curves

    storage.replace(LOSS_CURVES, loss_curves(lines))
    return True


class _Interruption:
    """Notes the first Ctrl-C or SIGTERM, so that the step in hand is finished; the second one acts as ever."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "_Interruption":
        self._before = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.__exit__(None, None, None)
