"""The training of the diffusion renderer: exact resume, a loss that falls, and a file that opens as a renderer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jobs.recipe import load_recipe
from samplers.attributes import neutral_attributes
from samplers.errors import DatasetError
from synth import conditions
from synth.backend import Backend
from synth.encoders.iresnet import IResNet, IResNetSizes
from synth.network_file import header
from synth.renderer import Equipment, Views, open_renderer, renderer_class
from synth.renderers.settings import DiffusionSettings
from synth.training.diffusion import DiffusionTrainee
from synth.training.loop import drawn_from, moment_at, train
from synth.training.material import Material, open_material
from synth.training.settings import DiffusionTraining
from tests.conftest import build_here

PEOPLE, VIEWS, DIMENSION = 6, 2, 16
ENCODER = IResNetSizes.compact(8, (8, 8, 8, 8), (1, 1, 1, 1), DIMENSION)
SHAPE = {
    "widths": (8, 16), "attention_from": 1, "heads": 2, "groups": 4, "tokens": 2, "token_width": 8, "places": 2,
    "patch": 8, "sketch": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen pictures of procedural heads."""
    folder = tmp_path_factory.mktemp("diffusion") / "heads"
    build_here(load_recipe("quickstart", {"identities.count": PEOPLE, "variations.views": VIEWS}), folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser with random weights."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    with drawn_from(3, "test"):
        save_file(IResNet(ENCODER).state_dict(), path, header("encoder", {"sizes": ENCODER.document()}))
    return path


def wanting(data: Path, encoder: Path, **changes: Any) -> DiffusionTraining:
    given: dict[str, Any] = {
        "name": "small", "data": (str(data),), "steps": 4, "batch": 8, "rate": {"peak": 3e-3}, "threads": 1,
        "loaders": 0, "encoder": str(encoder), "shape": SHAPE,
    }  # fmt: skip
    return DiffusionTraining(**{**given, **changes})


def material_of(settings: DiffusionTraining) -> Material:
    return open_material(settings.data, conditions.declared(settings.conditions))


def trained(settings: DiffusionTraining, folder: Path, **how: Any) -> Path | None:
    material = material_of(settings)
    return train(settings, material, DiffusionTrainee(settings, material, folder), folder, lambda _: None, **how)


def test_a_training_that_was_interrupted_gives_the_same_weights(data: Path, encoder: Path, tmp_path: Path) -> None:
    settings = wanting(data, encoder)
    straight = trained(settings, tmp_path / "straight")
    assert trained(settings, tmp_path / "halves", stop_after=2) is None
    resumed = trained(settings, tmp_path / "halves")
    assert straight is not None
    assert resumed is not None
    one, other = load_file(straight), load_file(resumed)
    assert one.keys() == other.keys()
    assert [name for name, values in one.items() if not torch.equal(values, other[name])] == []


def test_the_file_opens_as_a_renderer_and_draws(data: Path, encoder: Path, tmp_path: Path) -> None:
    path = trained(wanting(data, encoder, conditions=("yaw_deg", "glasses"), steps=1), tmp_path)
    settings = DiffusionSettings(weights=str(path), conditions=("yaw_deg", "glasses"))
    kind = renderer_class("diffusion")
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
    assert load_file(path)["unet.conv_in.weight"].dtype == torch.float16


def test_a_training_starts_from_the_weights_of_another(data: Path, encoder: Path, tmp_path: Path) -> None:
    start = trained(wanting(data, encoder, steps=1), tmp_path)
    settings = wanting(data, encoder, start=str(start), seed=2)
    begun = DiffusionTrainee(settings, material_of(settings), tmp_path).weights()
    assert start is not None
    assert [name for name, value in load_file(start).items() if not torch.equal(begun[name], value.float())] == []
    other = settings.model_copy(update={"conditions": ("yaw_deg",)})
    with pytest.raises(DatasetError, match="cannot be the start of this training: its conditions are others"):
        DiffusionTrainee(other, material_of(other), tmp_path)
    turned = wanting(data, encoder, start=str(start), shape={**SHAPE, "heads": 1})
    with pytest.raises(DatasetError, match="cannot be the start of this training: heads is 2 there, not 1; set shape"):
        DiffusionTrainee(turned, material_of(turned), tmp_path)


def test_the_loss_falls_on_few_pictures(data: Path, encoder: Path, tmp_path: Path) -> None:
    settings = wanting(data, encoder, steps=40, batch=12, rate={"peak": 1e-2, "warm_up": 0.1}, likeness=0.0)
    material = material_of(settings)
    trainee = DiffusionTrainee(settings, material, tmp_path)
    examples = material.examples(torch.arange(12))
    found = [trainee.step(examples, moment_at(settings, step)) for step in range(40)]
    for name in ("loss", "pixel"):
        assert _mean(found[-5:], name) < 0.7 * _mean(found[:5], name), name


def _mean(found: list[dict[str, Tensor]], name: str) -> float:
    return sum(float(each[name]) for each in found) / len(found)


def test_the_encoder_looks_from_its_time_on_and_teaches(data: Path, encoder: Path, tmp_path: Path) -> None:
    settings = wanting(data, encoder, steps=10, likeness_from=0.5, likeness_share=0.5)
    material = material_of(settings)
    examples = material.examples(torch.arange(8))

    def after(step: int, **changes: Any) -> tuple[dict[str, Tensor], Tensor]:
        wanted = settings.model_copy(update=changes)
        trainee = DiffusionTrainee(wanted, material, tmp_path)
        found = trainee.step(examples, moment_at(wanted, step))
        return found, trainee.network.unet.conv_out.weight.detach()

    early, late = after(4), after(5)
    assert "cosine" not in early[0]
    assert -1 <= float(late[0]["cosine"]) <= 1
    assert not torch.equal(late[1], after(5, likeness=0.0)[1])


def test_a_sketch_learns_beside(data: Path, encoder: Path, tmp_path: Path) -> None:
    settings = wanting(
        data, encoder, steps=40, likeness_from=0.0, drop_identity=0.0, drop_attributes=0.0, means=0.0,
        rate={"peak": 1e-2, "warm_up": 0.1},
    )  # fmt: skip
    material = material_of(settings)
    trainee = DiffusionTrainee(settings, material, tmp_path)
    examples = material.examples(torch.arange(8))
    found = [trainee.step(examples, moment_at(settings, step)) for step in range(40)]
    for name in ("sketch", "misread"):
        assert _mean(found[-5:], name) < 0.9 * _mean(found[:5], name), name
    assert {"unread", "cosine_sketch"} < found[0].keys()
    alone = settings.model_copy(update={"likeness": 0.0})
    assert "cosine_sketch" not in DiffusionTrainee(alone, material, tmp_path).step(examples, moment_at(alone, 0))
    none = wanting(data, encoder, shape={**SHAPE, "sketch": 0})
    assert "sketch" not in DiffusionTrainee(none, material, tmp_path).step(examples, moment_at(none, 0))


def test_it_learns_in_float32_too(data: Path, encoder: Path, tmp_path: Path) -> None:
    """Nothing is changed in place that the way back still needs: in bfloat16 copies would hide it."""
    settings = wanting(data, encoder, dtype="float32")
    material = material_of(settings)
    found = DiffusionTrainee(settings, material, tmp_path).step(
        material.examples(torch.arange(8)), moment_at(settings, 0)
    )
    assert all(bool(value.isfinite()) for value in found.values())


def test_what_is_exported_is_the_average(data: Path, encoder: Path, tmp_path: Path) -> None:
    settings = wanting(data, encoder)
    material = material_of(settings)
    trainee = DiffusionTrainee(settings, material, tmp_path)
    for step in range(3):
        trainee.step(material.examples(torch.arange(8)), moment_at(settings, step))
    exported, last = trainee.weights(), trainee.network.state_dict()
    assert exported.keys() == last.keys()
    assert not torch.equal(exported["unet.conv_in.weight"], last["unet.conv_in.weight"])
