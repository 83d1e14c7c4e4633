"""Builds whose renderer fails: what is retried, parked or stopped, what is said, and what stays."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console
from torch import Tensor

from cluster.run import Crew
from jobs.build import build
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe
from samplers.errors import BuildError, RecipeError
from synth import renderer as contract
from synth.commit import commit_name
from synth.renderer import Views
from synth.renderers.barcode import BarcodeRenderer
from tests.conftest import SMALL, build_here
from tests.files import commits, digests

SHARDS = 5


class Counting(BarcodeRenderer):
    """Draws barcodes and counts the batches."""

    batches: ClassVar[int]

    def render(self, views: Views) -> Tensor:
        type(self).batches += 1
        return super().render(views)


class BrokenAtFirst(Counting):
    def render(self, views: Views) -> Tensor:
        images = super().render(views)
        if self.batches == 1:
            raise RuntimeError("a cosmic ray\nstruck")
        return images


class BrokenForPerson20(Counting):
    """Gives out what is no picture whenever person 20, of shard 2, is due."""

    def render(self, views: Views) -> Tensor:
        images = super().render(views)
        return images.short() if bool((views.identity == 20).any()) else images


class BrokenAlways(Counting):
    def render(self, views: Views) -> Tensor:
        super().render(views)
        raise RuntimeError("no [/paint] left")


class NeverBuilt(Counting):
    def __init__(self, size: int, device: str = "cpu") -> None:
        raise RecipeError("the weights are elsewhere")


Install = Callable[[type[Counting]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Let another renderer stand in for the barcode's."""

    def stand_in(renderer: type[Counting]) -> None:
        renderer.batches = 0
        monkeypatch.setitem(contract.RENDERERS, "barcode", lambda: renderer)

    return stand_in


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Eight people in each of five shards, one after the other."""
    return load_recipe("barcode", {**SMALL, "output.order": "by_identity"})


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of a build in which nothing fails."""
    folder = tmp_path_factory.mktemp("whole")
    assert build_here(recipe, folder) == SHARDS
    return digests(folder)


def said_by_build(recipe: Recipe, folder: Path) -> tuple[str, str]:
    """What a build prints, and the error that it ends with, if any."""
    printed, error = io.StringIO(), ""
    with ProgressWatch(Console(file=printed, width=1000)) as watch:
        try:
            build(recipe, str(folder), Crew(0), watch)
        except BuildError as failure:
            error = str(failure)
    assert "\n" not in error
    return printed.getvalue(), error


def test_a_bug_that_passes_is_told_with_its_traceback_and_changes_no_byte(
    recipe: Recipe, whole: dict[str, str], install: Install, tmp_path: Path
) -> None:
    install(BrokenAtFirst)
    printed, error = said_by_build(recipe, tmp_path)
    assert error == ""
    assert "shard 000000 failed (bug): RuntimeError: a cosmic ray; retry\n" in printed
    assert printed.count("Traceback") == 1
    assert "in render" in printed
    assert digests(tmp_path) == whole


def test_a_shard_that_always_fails_is_parked_and_named_and_the_others_are_done(
    recipe: Recipe, whole: dict[str, str], install: Install, tmp_path: Path
) -> None:
    install(BrokenForPerson20)
    printed, error = said_by_build(recipe, tmp_path)
    assert error.startswith("1 of 5 shards could not be made (000002); the first: the renderer gave int16 (16, 32, 32")
    assert error.endswith("these fail every time, until the recipe (then another --out) or the renderer changes")
    assert printed.count("failed (contract)") == 1, "a broken contract breaks again: it is not retried"
    assert [path.name for path in commits(tmp_path)] == [Path(commit_name(n)).name for n in (0, 1, 3, 4)]
    assert not (tmp_path / "dataset.json").exists()
    install(Counting)
    assert build_here(recipe, tmp_path) == 1
    assert digests(tmp_path) == whole


def test_a_renderer_that_always_fails_stops_the_build_before_all_shards_were_tried(
    recipe: Recipe, install: Install, tmp_path: Path
) -> None:
    install(BrokenAlways)
    printed, error = said_by_build(recipe, tmp_path)
    assert error == ("the build was stopped at shard 000002: RuntimeError: no [/paint] left; what was done stays")
    assert printed.count("Traceback") == 1, "the same bug is told in full but once"
    assert "no [/paint] left; park\n" in printed
    assert "no [/paint] left; stop\n" in printed
    assert not commits(tmp_path)


def test_what_settings_break_is_not_tried_again(recipe: Recipe, install: Install, tmp_path: Path) -> None:
    install(NeverBuilt)
    printed, error = said_by_build(recipe, tmp_path)
    assert error == "the build was stopped at shard 000000: the weights are elsewhere; what was done stays"
    assert printed.count("failed") == 1
    assert "Traceback" not in printed


def test_identities_that_were_damaged_stop_the_build_at_once(recipe: Recipe, tmp_path: Path) -> None:
    build_here(recipe, tmp_path)
    for name in ("dataset.json", commit_name(3)):
        (tmp_path / name).unlink()
    part = tmp_path / "identities/part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    printed, error = said_by_build(recipe, tmp_path)
    assert error.startswith("the build was stopped at shard 000003: ")
    assert "part-00000.parquet does not have the size and sha256 that the certificate names" in error
    assert printed.count("failed (settings)") == 1


def test_a_finished_build_tells_plan_and_counts(recipe: Recipe, tmp_path: Path) -> None:
    printed, _ = said_by_build(recipe, tmp_path)
    told = [line for line in printed.splitlines() if line]
    assert told[0] == "finding 40 identities with cosines of at most 0.4"
    assert re.fullmatch(r"largest cosine 0\.[0-3]\d{3} over 780 pairs; of \d+ candidates", told[1])
    assert told[2].endswith(": 40 identities x 6 views = 240 pictures in 5 shards")
    assert told[-1] == "holding every shard against its commit"
