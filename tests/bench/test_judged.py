"""The judge's table, on barcodes, whose every figure is known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn import functional

from bench.judged import measure
from bench.judged.attributes import attributes, found, obeyed, taught
from bench.judged.people import people_held
from bench.judged.pictures import faces_found, near_frontal, procedural_pictures
from bench.judged.setup import Own
from bench.judged.speed import rendering_rate
from bench.measure import Measurement
from bench.sets import Workplace, built, looked_at, missing_files, view_numbers
from jobs.recipe import load_recipe
from samplers.hands import Threads
from samplers.pca import fit_pca_gaussian
from samplers.priors import UniformPrior
from samplers.separation import separate
from samplers.wanted import Wanted
from synth import conditions
from synth.embeddings import write_prior
from synth.encoders.settings import TrainedSettings
from synth.pictures import open_pictures
from tests.bench.making import BARCODE, WHOLE, judging, workplace
from tests.conftest import build_here

DIMENSION = 64


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    """A folder with a prior and a training set."""
    prior = fit_pca_gaussian(UniformPrior().draw(1, torch.arange(200), DIMENSION).vectors)
    (tmp_path / "prior.safetensors").write_bytes(write_prior(prior))
    build_here(load_recipe("barcode", {"identities.count": 20, "variations.views": 3, **WHOLE}), tmp_path / "training")
    return tmp_path


def by_name(found: list[Measurement]) -> dict[str, Measurement]:
    return {each.what: each for each in found}


def test_barcodes_are_found_to_be_perfect(fitted: Path) -> None:
    found = by_name(measure(judging(fitted)))
    assert found["encoder: unseen people, all variations, EER"].met  # damaged ones were redrawn
    assert found["barcode: wanted vector and picture, cosine"].value == pytest.approx(0.97, abs=0.02)  # through JPEG
    assert found["barcode: own person found among 15"].value == 100
    assert found["barcode: cone 0.6 to 1, EER"].value < 1
    # Views of one person lie about the anchor: the cosine of two is about the product of theirs to it, twice 0.8, and
    # JPEG takes its part of each.
    own = found["barcode: cone 0.6 to 1, EER"].detail
    assert own["genuine_mean"] == pytest.approx((0.8 * 0.97) ** 2, abs=0.05)
    usual = found["procedural pictures: EER"].detail
    ratio = (1 - own["genuine_mean"]) / (1 - usual["genuine_mean"])
    assert found["barcode: genuine distance over procedural, mean"].value == pytest.approx(ratio)
    assert found["barcode: genuine distance over procedural, deviation"].value == pytest.approx(
        own["genuine_std"] / usual["genuine_std"]
    )
    assert found["barcode: fine detail over procedural"].value == pytest.approx(1, abs=0.2)
    assert found["barcode: pictures/s, two cores"].met
    assert found["people that the prior holds at cosines <= 0.4, in 2000 draws"].value == pytest.approx(600, rel=0.5)
    assert found["dimensions for 90 % of the prior's variance"].value > 40
    leak = found["barcode: nearest person of the training, median cosine (training net, vectors)"]
    assert leak.detail["sampled_0.5"] < 0.5
    assert leak.detail["training_1"] <= 0.45
    again = by_name(measure(judging(fitted)))
    steady = [name for name in found if "pictures/s" not in name]
    assert [again[name] for name in steady] == [found[name] for name in steady]


def test_what_is_not_here_is_left_out_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Workplace(tmp_path / "work", 0, Console(stderr=True, width=400))
    absent = TrainedSettings.model_validate({"weights": f"{tmp_path}/judge.safetensors"})
    setup = judging(tmp_path, place=place, judge=absent, encoder=absent, own=(Own("nobody-s-recipe", 1, 1),))
    assert measure(setup) == []
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert lines == [
        f"left out, encoder: {tmp_path}/judge.safetensors is not here",
        f"left out, judge: {tmp_path}/judge.safetensors is not here",
        f"left out, prior: {tmp_path}/prior.safetensors is not here",
        "left out, nobody-s-recipe: there is no recipe nobody-s-recipe",
    ]


def test_a_recipe_lacks_its_own_files_and_those_of_its_encoders(tmp_path: Path) -> None:
    assert missing_files("barcode") is None
    prior = {"kind": "pca_gaussian", "file": f"{tmp_path}/prior.safetensors"}
    assert missing_files("barcode", **{"identities.prior": prior}) == f"{tmp_path}/prior.safetensors is not here"
    eyes = {"kind": "trained", "weights": f"{tmp_path}/eyes.safetensors"}
    changed = {"encoders.eyes": eyes, "checks.list": [{"kind": "cosine_to_anchor", "encoder": "eyes", "min": 0}]}
    assert missing_files("barcode", **changed) == f"{tmp_path}/eyes.safetensors is not here"


def test_people_are_held_as_the_search_keeps_them() -> None:
    prior = fit_pca_gaussian(UniformPrior().draw(1, torch.arange(50), 16).vectors)
    held = people_held(prior, 1, 0.4, 3000)
    kept = separate(prior, 1, 16, Wanted(held, 0.4, 1e3), Threads(1))
    assert len(kept.candidate) == held
    assert int(kept.candidate[-1]) < 3000
    assert held == people_held(prior, 1, 0.4, int(kept.candidate[-1]) + 1)
    assert held - 1 == people_held(prior, 1, 0.4, int(kept.candidate[-1]))


def test_pictures_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workplace(tmp_path)
    recipe = load_recipe("barcode", {"identities.count": 5, "variations.views": 3, **WHOLE})
    pictures = built(recipe, place)
    first = looked_at(pictures, BARCODE, place)
    assert torch.equal(view_numbers(pictures).sort().values, torch.arange(3).repeat_interleave(5))
    monkeypatch.setattr("synth.encoders.barcode.BarcodeEncoder.embed", None)
    assert torch.equal(looked_at(built(recipe, place), BARCODE, place), first)


def test_near_frontal_heads_are_found_by_the_cascades(tmp_path: Path) -> None:
    place = workplace(tmp_path)
    glasses = {"kind": "choice", "weights": {"none": 1, "sun": 1}}
    size = {"identities.count": 8, "variations.views": 3, "variations.attributes.glasses": glasses}
    pictures = built(load_recipe("heads-unseen", size), place)
    rows = near_frontal(pictures)
    attributes = pictures.table.attributes
    expected = (attributes["yaw_deg"].abs() <= 10) & (attributes["pitch_deg"].abs() <= 10) & (attributes["glasses"] < 2)
    assert torch.equal(rows, expected.nonzero()[:, 0])
    assert 0 < len(rows) < 24
    assert faces_found(pictures, rows) > 0.5
    turned = replace(pictures, table=replace(pictures.table, attributes={}))
    assert len(near_frontal(turned)) == 0


def test_two_processes_render_side_by_side() -> None:
    recipe = load_recipe("barcode", {"variations.views": 2})
    assert rendering_rate(recipe, 2, 0.2) > 10


def test_attributes_are_found_as_well_as_they_are_shown() -> None:
    draw = torch.Generator().manual_seed(3)
    told = torch.randn(5000, 1, generator=draw)
    half = told + torch.randn(5000, 1, generator=draw)
    assert found(told, told, False) == pytest.approx(1)
    assert found(half, told, False) == pytest.approx(0.5**0.5, abs=0.02)
    choice = functional.one_hot(torch.tensor([0] * 60 + [1] * 30 + [2] * 10)).float()
    assert found(choice, choice, True) == 1
    assert found(choice[:1].expand(100, 3), choice, True) == 0
    assert found(choice.flip(0), choice, True) < 0
    procedural = {"yaw": 0.8, "glasses": 0.5, "lost": 0.2}
    assert obeyed({"yaw": 0.4, "glasses": 0.6, "lost": 0.2}, procedural) == {"yaw": 0.5, "glasses": 1.0}


def test_a_reader_is_taught_once_and_reads_heads(tmp_path: Path) -> None:
    size = {"identities.count": 12, "variations.views": 2}
    build_here(load_recipe("quickstart", size), tmp_path / "training")
    heads = Own("quickstart", 1, 1, {"checks.list": []})
    setup = judging(tmp_path, own=(heads,), procedural="quickstart", reading_steps=40)
    reader = taught(setup)
    assert reader is not None
    seen = reader.figures(open_pictures(str(tmp_path / "training"), conditions.CONDITIONS))
    assert seen["exposure_ev"] > 0.5, "of the pictures that it learned from, even in so few steps"
    (row,) = attributes(setup, [heads])
    assert 0 < row.value <= 1
    assert {f"procedural_{name}" for name in row.detail if not name.startswith("procedural_")} < row.detail.keys()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "work" / "readers").rglob("*.safetensors")}
    again = taught(setup)
    assert again is not None
    assert again.figures(procedural_pictures(setup)) == reader.figures(procedural_pictures(setup))
    assert kept
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
