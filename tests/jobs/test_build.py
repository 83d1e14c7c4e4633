"""The build: it goes on where it was, makes again what was damaged, and refuses what does not belong."""

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.recipe import Recipe, load_recipe
from jobs.status import read_status
from jobs.verify import drop_damaged, verify
from samplers.errors import DatasetError, PlanMismatchError, SaturationError, StorageError
from synth.anchors import CERTIFICATE
from synth.commit import commit_name, index_name, tar_name
from synth.storages.local import LocalStorage
from tests.conftest import SMALL, build_here
from tests.files import commits, digests
from tests.processes import started, until

SHARDS = 5


@pytest.fixture
def copy(dataset_folder: Path, tmp_path: Path) -> Path:
    """A finished dataset to damage."""
    return shutil.copytree(dataset_folder, tmp_path / "copy")


def spoil(path: Path) -> None:
    """Change one byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_finished_dataset_is_sound_and_left_alone(small_recipe: Recipe, copy: Path) -> None:
    before = digests(copy)
    verdict = verify(LocalStorage(copy))
    assert verdict.sound, verdict.faults
    assert verdict.pictures == read_status(LocalStorage(copy)).kept
    assert build_here(small_recipe, copy) == 0
    assert digests(copy) == before


@pytest.mark.parametrize("seed", range(4))
def test_a_build_goes_on_from_whatever_is_there(small_recipe: Recipe, copy: Path, seed: int) -> None:
    """Any files may be missing, as after a crash: commits go first, since they were written last."""
    before, chance = digests(copy), random.Random(seed)
    lost = chance.sample(range(SHARDS), 3)
    for name in ["dataset.json", *map(commit_name, lost)]:
        (copy / name).unlink()
    for name in [*map(tar_name, lost), *map(index_name, lost), "README.md", "contact_sheet.png"]:
        if chance.random() < 0.5:
            (copy / name).unlink()
    if seed % 2:
        (copy / CERTIFICATE).unlink()
    assert build_here(small_recipe, copy) == 3
    assert digests(copy) == before


def test_files_that_are_not_ours_are_passed_over(small_recipe: Recipe, copy: Path) -> None:
    for name in ("shards/._000001.json", "shards/notes.json", "index/notes.txt", "notes.txt"):
        (copy / name).write_text("mine")
    (copy / "dataset.json").unlink()
    before = digests(copy)
    assert build_here(small_recipe, copy) == 0
    assert {name: digest for name, digest in digests(copy).items() if name != "dataset.json"} == before
    assert verify(LocalStorage(copy)).sound
    assert read_status(LocalStorage(copy)).done == SHARDS


def test_an_uncommitted_file_with_other_bytes_is_replaced(small_recipe: Recipe, copy: Path) -> None:
    before = digests(copy)
    for name in ("dataset.json", commit_name(2)):
        (copy / name).unlink()
    spoil(copy / tar_name(2))
    (copy / index_name(2)).write_bytes(b"left by another backend")
    assert build_here(small_recipe, copy) == 1
    assert digests(copy) == before


@pytest.mark.parametrize("name", [tar_name(1), index_name(1), commit_name(1)])
def test_damage_is_named_dropped_and_made_again_to_the_same_bytes(small_recipe: Recipe, copy: Path, name: str) -> None:
    before, storage = digests(copy), LocalStorage(copy)
    if name == commit_name(1):
        (copy / name).write_text("{}")
    else:
        spoil(copy / name)
    verdict = verify(storage)
    assert list(verdict.shards) == [1]
    assert any(Path(name).name in fault for fault in verdict.faults)
    assert (copy / "dataset.json").exists(), "verify only reads"
    assert drop_damaged(storage, verdict) == [1]
    assert not (copy / "dataset.json").exists()
    assert len(commits(copy)) == SHARDS - 1
    assert build_here(small_recipe, copy) == 1
    assert digests(copy) == before


@pytest.mark.parametrize("name", ["identities/part-00000.parquet", CERTIFICATE])
def test_damaged_identities_are_noticed_and_drawn_again(small_recipe: Recipe, copy: Path, name: str) -> None:
    before, storage = digests(copy), LocalStorage(copy)
    spoil(copy / name)
    verdict = verify(storage)
    assert verdict.identities
    drop_damaged(storage, verdict)
    build_here(small_recipe, copy)
    assert digests(copy) == before


@pytest.mark.parametrize("name", [tar_name(3), index_name(3)])
def test_a_missing_file_is_found_before_sealing_and_made_again(small_recipe: Recipe, copy: Path, name: str) -> None:
    before = digests(copy)
    (copy / "dataset.json").unlink()
    (copy / name).unlink()
    assert build_here(small_recipe, copy) == 1
    assert digests(copy) == before


def test_a_commit_of_another_plan_is_found_before_sealing(small_recipe: Recipe, copy: Path) -> None:
    before, commit = digests(copy), copy / commit_name(3)
    (copy / "dataset.json").unlink()
    commit.write_text(commit.read_text().replace('"plan_hash": "', '"plan_hash": "f'))
    assert build_here(small_recipe, copy) == 1
    assert digests(copy) == before


@pytest.mark.parametrize("name", ["plan.json", "recipe.yaml"])
@pytest.mark.parametrize("damage", [None, b"", b"[1]"])
def test_a_build_mends_the_record_of_its_plan(
    small_recipe: Recipe, copy: Path, name: str, damage: bytes | None
) -> None:
    before = digests(copy)
    (copy / name).unlink()
    if damage is not None:
        (copy / name).write_bytes(damage)
    with pytest.raises((DatasetError, StorageError)):
        verify(LocalStorage(copy))
    with pytest.raises(PlanMismatchError, match="holds another plan"):
        build_here(load_recipe("barcode", {**SMALL, "seed": 9}), copy)
    assert build_here(small_recipe, copy) == 0
    assert digests(copy) == before


def test_a_folder_with_other_things_in_it_is_left_alone(small_recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("my notes")
    with pytest.raises(PlanMismatchError, match="holds files, but nothing that hypersynth built"):
        build_here(small_recipe, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_tar_that_is_not_the_plans_is_named(copy: Path) -> None:
    shutil.copy(copy / tar_name(1), copy / tar_name(9))
    assert verify(LocalStorage(copy)).faults == [
        "shards/000009.tar is no part of this dataset, but readers would take it for one: remove it"
    ]


def test_another_plan_is_refused_with_both_hashes(copy: Path) -> None:
    before = digests(copy)
    with pytest.raises(PlanMismatchError, match=r"holds another plan: [0-9a-f]{12}, not [0-9a-f]{12}"):
        build_here(load_recipe("barcode", {**SMALL, "seed": 9}), copy)
    assert digests(copy) == before


def test_too_many_identities_leave_nothing_behind(tmp_path: Path) -> None:
    tight = load_recipe("barcode", {"identities.separation.max_cosine": 0.15, "identities.count": 5000})
    with pytest.raises(
        SaturationError, match=r"at max_cosine 0\.15 .* holds about \d+ of the 5000 identities asked for"
    ):
        build_here(tight, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_place_is_told_in_one_line(small_recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot write .*file/out"):
        build_here(small_recipe, tmp_path / "file" / "out")


def test_status_counts_what_is_stored(copy: Path, tmp_path: Path) -> None:
    whole = read_status(LocalStorage(copy))
    assert (whole.done, whole.shards, whole.missing, whole.sealed) == (SHARDS, SHARDS, [], True)
    assert whole.kept + sum(whole.rejected.values()) == whole.pictures == 240
    for name in ("dataset.json", commit_name(4)):
        (copy / name).unlink()
    part = read_status(LocalStorage(copy))
    assert (part.done, part.missing, part.sealed) == (SHARDS - 1, [4], False)
    with pytest.raises(DatasetError, match="holds no plan"):
        read_status(LocalStorage(tmp_path / "nothing"))


def test_status_does_not_call_finished_what_readers_cannot_open(copy: Path) -> None:
    spoilt = (copy / "dataset.json").read_text()[:-40]
    (copy / "dataset.json").write_text(spoilt)
    with pytest.raises(DatasetError, match=r"dataset\.json is damaged"):
        read_status(LocalStorage(copy))


def build_words(folder: Path, workers: str) -> list[str]:
    """A build of 100 small shards, as it is typed."""
    sizes = ("--set", "output.shard_size=20", "--set", "renderer.size=64")
    return [sys.executable, "-m", "jobs", "build", "barcode", "--out", str(folder), "--workers", workers, *sizes]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(build_words(folder, "0"), check=True, capture_output=True)
    return digests(folder)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_stops_cleanly_and_the_next_build_goes_on(
    workers: str, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    with started(build_words(broken, workers)) as build:
        until(lambda: len(commits(broken)) >= 3, build)
        build.send_signal(signal.SIGINT)
        _, said = build.communicate()
    assert build.returncode == 130
    assert said == "stopped; nothing is half-written, run the same command to go on\n"
    assert 3 <= len(commits(broken)) < 100
    subprocess.run(build_words(broken, "0"), check=True, capture_output=True)
    assert digests(broken) == undisturbed


def test_a_full_disk_stops_the_build_in_one_line_and_loses_nothing(small_recipe: Recipe, tmp_path: Path) -> None:
    """The process may write no file above 40 kB; the plan fits, a shard does not."""
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000));"
        "from jobs.cli import main; main()"
    )
    values = [word for key, value in SMALL.items() for word in ("--set", f"{key}={str(value).lower()}")]
    words = [sys.executable, "-c", limited, "build", "barcode", "--workers", "0", "--out", tmp_path / "out", *values]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "File too large" in ended.stderr
    assert not commits(tmp_path / "out")
    assert not list((tmp_path / "out").glob(".unfinished/*"))
    assert build_here(small_recipe, tmp_path / "out") == SHARDS
