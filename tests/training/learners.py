"""The renderers that are trained, each at its smallest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor

from synth import conditions
from synth.renderers.settings import DiffusionSettings, Vec2FaceTrainedSettings
from synth.training.diffusion import DiffusionTrainee
from synth.training.loop import train
from synth.training.material import Material, open_material
from synth.training.settings import DiffusionTraining, Vec2FaceTraining
from synth.training.trainee import Trainee
from synth.training.vec2face import Vec2FaceTrainee

Learning = TypeVar("Learning", DiffusionTraining, Vec2FaceTraining)
Model = TypeVar("Model", bound=Trainee)


@dataclass(frozen=True)
class Learner(Generic[Learning, Model]):
    """One kind of renderer: how it is trained, and how what it learned is opened."""

    training: type[Learning]
    trainee: Callable[[Learning, Material, Path], Model]
    renderer: type[DiffusionSettings] | type[Vec2FaceTrainedSettings]
    small: Mapping[str, Any]

    def wanting(self, data: Path, encoder: Path, **changes: Any) -> Learning:
        """Settings of four steps of eight pictures."""
        usual: dict[str, Any] = {
            "name": "small",
            "data": (str(data),),
            "steps": 4,
            "batch": 8,
            "rate": {"peak": 3e-3},
            "threads": 1,
            "loaders": 0,
            "encoder": str(encoder),
        }
        return self.training(**{**usual, **self.small, **changes})

    def begin(self, settings: Learning, folder: Path) -> Model:
        """The model before its first step."""
        return self.trainee(settings, material_of(settings), folder)

    def trained(self, settings: Learning, folder: Path, **how: Any) -> Path | None:
        """Train it, or go on, in a folder; the weights' file, where it came to its end."""
        return train(settings, material_of(settings), self.begin(settings, folder), folder, lambda _: None, **how)


def material_of(settings: DiffusionTraining | Vec2FaceTraining) -> Material:
    """The pictures, and what is told of them."""
    return open_material(settings.data, conditions.declared(settings.conditions))


def mean_loss(found: list[dict[str, Tensor]], name: str) -> float:
    """The mean of one loss over some steps."""
    return sum(float(each[name]) for each in found) / len(found)


DIFFUSION = Learner(
    DiffusionTraining,
    DiffusionTrainee,
    DiffusionSettings,
    {
        "shape": {
            "widths": (8, 16),
            "attention_from": 1,
            "heads": 2,
            "groups": 4,
            "tokens": 2,
            "token_width": 8,
            "places": 2,
            "patch": 8,
            "sketch": 8,
        }
    },
)
VEC2FACE = Learner(
    Vec2FaceTraining,
    Vec2FaceTrainee,
    Vec2FaceTrainedSettings,
    {
        "shape": {
            "width": 32,
            "encoder_blocks": 1,
            "decoder_blocks": 1,
            "grid": 16,
            "channels": 8,
            "factors": (1, 1, 1, 2),
            "groups": 4,
            "pose_channels": (4, 4, 8, 8),
            "style": 4,
        },
        "adversary_from": 0.25,
        "adversary_channels": 4,
        "reader_channels": 4,
    },
)
