"""Settings of trainings: what does not go together is refused before any picture is opened, and what data lack, too."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from samplers.errors import DatasetError
from synth.training.settings import DiffusionTraining, EncoderTraining, TrainingSection, Vec2FaceTraining
from synth.training.trainee import KINDS, material_of


def settings_of(kind: type[TrainingSection], **changes: Any) -> TrainingSection:
    usual = {"name": "small", "data": ("nowhere",), "steps": 10, "batch": 8, "rate": {"peak": 1e-3}}
    return kind(**{**usual, **changes})


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (EncoderTraining, {"horizon": 9}, "horizon 9 is nearer than the last of 10 steps"),
        (EncoderTraining, {"shape": {"widths": [8, -1, 8, 8]}}, "greater than or equal to 1"),
        (EncoderTraining, {"shape": {"blocks": [0, 0, 0, 0]}}, "greater than or equal to 1"),
        (Vec2FaceTraining, {"shape": {"width": 30}}, "width must be a multiple of heads"),
        (Vec2FaceTraining, {"shape": {"pose_channels": [-1, 8, 8, 8]}}, "greater than or equal to 1"),
        (Vec2FaceTraining, {"mask_rate": [0.9, 0.8]}, "mask_rate goes from 0.9 to 0.8: the lowest is first"),
        (Vec2FaceTraining, {"mask_rate": [-9, 5]}, "greater than or equal to 0"),
        (Vec2FaceTraining, {"adversary_channels": 30}, "multiple of 4"),
        (Vec2FaceTraining, {"conditions": []}, "at least 1 item"),
        (DiffusionTraining, {"conditions": []}, "at least 1 item"),
        (DiffusionTraining, {"shape": {"heads": 5}}, "widths must be multiples of 16 groups and of 5 heads"),
        (DiffusionTraining, {"shape": {"patch": 6}}, "112 px are not patches of 6 px that can be halved 2 times"),
        (DiffusionTraining, {"shape": {"sketch": 41}}, "a sketch needs places, an even patch, and channels"),
    ],
)
def test_what_does_not_go_together_is_refused(
    kind: type[TrainingSection], changes: dict[str, Any], message: str
) -> None:
    assert settings_of(kind).steps == 10
    with pytest.raises(ValidationError, match=message):
        settings_of(kind, **changes)


@pytest.mark.parametrize("kind", ["vec2face", "diffusion"])
def test_pictures_that_do_not_record_a_condition_are_refused(kind: str, codes: Path) -> None:
    settings = settings_of(KINDS[kind].settings, data=(str(codes),), conditions=("yaw_deg", "hat"))
    with pytest.raises(
        DatasetError, match=f"{codes}: the pictures do not record yaw_deg, hat; name those that they do"
    ):
        material_of(settings)
