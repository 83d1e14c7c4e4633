"""What holds of every renderer's training: exact resume, a file that opens and draws, a start from other weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from samplers.attributes import neutral_attributes
from samplers.errors import DatasetError
from synth.backend import Backend
from synth.renderer import Equipment, Views, open_renderer, renderer_class
from tests.training.conftest import DIMENSION
from tests.training.learners import DIFFUSION, VEC2FACE, Learner

every_learner = pytest.mark.parametrize("learner", [DIFFUSION, VEC2FACE], ids=["diffusion", "vec2face"])
AnyLearner = Learner[Any, Any]


@every_learner
def test_a_training_that_was_interrupted_gives_the_same_weights(
    learner: AnyLearner, heads: Path, encoder: Path, tmp_path: Path
) -> None:
    settings = learner.wanting(heads, encoder)
    straight = learner.trained(settings, tmp_path / "straight")
    assert learner.trained(settings, tmp_path / "halves", stop_after=2) is None
    resumed = learner.trained(settings, tmp_path / "halves")
    assert straight is not None
    assert resumed is not None
    one, other = load_file(straight), load_file(resumed)
    assert one.keys() == other.keys()
    assert [name for name, values in one.items() if not torch.equal(values, other[name])] == []


@every_learner
def test_the_file_opens_as_a_renderer_and_draws(
    learner: AnyLearner, heads: Path, encoder: Path, tmp_path: Path
) -> None:
    named = ("yaw_deg", "glasses")
    path = learner.trained(learner.wanting(heads, encoder, conditions=named, steps=1), tmp_path)
    settings = learner.renderer(weights=str(path), conditions=named)
    kind = renderer_class(settings.kind)
    kind.preflight(settings)
    assert kind.vector_dimension(settings) == DIMENSION
    views = Views(
        identity=torch.arange(2),
        anchor=torch.eye(2, DIMENSION),
        vector=torch.eye(2, DIMENSION),
        norm=torch.ones(2),
        attributes=neutral_attributes(kind.declare(settings), 2),
        key=torch.tensor([[1, 2], [3, 4]]),
        person=torch.tensor([[5, 6], [7, 8]]),
    )
    drawn = open_renderer(settings, Equipment(Backend(), {})).portraits(views)
    assert drawn.images.shape == (2, 112, 112, 3)
    numbers = {value.dtype for value in load_file(path).values() if value.is_floating_point()}
    assert numbers == {torch.float16}


@every_learner
def test_a_training_starts_from_the_weights_of_another(
    learner: AnyLearner, heads: Path, encoder: Path, tmp_path: Path
) -> None:
    start = learner.trained(learner.wanting(heads, encoder, steps=1), tmp_path)
    assert start is not None
    settings = learner.wanting(heads, encoder, start=str(start), seed=2)
    begun = learner.begin(settings, tmp_path).weights()
    assert [name for name, value in load_file(start).items() if not torch.equal(begun[name], value.float())] == []
    with pytest.raises(DatasetError, match="cannot be the start of this training: its conditions are others"):
        learner.begin(settings.model_copy(update={"conditions": ("yaw_deg",)}), tmp_path)
    for size in ("groups", "heads"):  # which no weight's shape tells
        other = learner.wanting(heads, encoder, start=str(start), shape={**learner.small["shape"], size: 1})
        with pytest.raises(DatasetError, match=rf"cannot be the start of this training: \S*{size} is \d there, not 1"):
            learner.begin(other, tmp_path)
