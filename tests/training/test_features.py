"""What a frozen encoder sees in a training's pictures: computed once, by picture and by person."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from samplers.errors import StorageError
from synth.backend import Backend
from synth.encoders.iresnet import IResNet, IResNetSizes
from synth.encoders.settings import TrainedSettings
from synth.encoders.trained import TrainedEncoder
from synth.network_file import header
from synth.section import InputFile
from synth.training.draw import Draw
from synth.training.features import Features, features_of
from synth.training.loop import drawn_from
from synth.training.material import open_material
from synth.training.settings import TrainingSection
from tests.training.making import linear

SIZES = IResNetSizes.compact(8, (8, 8, 8, 8), (1, 1, 1, 1), 16)


def encoder(folder: Path, seed: int = 1) -> InputFile:
    with drawn_from(seed, "test"):
        weights = IResNet(SIZES).state_dict()
    save_file(weights, folder / f"{seed}.safetensors", header("encoder", {"sizes": SIZES.document()}))
    return InputFile(url=str(folder / f"{seed}.safetensors"))


def settings(data: Path, **changes: Any) -> TrainingSection:
    return linear(data, **changes)


def test_features_are_what_the_encoder_sees(codes: Path, tmp_path: Path) -> None:
    file, material = encoder(tmp_path), open_material([str(codes)])
    found = features_of(material, file, settings(codes), tmp_path)
    assert found.own.shape == (len(material), 16)
    rows = torch.tensor([3, 70])
    images = material.examples(rows).images.permute(0, 2, 3, 1)
    due = normalize(TrainedEncoder.open(TrainedSettings(weights=file), Backend()).embed(images))
    assert torch.allclose(found.own[rows].float(), due, atol=2e-3)
    people = material.identity[rows]
    means = normalize(torch.stack([found.own[material.identity == each].float().mean(0) for each in people]))
    assert torch.allclose(found.mean[people], means, atol=1e-4)
    assert torch.allclose(found.reached(rows, people), (due * means).sum(1), atol=3e-3)
    chosen = found.chosen(rows, people, torch.tensor([True, False]))
    assert torch.equal(chosen, torch.stack((found.mean[people[0]], found.own[rows[1]].float())))


def test_the_folder_keeps_them_for_the_same_pictures_and_encoder(codes: Path, tmp_path: Path) -> None:
    material, file, folder = open_material([str(codes)]), encoder(tmp_path), tmp_path / "training"
    first = features_of(material, file, settings(codes), folder)
    (kept,) = folder.iterdir()
    save_file({"own": load_file(kept)["own"].neg()}, kept)  # so that it shows where they come from
    assert torch.equal(features_of(material, file, settings(codes, steps=7), folder).own, -first.own)
    other = features_of(material, encoder(tmp_path, 2), settings(codes), folder)
    assert not torch.equal(other.own, -first.own)
    assert len(list(folder.iterdir())) == 2


def test_other_processes_read_the_same_pictures(codes: Path, tmp_path: Path) -> None:
    material, file = open_material([str(codes)]), encoder(tmp_path)
    here, there = (features_of(material, file, settings(codes, loaders=n), tmp_path / str(n)) for n in (0, 1))
    assert torch.equal(here.own, there.own)


def test_nobodies_are_near_people_and_spread_as_widely_as_they() -> None:
    """Half of them are people but for the noise, whose cosine with them is 0.8 at least."""
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(400, 64, generator=generator) * torch.linspace(2, 0.2, 64)  # some more, some less
    people = normalize(directions + torch.ones(64), dim=1)
    nobody = torch.zeros(1, 64)  # whose pictures were all rejected
    found = Features(torch.zeros(0, 64, dtype=torch.float16), torch.cat((people, nobody)))
    vectors = found.nobodies(4000, Draw(generator, torch.device("cpu")))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(4000), atol=1e-5)
    nearest = (vectors @ people.T).amax(1)
    assert 0.4 < float((nearest > 0.75).float().mean()) < 0.7
    assert torch.allclose(normalize(vectors.mean(0), dim=0), normalize(people.mean(0), dim=0), atol=0.1)
    shares = [each.var(0) / each.var(0).sum() for each in (vectors, people)]
    assert float(torch.corrcoef(torch.stack(shares))[0, 1]) > 0.95


def test_an_encoder_that_is_not_there_is_told(codes: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        features_of(open_material([str(codes)]), InputFile(url=f"{tmp_path}/lost"), settings(codes), tmp_path)
