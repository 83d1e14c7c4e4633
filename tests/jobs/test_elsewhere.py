"""Builds in buckets and in parts: the same bytes as in a folder in one go, and every verb works there."""

import shutil
import signal
import sys
from pathlib import Path

import boto3
import pytest
from rich.console import Console

from bench.chaos.builds import bytes_at
from bench.chaos.proxy import Trouble, troubled
from cluster.run import Crew
from jobs.build import Part, build_part, seal
from jobs.orphans import find_orphans, remove_orphans
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe
from jobs.status import read_status
from jobs.verify import drop_damaged, verify
from samplers.errors import BuildError, DatasetError, RecipeError
from synth.commit import commit_name, index_name, tar_name
from synth.dataset import Dataset
from synth.reader import open_dataset
from synth.storage import open_storage
from tests.conftest import SERVERS, build_at, talking_to
from tests.files import commits, digests
from tests.jobs.making import typed
from tests.processes import started, until
from tests.servers import BUCKET, Server

SHARDS = 5


def make_part(recipe: Recipe, url: str, number: int, of: int) -> int:
    """Build one part in this process; returns the number of shards made."""
    with ProgressWatch(Console(quiet=True)) as watch:
        return build_part(recipe, url, Part(number, of), Crew(0), watch)


def sealed(url: str) -> Dataset:
    with ProgressWatch(Console(quiet=True)) as watch:
        return seal(url, watch)


@pytest.fixture
def whole(dataset_folder: Path) -> dict[str, str]:
    """The bytes of the build in a folder, in one go."""
    return digests(dataset_folder)


@pytest.mark.parametrize("name", SERVERS)
def test_a_bucket_gets_the_same_bytes_as_a_folder(
    name: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    small_recipe: Recipe,
    whole: dict[str, str],
) -> None:
    url = talking_to(request.getfixturevalue(name), monkeypatch)
    assert build_at(small_recipe, url) == SHARDS
    assert bytes_at(url) == whole
    assert build_at(small_recipe, url) == 0
    assert verify(open_storage(url)).faults == []
    assert read_status(open_storage(url)).sealed


def test_a_dataset_is_read_from_a_bucket(small_recipe: Recipe, s3_url: str, dataset_folder: Path) -> None:
    build_at(small_recipe, s3_url)
    here, there = (open_dataset(url, shuffle_buffer=0, decode=False) for url in (str(dataset_folder), s3_url))
    assert list(there) == list(here)


def test_damage_in_a_bucket_is_found_dropped_and_made_again(
    small_recipe: Recipe, s3_url: str, whole: dict[str, str]
) -> None:
    build_at(small_recipe, s3_url)
    storage = open_storage(s3_url)
    boto3.client("s3").put_object(
        Bucket=BUCKET, Key=f"{s3_url.rpartition('/')[2]}/{tar_name(1)}", Body=b"something else"
    )
    storage.delete(index_name(2))
    verdict = verify(storage)
    assert list(verdict.shards) == [1, 2]
    drop_damaged(storage, verdict)
    assert build_at(small_recipe, s3_url) == 2
    assert bytes_at(s3_url) == whole


def test_before_sealing_a_bucket_is_asked_for_what_it_holds(
    small_recipe: Recipe, s3_url: str, whole: dict[str, str]
) -> None:
    build_at(small_recipe, s3_url)
    storage = open_storage(s3_url)
    storage.delete("dataset.json")
    storage.replace(tar_name(3), b"something else")
    assert build_at(small_recipe, s3_url) == 1
    assert bytes_at(s3_url) == whole


def test_a_build_gets_through_all_kinds_of_trouble(
    moto: Server, monkeypatch: pytest.MonkeyPatch, small_recipe: Recipe, whole: dict[str, str]
) -> None:
    trouble = Trouble(seed=7, share=0.25)
    with troubled(moto.url, trouble) as endpoint:
        url = talking_to(moto, monkeypatch, endpoint)
        build_at(small_recipe, url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    assert bytes_at(url) == whole
    assert find_orphans(open_storage(url)) == []
    assert len(trouble.happened) >= 5


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "out") if request.param == "folder" else request.getfixturevalue("s3_url")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_in_any_order_make_the_same_dataset(
    place: str, order: tuple[int, ...], small_recipe: Recipe, whole: dict[str, str]
) -> None:
    made = []
    for number in order:
        with pytest.raises(BuildError if made else DatasetError, match=r"shards are missing|holds no plan"):
            sealed(place)
        made.append(make_part(small_recipe, place, number, 3))
    assert sum(made) == SHARDS
    assert sealed(place).planned == 240
    assert bytes_at(place) == whole
    assert make_part(small_recipe, place, 0, 3) == 0


