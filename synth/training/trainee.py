"""The contract of a model in training, and the kinds of models that can be trained.

This module imports no network until a kind is chosen.

Shapes: B pictures.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from samplers.attributes import Attribute
from samplers.errors import DatasetError, RecipeError
from synth.training.descent import Moment
from synth.training.material import Examples, Material, open_material
from synth.training.settings import DiffusionTraining, EncoderTraining, TrainingSection, Vec2FaceTraining


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
class Kind:
    """A kind of model."""

    settings: type[TrainingSection]
    #: The attributes that it learns from, as their values are stored.
    told: Callable[[Any], Mapping[str, Attribute]]
    #: From its settings, what it learns from, and the training's folder, where what is computed once may be kept.
    begin: Callable[[Any, Material, Path], Trainee]


def _nothing(settings: EncoderTraining) -> Mapping[str, Attribute]:
    return {}


def _conditions(settings: Vec2FaceTraining | DiffusionTraining) -> Mapping[str, Attribute]:
    from synth.conditions import declared

    return declared(settings.conditions)


def _encoder(settings: EncoderTraining, material: Material, folder: Path) -> Trainee:
    from synth.training.encoder import EncoderTrainee

    return EncoderTrainee(settings, material)


def _vec2face(settings: Vec2FaceTraining, material: Material, folder: Path) -> Trainee:
    from synth.training.vec2face import Vec2FaceTrainee

    return Vec2FaceTrainee(settings, material, folder)


def _diffusion(settings: DiffusionTraining, material: Material, folder: Path) -> Trainee:
    from synth.training.diffusion import DiffusionTrainee

    return DiffusionTrainee(settings, material, folder)


KINDS: Mapping[str, Kind] = {
    "encoder": Kind(EncoderTraining, _nothing, _encoder),
    "diffusion": Kind(DiffusionTraining, _conditions, _diffusion),
    "vec2face": Kind(Vec2FaceTraining, _conditions, _vec2face),
}


def kind_of(name: str) -> Kind:
    """The kind of that name. Raises RecipeError for an unknown one."""
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(KINDS)}"
        raise RecipeError(f"unknown kind of model {name!r}; {hint}")
    return KINDS[name]


def material_of(settings: TrainingSection) -> Material:
    """What a model learns from. Raises as `open_material` does, and DatasetError where attributes are not recorded."""
    told = kind_of(settings.kind).told(settings)
    material = open_material(settings.data, told)
    if missing := [name for name in told if name not in material.attributes]:
        raise DatasetError(
            f"{', '.join(settings.data)}: the pictures do not record {', '.join(missing)}; name those that they do in "
            "conditions"
        )
    return material


def begin(settings: TrainingSection, material: Material, folder: Path) -> Trainee:
    """A model with its initial weights. Raises as the kind's own do."""
    return kind_of(settings.kind).begin(settings, material, folder)
