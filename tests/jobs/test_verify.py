"""Verifying records: what a manifest, a certificate and commits say is held against what they stand on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.verify import drop_damaged, verify
from samplers.errors import DatasetError
from synth.anchors import CERTIFICATE, parquet_bytes
from synth.commit import commit_name
from synth.storage import LocalStorage, sha256

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
    assert the_fault(copy).endswith("/dataset.json is damaged")
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


@pytest.mark.parametrize("change", [{"max_cosine": 0.1}, {"pair": [0, 1]}, {"count": 41}, {"limit": 0.9}])
def test_a_certificate_that_the_vectors_do_not_give_is_named(copy: Path, change: Document) -> None:
    rewrite(copy / CERTIFICATE, lambda certificate: certificate.update(change))
    assert the_fault(copy) == "identities/certificate.json is not what the stored vectors give"


def replace_vectors(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Store other identities, and let the certificate name their bytes."""
    part = folder / "identities/part-00000.parquet"
    data = parquet_bytes(change(pq.read_table(part)))
    part.write_bytes(data)
    rewrite(
        folder / CERTIFICATE,
        lambda certificate: certificate["parts"][0].update(bytes=len(data), sha256=sha256(data)),
    )


def test_identities_that_are_too_few_or_too_alike_are_named(copy: Path) -> None:
    replace_vectors(copy, lambda people: people.slice(1))
    assert the_fault(copy) == "identities/ holds 39 people, the plan 40"
    replace_vectors(copy, lambda people: pa.concat_tables([people.slice(0, 1), people]))
    assert the_fault(copy) == "identities/certificate.json is not what the stored vectors give"


def test_progress_is_told_shard_by_shard(dataset_folder: Path) -> None:
    told: list[tuple[int, int]] = []
    verify(LocalStorage(dataset_folder), lambda done, total: told.append((done, total)))
    assert told == [(shard, 5) for shard in range(1, 6)]


def test_without_a_plan_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no plan"):
        verify(LocalStorage(tmp_path))
