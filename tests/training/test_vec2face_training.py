"""The training of Vec2Face: exact resume, losses that fall, and a file that opens as a renderer."""

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
from synth.renderers.settings import Vec2FaceTrainedSettings
from synth.section import InputFile
from synth.training.discriminator import PatchDiscriminator, being_taken, telling_apart
from synth.training.loop import drawn_from, moment_at, train
from synth.training.losses import differences, structural_likeness, texture_difference
from synth.training.material import open_material
from synth.training.perception import Perception, unlike
from synth.training.reading import AttributeReader
from synth.training.settings import Vec2FaceTraining
from synth.training.vec2face import Vec2FaceTrainee
from tests.conftest import build_here

PEOPLE, VIEWS, DIMENSION = 6, 2, 16
ENCODER = IResNetSizes.compact(8, (8, 8, 8, 8), (1, 1, 1, 1), DIMENSION)
SHAPE = {
    "width": 32, "encoder_blocks": 1, "decoder_blocks": 1, "grid": 16, "channels": 8, "factors": (1, 1, 1, 2),
    "groups": 4, "pose_channels": (4, 4, 8, 8), "style": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen pictures of procedural heads."""
    folder = tmp_path_factory.mktemp("vec2face") / "heads"
    few = {"identities.count": PEOPLE, "variations.views": VIEWS}
    build_here(load_recipe("quickstart", few), folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser with random weights."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    with drawn_from(3, "test"):
        save_file(IResNet(ENCODER).state_dict(), path, header("encoder", {"sizes": ENCODER.document()}))
    return path


def wanting(data: Path, encoder: Path, **changes: Any) -> Vec2FaceTraining:
    given: dict[str, Any] = {
        "name": "small", "data": (str(data),), "steps": 4, "batch": 8, "rate": {"peak": 3e-3}, "threads": 1,
        "loaders": 0, "encoder": str(encoder), "shape": SHAPE, "adversary_from": 0.25, "adversary_channels": 4,
        "reader_channels": 4,
    }  # fmt: skip
    return Vec2FaceTraining(**{**given, **changes})


def trained(settings: Vec2FaceTraining, folder: Path, **how: Any) -> Path | None:
    material = open_material(settings.data, conditions.declared(settings.conditions))
    return train(settings, material, Vec2FaceTrainee(settings, material, folder), folder, lambda _: None, **how)


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
    settings = Vec2FaceTrainedSettings(weights=str(path), conditions=("yaw_deg", "glasses"))
    kind = renderer_class("vec2face_trained")
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
    assert load_file(path)["elsewhere.0.weight"].dtype == torch.float16


def test_a_training_starts_from_the_weights_of_another(data: Path, encoder: Path, tmp_path: Path) -> None:
    start = trained(wanting(data, encoder, steps=1), tmp_path)
    settings = wanting(data, encoder, start=str(start), seed=2)
    material = open_material(settings.data, conditions.declared(None))
    begun = Vec2FaceTrainee(settings, material, tmp_path).weights()
    assert start is not None
    assert [name for name, value in load_file(start).items() if not torch.equal(begun[name], value.float())] == []
    other = settings.model_copy(update={"conditions": ("yaw_deg",)})
    with pytest.raises(DatasetError, match="cannot be the start of this training: its conditions are others"):
        Vec2FaceTrainee(other, open_material(other.data, conditions.declared(other.conditions)), tmp_path)


def test_losses_fall_on_few_pictures(data: Path, encoder: Path, tmp_path: Path) -> None:
    # Without what is drawn by chance in every step, so that few steps tell; the adversary must not undo what was
    # learned.
    settings = wanting(
        data, encoder, steps=40, batch=4, conditions=("yaw_deg",), sampled=0.0, means=0.0, adversary_from=0.6,
        rate={"peak": 1e-2, "warm_up": 0.1},
    )  # fmt: skip
    material = open_material(settings.data, conditions.declared(settings.conditions))
    trainee = Vec2FaceTrainee(settings, material, tmp_path)
    examples = material.examples(torch.arange(4))
    found = [trainee.step(examples, moment_at(settings, step)) for step in range(40)]
    for name in ("pixels", "structure", "features"):
        assert _mean(found[-5:], name) < 0.9 * _mean(found[:5], name), name


def _mean(found: list[dict[str, Tensor]], name: str) -> float:
    return sum(float(each[name]) for each in found) / len(found)


def test_every_network_in_training_learns(data: Path, encoder: Path, tmp_path: Path) -> None:
    settings = wanting(data, encoder, adversary_from=0.0)
    material = open_material(settings.data, conditions.declared(None))
    trainee = Vec2FaceTrainee(settings, material, tmp_path)
    networks = (trainee.network, trainee.posterior, trainee.reader, trainee.adversary)
    before = [{name: p.detach().clone() for name, p in each.named_parameters()} for each in networks]
    for step in range(2):  # the readout of landmarks begins at zero: its first layer follows its last
        found = trainee.step(material.examples(torch.arange(8)), moment_at(settings, step))
    assert found.keys() > {
        "pixels",
        "structure",
        "texture",
        "features",
        "identity",
        "nats",
        "taken",
        "misread",
        "told_apart",
    }
    for network, old in zip(networks, before, strict=True):
        # What moves all verdicts alike may gain on one side of the hinge what it loses on the other.
        moving = [name for name, _ in network.named_parameters() if name != "verdict.bias"]
        learnt = dict(network.named_parameters())
        assert [name for name in moving if torch.equal(learnt[name], old[name])] == []


def test_styles_are_read_off_pictures_from_their_time_on(data: Path, encoder: Path, tmp_path: Path) -> None:
    settings = wanting(data, encoder, steps=10, style_from=0.5)
    material = open_material(settings.data, conditions.declared(None))
    trainee = Vec2FaceTrainee(settings, material, tmp_path)
    before = trainee.posterior.out.weight.detach().clone()
    nats = []
    for step in (4, 5):
        assert torch.equal(trainee.posterior.out.weight, before)
        nats.append(float(trainee.step(material.examples(torch.arange(8)), moment_at(settings, step))["nats"]))
    assert nats[0] == 0 < nats[1]
    assert not torch.equal(trainee.posterior.out.weight, before)


def pictures(seed: int) -> Tensor:
    return torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_losses_are_nothing_for_the_same_pictures(encoder: Path) -> None:
    perception = Perception(InputFile(url=str(encoder)), torch.device("cpu"))
    one, other, weight = pictures(1), pictures(2), torch.ones(112, 112)
    same, unequal = perception.look(one), perception.look(other)
    assert float(differences(one, one, weight)) == 0
    assert float(texture_difference(one, one)) == 0
    assert float(structural_likeness(one, one)) == pytest.approx(1)
    assert float(unlike(same.maps, same.maps)) == 0
    assert float(unlike(same.maps, unequal.maps)) > 0.01
    assert torch.equal(same.maps[-1], perception.maps(one)[-1])
    assert same.embedding.norm(dim=1).tolist() == pytest.approx([1, 1])


def stripes(period: int) -> Tensor:
    """Slanting ones, from 0 to 1: float (1, 1, 112, 112)."""
    along = (torch.arange(112)[:, None] + torch.arange(112)).remainder(period)
    return (along < period // 2).float().expand(1, 1, 112, 112)


def test_fine_detail_counts_wherever_it_lies() -> None:
    fine = stripes(6)
    assert float(texture_difference(fine, 1 - fine)) < 1e-3
    assert float(texture_difference(fine, torch.full_like(fine, 0.5))) > 0.2


def test_alternating_pixels_are_no_fine_detail() -> None:
    checks, flat = stripes(2), torch.full((1, 1, 112, 112), 0.5)
    columns = torch.arange(112).remainder(2).float().expand(1, 1, 112, 112)
    assert float(texture_difference(checks, flat)) < 1e-3
    assert float(texture_difference(columns, flat)) < 1e-3


def test_an_adversary_learns_to_tell_noise_from_nothing() -> None:
    with drawn_from(1, "adversary"):
        judge = PatchDiscriminator(4).train()
    descent = torch.optim.Adam(judge.parameters(), lr=0.01)
    real, drawn = pictures(1), torch.zeros(2, 3, 112, 112)
    losses = []
    for _ in range(30):
        loss = telling_apart(judge(real), judge(drawn))
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    with torch.no_grad():
        assert float(being_taken(judge(real))) < float(being_taken(judge(drawn)))


def test_a_reader_learns_what_is_shown_in_units_of_its_spread() -> None:
    draw = torch.Generator().manual_seed(1)
    told = torch.stack((torch.rand(64, generator=draw) * 4 + 10, (torch.rand(64, generator=draw) < 0.2).float()), 1)
    light = (told[:, :1] - 12) / 2
    shown = light[..., None, None].expand(64, 3, 112, 112).clone()
    shown[:, :, :40] += told[:, 1, None, None, None]  # a hat
    with drawn_from(1, "reader"):
        reader = AttributeReader(told, 4)
    descent = torch.optim.Adam(reader.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = reader.misread(shown, told, draw)
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(float(loss.detach()))
    assert 0.5 < losses[0] < 2
    assert losses[-1] < 0.1
