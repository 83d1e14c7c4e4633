"""A recogniser's training: it learns whom pictures show, goes on exactly, and what it leaves is an encoder."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from jobs.recipe import load_recipe
from samplers.errors import DatasetError
from synth.backend import Backend
from synth.encoders.settings import TrainedSettings
from synth.encoders.trained import TrainedEncoder
from synth.section import InputFile
from synth.training.encoder import EncoderTrainee
from synth.training.journal import LOSSES, Report
from synth.training.loop import train
from synth.training.material import Material, open_material
from synth.training.settings import Augmentation, EncoderTraining, RecogniserShape
from tests.conftest import build_here
from tests.training.conftest import CODES, PEOPLE

DIMENSION = 64  # the barcode's own, so that the checks of a barcode recipe can compare
MILD = Augmentation(flip=0, shift_px=1, scale=0.01, turn_deg=1, erase=0.1)  # a mirrored code is another person's


def settings_for(folder: Path, **changes: Any) -> EncoderTraining:
    usual: dict[str, Any] = {
        "name": "reader",
        "data": (str(folder),),
        "steps": 40,
        "batch": 24,
        "rate": {"peak": 0.01},
        "shape": RecogniserShape(stem=8, widths=(8, 12, 16, 24), blocks=(1, 1, 1, 1), dimension=DIMENSION),
        "augmentation": MILD,
        "threads": 1,
        "loaders": 0,
    }
    return EncoderTraining.model_validate({**usual, **changes})


def trained(settings: EncoderTraining, folder: Path, **how: Any) -> tuple[Path | None, EncoderTrainee, list[Report]]:
    material, reports = open_material(settings.data), list[Report]()
    trainee = EncoderTrainee(settings, material)
    return train(settings, material, trainee, folder, reports.append, **how), trainee, reports


@pytest.fixture(scope="module")
def reader(codes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EncoderTrainee, list[Report]]:
    """Of 40 steps."""
    path, trainee, reports = trained(settings_for(codes), tmp_path_factory.mktemp("reader"))
    assert path is not None
    return path, trainee, reports


def opened(path: Path) -> TrainedEncoder:
    return TrainedEncoder.open(TrainedSettings(weights=InputFile(url=str(path))), Backend())


def embedded(encoder: TrainedEncoder, material: Material) -> Tensor:
    images = material.examples(torch.arange(len(material))).images
    return encoder.embed(images.permute(0, 2, 3, 1).contiguous())


def test_it_learns_to_tell_people_apart(reader: tuple[Path, EncoderTrainee, list[Report]], codes: Path) -> None:
    path, _, reports = reader
    assert set(reports[-1].losses) >= {"loss", "right", "unread"}
    assert reports[-1].losses["unread"] < reports[0].losses["unread"]
    material = open_material([str(codes)])
    found = embedded(opened(path), material)
    near = (found @ found.T).fill_diagonal_(-1).argmax(1)
    right = (material.identity[near] == material.identity).float().mean()
    assert float(right) > 5 / PEOPLE, "a picture's nearest is of the same person far more often than by chance"


def test_what_it_leaves_is_the_network_that_was_trained(
    reader: tuple[Path, EncoderTrainee, list[Report]], codes: Path
) -> None:
    path, trainee, _ = reader
    material = open_material([str(codes)])
    found = embedded(opened(path), material)
    trainee.network.eval()
    with torch.inference_mode():
        images = material.examples(torch.arange(len(material))).images.float() / 127.5 - 1
        due = functional.normalize(trainee.network(images), dim=1)
    assert float((found * due).sum(1).min()) > 0.999, "half precision takes nothing away that counts"


def test_a_stopped_training_goes_on_to_the_same_bits(codes: Path, tmp_path: Path) -> None:
    settings = settings_for(codes, steps=12, dtype="bfloat16")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trained(settings, whole)
    for stop in (3, 10, None):
        trained(settings, parts, stop_after=stop)
    for name in ("reader.safetensors", LOSSES):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_seeds_and_shapes_give_other_networks(codes: Path) -> None:
    material = open_material([str(codes)])
    first, again, other = (EncoderTrainee(settings_for(codes, seed=seed), material).weights() for seed in (1, 1, 2))
    assert torch.equal(first["conv1.weight"], again["conv1.weight"])
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    small = EncoderTrainee(settings_for(codes, shape=RecogniserShape(stem=16, dimension=32)), material)
    assert small.description()["sizes"]["dimension"] == 32
    assert len(small.weights()["conv1.weight"]) == 16


def test_a_training_starts_from_the_weights_of_another(
    reader: tuple[Path, EncoderTrainee, list[Report]], codes: Path
) -> None:
    path = reader[0]
    settings = settings_for(codes, start=str(path), seed=2)
    begun = EncoderTrainee(settings, open_material(settings.data)).weights()
    assert [name for name, value in load_file(path).items() if not torch.equal(begun[name], value.float())] == []


def test_a_start_of_another_shape_is_refused(reader: tuple[Path, EncoderTrainee, list[Report]], codes: Path) -> None:
    settings = settings_for(codes, start=str(reader[0]), shape=RecogniserShape(stem=16, dimension=32))
    with pytest.raises(DatasetError, match=r"start of this training: \d+ of its weights have no place"):
        EncoderTrainee(settings, open_material(settings.data))


def test_centres_begin_as_far_apart_as_the_people(codes: Path) -> None:
    material = open_material([str(codes)])
    trainee = EncoderTrainee(settings_for(codes), material)
    centres = trainee.head.centres.detach()
    torch.testing.assert_close(centres @ centres.T, material.anchors @ material.anchors.T, rtol=0, atol=1e-4)


def test_a_recipe_checks_its_pictures_with_it(
    reader: tuple[Path, EncoderTrainee, list[Report]], tmp_path: Path
) -> None:
    chosen = {
        **CODES,
        "identities.count": 3,
        "encoders": {"mine": {"kind": "trained", "weights": str(reader[0])}},
        "checks.list": [{"kind": "cosine_to_anchor", "encoder": "mine", "min": -1}],
        "output.embeddings": True,
    }
    build_here(load_recipe("barcode", chosen), tmp_path)
    index = pq.read_table(tmp_path / "index")
    assert index["outcome"].to_pylist() == ["kept"] * 24
    lengths = torch.tensor(index["embedding"].to_pylist()).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(24), rtol=0, atol=2e-3)
