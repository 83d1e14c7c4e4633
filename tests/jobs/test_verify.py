"""Verifying records: what a manifest, a certificate and commits say is held against what they stand on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.recipe import Recipe
from jobs.verify import drop_damaged, verify
from samplers.errors import DatasetError
from samplers.priors import VonMisesFisher
from synth.anchors import CERTIFICATE, COURSE, write_anchors
from synth.commit import commit_name
from synth.parquet import parquet_bytes
from synth.renderers.barcode import BarcodeRenderer
from synth.storage import sha256
from synth.storages.local import LocalStorage
from tests.conftest import build_here
from tests.files import digests
from tests.jobs.making import typed
from tests.synth import making

Document = dict[str, Any]


@pytest.fixture
def copy(dataset_folder: Path, tmp_path: Path) -> Path:
    """A finished dataset to damage."""
    return shutil.copytree(dataset_folder, tmp_path / "copy")


def rewrite(path: Path, change: Callable[[Document], object]) -> None:
    """Change a JSON file by hand."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def the_fault(folder: Path) -> str:
    (fault,) = verify(LocalStorage(folder)).faults
    return fault


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(kept=239),
        lambda manifest: manifest.update(classes=41),
        lambda manifest: manifest["rejected"].update(whim=1),
        lambda manifest: manifest["certificate"].update(max_cosine=0.1),
        lambda manifest: manifest["shards"].reverse(),
        lambda manifest: manifest["shards"].pop(),
        lambda manifest: manifest["shards"][0].update(samples=1),
        lambda manifest: manifest["backends"].append({"device": "another"}),
    ],
)
def test_a_manifest_changed_by_hand_is_noticed_whatever_was_changed(
    copy: Path, change: Callable[[Document], object]
) -> None:
    rewrite(copy / "dataset.json", change)
    assert the_fault(copy) == "dataset.json is not what the commits and the certificate give"


def test_a_manifest_that_is_foreign_damaged_or_missing_is_named(copy: Path) -> None:
    rewrite(copy / "dataset.json", lambda manifest: manifest.update(plan_hash="f" * 64))
    assert the_fault(copy) == "dataset.json belongs to another plan, ffffffffffff"
    (copy / "dataset.json").write_text("{")
    assert "/dataset.json is damaged; " in the_fault(copy)
    (copy / "dataset.json").unlink()
    assert the_fault(copy) == "all shards are done, but dataset.json is missing: build again to seal"


def test_a_commit_of_another_plan_and_one_that_is_missing_are_named(copy: Path) -> None:
    rewrite(copy / commit_name(1), lambda commit: commit.update(plan_hash="f" * 64))
    (copy / commit_name(3)).unlink()
    verdict = verify(LocalStorage(copy))
    assert verdict.shards == {
        1: ["shard 000001 belongs to another plan, ffffffffffff"],
        3: ["shard 000003 has no commit: it is not done"],
    }
    assert drop_damaged(LocalStorage(copy), verdict) == [1, 3]


@pytest.mark.parametrize(
    "change",
    [
        lambda certificate: certificate.update(max_cosine=0.1),
        lambda certificate: certificate.update(pair=[0, 1]),
        lambda certificate: certificate.update(count=41),
        lambda certificate: certificate.update(limit=0.9),
        lambda certificate: certificate.update(pairs_compared=779),
        lambda certificate: certificate.update(levenshtein_bound=0.0),
        lambda certificate: certificate["histogram"].reverse(),
        lambda certificate: certificate["cones"].update(widest_deg=1.0),
        lambda certificate: certificate["cones"].update(least_gap_deg=90.0),
        lambda certificate: certificate["cones"].update(disjoint=False),
        lambda certificate: certificate.update(cones=None),
    ],
)
def test_a_certificate_that_the_vectors_do_not_give_is_named(copy: Path, change: Callable[[Document], object]) -> None:
    rewrite(copy / CERTIFICATE, change)
    assert the_fault(copy) == "identities/certificate.json is not what the stored vectors give"


