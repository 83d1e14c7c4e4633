"""What the training of Vec2Face teaches, and its losses, adversary and reader of attributes each by itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from synth.section import InputFile
from synth.training.discriminator import PatchDiscriminator, being_taken, telling_apart
from synth.training.loop import drawn_from, moment_at
from synth.training.losses import differences, structural_likeness, texture_difference
from synth.training.perception import Perception, unlike
from synth.training.reading import AttributeReader
from synth.training.vec2face import Vec2FaceTrainee
from tests.training.learners import VEC2FACE, material_of, mean_loss


def test_losses_fall_on_few_pictures(heads: Path, encoder: Path, tmp_path: Path) -> None:
    # Without what is drawn by chance in every step, so that few steps tell; the adversary must not undo what was
    # learned.
    settings = VEC2FACE.wanting(
        heads, encoder, steps=40, batch=4, conditions=("yaw_deg",), sampled=0.0, means=0.0, adversary_from=0.6,
        rate={"peak": 1e-2, "warm_up": 0.1},
    )  # fmt: skip
    material = material_of(settings)
    trainee = Vec2FaceTrainee(settings, material, tmp_path)
    examples = material.examples(torch.arange(4))
    found = [trainee.step(examples, moment_at(settings, step)) for step in range(40)]
    for name in ("pixels", "structure", "features"):
        assert mean_loss(found[-5:], name) < 0.9 * mean_loss(found[:5], name), name


def test_every_network_in_training_learns(heads: Path, encoder: Path, tmp_path: Path) -> None:
    settings = VEC2FACE.wanting(heads, encoder, adversary_from=0.0)
    material = material_of(settings)
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


def test_styles_are_read_off_pictures_from_their_time_on(heads: Path, encoder: Path, tmp_path: Path) -> None:
    settings = VEC2FACE.wanting(heads, encoder, steps=10, style_from=0.5)
    material = material_of(settings)
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