def test_a_damaged_part_is_not_sealed_but_made_again(small_recipe: Recipe, whole: dict[str, str], place: str) -> None:
    make_part(small_recipe, place, 0, 1)
    open_storage(place).replace(tar_name(4), b"something else")
    with pytest.raises(BuildError, match=r"^shards 000004 did not keep what was written and were dropped: build them"):
        sealed(place)
    assert make_part(small_recipe, place, 4, 5) == 1
    sealed(place)
    assert bytes_at(place) == whole


@pytest.mark.parametrize("text", ["3/3", "1", "a/b", "-1/2", "0/0", ""])
def test_what_is_no_part_is_told(text: str) -> None:
    with pytest.raises(RecipeError, match=r"is no part of a build|there is no part|has one part at least"):
        Part.parse(text)


def test_parts_are_typed_and_sealed(tmp_path: Path, whole: dict[str, str]) -> None:
    few = ["--set", "identities.count=8", "--set", "variations.views=4", "--set", "output.shard_size=10"]
    folder, once = str(tmp_path / "parts"), str(tmp_path / "once")
    for number in range(2):
        ended = typed("build", "barcode", *few, "--out", folder, "--shards", f"{number}/2")
        assert ended.code == 0
        assert f"part {number}/2, 2 shards made now" in ended.out
        assert f"hypersynth seal {folder}" in ended.out
    assert "done: " in typed("seal", folder).out
    typed("build", "barcode", *few, "--out", once, "--workers", "0")
    assert digests(Path(folder)) == digests(Path(once))


def test_what_no_commit_names_is_listed_and_removed(place: str, small_recipe: Recipe, whole: dict[str, str]) -> None:
    build_at(small_recipe, place)
    storage = open_storage(place)
    assert find_orphans(storage) == []
    for name in ("dataset.json", commit_name(2)):
        storage.delete(name)
    for name in ("shards/000077.tar", "notes.txt", "shards/notes.tar", "identities/packing.safetensors"):
        storage.create(name, b"left behind")
    orphans = ["shards/000002.tar", "shards/000077.tar", "index/000002.parquet", "identities/packing.safetensors"]
    assert [stored.name for stored in find_orphans(storage)] == orphans
    assert [stored.name for stored in remove_orphans(storage)] == orphans
    assert find_orphans(storage) == []
    assert storage.exists("notes.txt")
    assert storage.exists("shards/notes.tar")
    assert build_at(small_recipe, place) == 1
    assert {name: digest for name, digest in bytes_at(place).items() if "notes" not in name} == whole


def test_identities_without_a_certificate_bind_nobody(place: str, small_recipe: Recipe) -> None:
    build_at(small_recipe, place)
    storage = open_storage(place)
    storage.delete("identities/certificate.json")
    assert find_orphans(storage) == [], "a finished dataset needs them"
    storage.delete("dataset.json")
    assert [stored.name for stored in find_orphans(storage)] == [
        "identities/course.json",
        "identities/part-00000.parquet",
    ]


def test_orphans_are_told_with_what_removes_them(dataset_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset_folder, tmp_path / "copy")
    assert typed("gc", str(folder)).out == "no orphans\n"
    (folder / "shards" / "000009.tar").write_bytes(b"1234")
    assert typed("gc", str(folder)).out == "shards/000009.tar  4 bytes\n1 orphans, 4 B; --delete removes them\n"
    assert "removed 1 orphans" in typed("gc", str(folder), "--delete").out
    assert digests(folder) == digests(dataset_folder)
    assert "holds no plan: nothing was built there" in typed("gc", str(tmp_path / "nothing")).line


def slow_build(folder: Path) -> list[str | Path]:
    """A build of 16 shards in one process, with some work in each."""
    larger = ("identities.count=64", "output.shard_size=48", "variations.views=12", "renderer.size=112")
    options = [word for each in larger for word in ("--set", each)]
    return [sys.executable, "-m", "jobs", "build", "barcode", *options, "--out", folder, "--workers", "0"]


def finish(words: list[str | Path]) -> None:
    with started(words) as build:
        _, said = build.communicate()
    assert build.returncode == 0, said


@pytest.fixture(scope="module")
def slow_digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("slow")
    finish(slow_build(folder))
    return digests(folder)


@pytest.mark.parametrize("grace", ["20", "0"])
def test_a_build_that_is_told_to_end_leaves_whole_shards_and_goes_on(
    slow_digests: dict[str, str], tmp_path: Path, grace: str
) -> None:
    with started([*slow_build(tmp_path), "--grace", grace]) as build:
        until(lambda: len(commits(tmp_path)) >= 2, build)
        build.send_signal(signal.SIGTERM)
        _, said = build.communicate()
    assert build.returncode == 128 + signal.SIGTERM
    assert "of 16 shards are left; run the same command to go on" in said
    assert said.count("\n") == 1
    assert not (tmp_path / ".unfinished").exists()
    assert 2 <= len(commits(tmp_path)) < 16
    finish(slow_build(tmp_path))
    assert digests(tmp_path) == slow_digests