def replace_people(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Store other identities, and let the certificate name their bytes."""
    part = folder / "identities/part-00000.parquet"
    data = parquet_bytes(change(pq.read_table(part)))
    part.write_bytes(data)
    rewrite(
        folder / CERTIFICATE,
        lambda certificate: certificate["parts"][0].update(bytes=len(data), sha256=sha256(data)),
    )


def with_first(column: str, change: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """Change the first person's value of a column."""

    def changed(people: pa.Table) -> pa.Table:
        place, values = people.column_names.index(column), people[column].to_pylist()
        values[0] = change(values[0])
        return people.set_column(place, people.schema.field(place), pa.array(values, people.schema.field(place).type))

    return changed


@pytest.mark.parametrize(
    "change",
    [
        with_first("vector", lambda vector: [-vector[0], *vector[1:]]),
        with_first("vector", lambda vector: vector[::-1]),
        with_first("nearest_identity", lambda nearest: (nearest + 1) % 40),
        with_first("nearest_cosine", lambda cosine: cosine + 1e-6),
        with_first("nearest_cosine", lambda cosine: cosine - 0.1),
        lambda people: pa.concat_tables([people.slice(0, 1), people.slice(0, 39)]),
    ],
)
def test_vectors_or_neighbours_that_do_not_belong_together_are_named(
    copy: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    replace_people(copy, change)
    assert the_fault(copy) == "identities/ names nearest neighbours that the stored vectors do not have"


def test_identities_that_are_too_few_are_named(copy: Path) -> None:
    replace_people(copy, lambda people: people.slice(1))
    assert the_fault(copy) == "identities/ holds 39 people, the plan 40"


def test_identities_that_are_too_alike_are_named(copy: Path) -> None:
    """Records that agree with each other, about people whom the recipe does not allow."""
    crowd = making.people(40, VonMisesFisher(30.0), max_cosine=1)
    crowd = replace(crowd, certificate=replace(crowd.certificate, limit=0.4))
    LocalStorage(copy).delete(CERTIFICATE)  # they would be refused where others are certified
    write_anchors(LocalStorage(copy), crowd, BarcodeRenderer.describe(crowd.vectors))
    assert the_fault(copy) == f"two identities have a cosine of {crowd.certificate.max_cosine}, above 0.4"


def test_a_course_that_was_changed_or_is_missing_is_named(copy: Path) -> None:
    rewrite(copy / COURSE, lambda course: course.update(candidates=1))
    assert the_fault(copy).endswith(f"/{COURSE} does not have the size and sha256 that the certificate names")
    (copy / COURSE).unlink()
    assert the_fault(copy).endswith(f"/{COURSE}: No such file or directory")


def test_changed_identities_are_found_again_by_the_next_build(
    small_recipe: Recipe, dataset_folder: Path, copy: Path
) -> None:
    replace_people(copy, with_first("nearest_cosine", lambda cosine: cosine - 0.1))
    drop_damaged(LocalStorage(copy), verify(LocalStorage(copy)))
    assert build_here(small_recipe, copy) == 0
    assert digests(copy) == digests(dataset_folder)


def test_progress_is_told_shard_by_shard(dataset_folder: Path) -> None:
    told: list[tuple[int, int]] = []
    verify(LocalStorage(dataset_folder), lambda done, total: told.append((done, total)))
    assert told == [(shard, 5) for shard in range(1, 6)]


def test_without_a_plan_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no plan"):
        verify(LocalStorage(tmp_path))


def test_a_finished_dataset_that_lost_a_commit_is_mended_by_a_build_and_not_by_gc(
    copy: Path, dataset_folder: Path
) -> None:
    """What dataset.json names is no orphan, though nothing else names it."""
    (copy / "shards/000001.json").unlink()
    assert typed("gc", copy, "--delete").out == "no orphans\n"
    assert "not finished" in typed("status", copy).out
    ended = typed("build", copy / "recipe.yaml", "--out", copy, "--workers", "0")
    assert ended.code == 0
    assert "nothing was left to do" not in ended.out
    assert typed("verify", copy).code == 0
    assert digests(copy) == digests(dataset_folder)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"shard": 7}, "shards/000001.json is the commit of another shard, 000007"),
        ({"kept": 99}, "shards/000001.json counts"),
    ],
)
def test_a_commit_that_contradicts_itself_is_told_and_made_again(
    copy: Path, dataset_folder: Path, change: dict[str, int], fault: str
) -> None:
    (copy / "dataset.json").unlink()
    place = copy / "shards/000001.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **change}))
    assert fault in typed("verify", copy).out
    assert typed("build", copy / "recipe.yaml", "--out", copy, "--workers", "0").code == 0
    assert digests(copy) == digests(dataset_folder)


def test_a_certificate_that_names_no_parts_is_damaged(copy: Path) -> None:
    place = copy / CERTIFICATE
    place.write_text(json.dumps({**json.loads(place.read_text()), "parts": []}))
    assert f"{CERTIFICATE} is damaged" in typed("verify", copy).out


def test_strays_do_not_unseal_a_dataset(copy: Path) -> None:
    (copy / "shards/copy.tar").write_bytes(b"somebody's")
    ended = typed("verify", copy, "--drop-damaged")
    assert ended.code == 1
    assert "shards/copy.tar is no part of this dataset" in ended.out
    assert "dropped" not in ended.out
    assert (copy / "dataset.json").exists()
