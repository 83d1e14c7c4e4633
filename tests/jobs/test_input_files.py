"""Files that a recipe names: pinned by what they hold, wherever they lie, and refused when they were changed."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.embeddings import EmbeddingFile, fit_prior
from jobs.plan import make_plan, recipe_document
from jobs.recipe import Recipe, parse_stored, resolve_recipe
from jobs.status import read_status
from jobs.verify import verify
from samplers.errors import DatasetError, PlanMismatchError, StorageError
from synth.storages.local import LocalStorage
from tests.conftest import build_here
from tests.files import digests
from tests.jobs.making import features, small, store, store_directions

FILES = ("people.npy", "means.parquet", "prior.safetensors", "gallery.safetensors", "directions.safetensors")


def write_files(folder: Path) -> Path:
    """All the files that `everything` names."""
    folder.mkdir()
    store(folder / "people.npy", features())
    store(folder / "means.parquet", features(3, seed=2))
    centres = store(folder / "centres.npy", features(seed=3))
    fit_prior(EmbeddingFile(str(centres)), str(folder / "prior.safetensors"))
    store(folder / "gallery.safetensors", features(seed=4))
    store_directions(folder / "directions.safetensors", age=features(1, seed=5)[0])
    return folder


def everything(folder: Path) -> Recipe:
    """A recipe that names a file wherever it can."""
    priors: list[dict[str, Any]] = [
        {"kind": "file", "vectors": f"{folder}/people.npy"},
        {"kind": "vmf", "concentration": 30, "means": f"{folder}/means.parquet"},
        {"kind": "pca_gaussian", "file": f"{folder}/prior.safetensors"},
    ]
    groups = {f"group{i}": {"share": share, "prior": priors[i]} for i, share in enumerate((0.25, 0.25, 0.5))}
    return small(
        identities__prior={"kind": "groups", "groups": groups},
        identities__packing={"steps": 5, "pull": 0.1, "gallery": f"{folder}/gallery.safetensors"},
        identities__separation__max_cosine=0.9,
        variations__vector={
            "kind": "directions",
            "file": f"{folder}/directions.safetensors",
            "steps": {"age": {"kind": "uniform", "low": -0.1, "high": 0.1}},
        },
    )


def of_file(path: Path) -> Recipe:
    return small(identities__prior={"kind": "file", "vectors": str(path)})


def named_files(node: Any) -> list[dict[str, Any]]:
    """All files that a stored recipe names, however deep."""
    if isinstance(node, dict):
        return [node] if "url" in node else [file for value in node.values() for file in named_files(value)]
    return [file for value in node for file in named_files(value)] if isinstance(node, list) else []


def test_every_file_is_stored_with_its_place_and_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "files")
    stored = yaml.safe_load(recipe_document(resolve_recipe(everything(folder))))
    assert {file["url"]: file["sha256"] for file in named_files(stored)} == {
        f"{folder}/{name}": hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES
    }


def test_a_dataset_made_of_files_stands_without_them(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "files")
    build_here(everything(folder), tmp_path / "out")
    folder.rename(tmp_path / "gone")
    assert verify(LocalStorage(tmp_path / "out")).faults == []
    assert read_status(LocalStorage(tmp_path / "out")).sealed


def test_a_plan_depends_on_what_files_hold_and_not_on_where_they_lie(tmp_path: Path) -> None:
    here, there = write_files(tmp_path / "here"), write_files(tmp_path / "there")
    plan = make_plan(resolve_recipe(everything(here)))
    assert make_plan(resolve_recipe(everything(there))).hash == plan.hash
    build_here(everything(here), tmp_path / "out")
    assert build_here(everything(there), tmp_path / "out") == 0


@pytest.mark.parametrize("name", FILES)
def test_a_plan_depends_on_every_file(tmp_path: Path, name: str) -> None:
    folder = write_files(tmp_path / "files")
    before = make_plan(resolve_recipe(everything(folder)))
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert make_plan(resolve_recipe(everything(folder))).hash != before.hash


def test_a_stored_recipe_with_files_gives_the_same_plan(tmp_path: Path) -> None:
    resolved = resolve_recipe(everything(write_files(tmp_path / "files")))
    again = parse_stored(recipe_document(resolved), "recipe.yaml")
    assert make_plan(again).hash == make_plan(resolved).hash
    assert again == resolved


@pytest.mark.parametrize("name", FILES)
def test_a_file_changed_after_the_recipe_was_resolved_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_files(tmp_path / "files")
    resolved = resolve_recipe(everything(folder))
    (folder / name).write_bytes((folder / name).read_bytes() + b"\0")
    with pytest.raises(DatasetError) as refused:
        build_here(resolved, tmp_path / "out")
    said = str(refused.value)
    assert said.startswith(f"{folder}/{name} does not have the sha256 that the recipe names: ")
    assert not (tmp_path / "out").exists()


def test_a_sha256_written_into_a_recipe_is_held_against_the_file(tmp_path: Path) -> None:
    file = store(tmp_path / "people.npy", features())
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    for digest, fits in ((right, True), ("0" * 64, False)):
        recipe = small(identities__prior={"kind": "file", "vectors": {"url": str(file), "sha256": digest}})
        if fits:
            assert make_plan(resolve_recipe(recipe)).hash == make_plan(resolve_recipe(of_file(file))).hash
        else:
            with pytest.raises(DatasetError, match="does not have the sha256"):
                build_here(recipe, tmp_path / "out")
            assert not (tmp_path / "out").exists()


def test_another_file_under_the_same_name_does_not_go_on_with_the_build(tmp_path: Path) -> None:
    file = store(tmp_path / "people.npy", features())
    build_here(of_file(file), tmp_path / "out")
    before = digests(tmp_path / "out")
    store(file, features(seed=2))
    with pytest.raises(PlanMismatchError, match=r"holds another plan: [0-9a-f]{12}, not [0-9a-f]{12}"):
        build_here(of_file(file), tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_a_file_that_cannot_be_read_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^cannot read .*/nowhere/people\.npy: No such file or directory$"):
        build_here(of_file(tmp_path / "nowhere" / "people.npy"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_relative_path_is_meant_from_where_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store(tmp_path / "people.npy", features())
    monkeypatch.chdir(tmp_path)
    plans = [make_plan(resolve_recipe(of_file(path))) for path in (Path("people.npy"), file)]
    assert plans[0].hash == plans[1].hash


def test_a_build_goes_on_from_stored_identities(tmp_path: Path) -> None:
    """Vectors of files are drawn once; what comes after reads them back from the dataset."""
    file = store(tmp_path / "people.npy", features())
    build_here(of_file(file), tmp_path / "out")
    before = digests(tmp_path / "out")
    for name in ("dataset.json", "shards/000001.json", "shards/000001.tar"):
        (tmp_path / "out" / name).unlink()
    assert build_here(of_file(file), tmp_path / "out") == 1
    assert digests(tmp_path / "out") == before
