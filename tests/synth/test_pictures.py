"""Pictures by row: the kept ones, their stored bytes, and what is recorded of each."""

import dataclasses
import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.recipe import load_recipe
from samplers.errors import DatasetError, StorageError
from synth.anchors import read_anchors
from synth.conditions import CONDITIONS, told, width
from synth.pictures import Pictures, open_pictures
from synth.renderers.barcode import BarcodeRenderer
from tests.conftest import build_here

DECLARED = BarcodeRenderer.attributes


@pytest.fixture(scope="module")
def pictures(dataset_folder: Path) -> Pictures:
    return open_pictures(str(dataset_folder), DECLARED)


def rows_of(folder: Path) -> pa.Table:
    """All rows of the index, as they lie."""
    return pa.concat_tables(pq.read_table(path) for path in sorted((folder / "index").glob("*.parquet")))


def test_every_kept_picture_has_a_row_with_its_bytes(pictures: Pictures, dataset_folder: Path) -> None:
    every = rows_of(dataset_folder).to_pylist()
    kept = [row for row in every if row["outcome"] == "kept"]
    assert 0 < len(kept) == len(pictures.table) < len(every), "some were rejected, and have no row"
    for number, row in enumerate(kept):
        assert int(pictures.table.identity[number]) == row["identity"]
        assert hashlib.sha256(pictures.jpeg(number)).hexdigest() == row["sha256"]
        assert float(pictures.table.attributes["damage"][number]) == pytest.approx(row["attributes"]["damage"])
        choice = DECLARED["tint"].choices[int(pictures.table.attributes["tint"][number])]
        assert choice == row["attributes"]["tint"]
    assert pictures.table.landmarks is None
    assert (pictures.image(0).shape, pictures.image(0).dtype) == ((3, 32, 32), torch.uint8)


def test_people_are_those_of_the_dataset(pictures: Pictures) -> None:
    assert torch.equal(pictures.anchors, read_anchors(pictures.storage).vectors)
    assert int(pictures.table.identity.max()) < len(pictures.anchors)


def test_only_declared_attributes_are_read(dataset_folder: Path) -> None:
    assert set(open_pictures(str(dataset_folder), {}).table.attributes) == set()
    assert set(open_pictures(str(dataset_folder), CONDITIONS).table.attributes) == set(), "a head's, not a barcode's"


def test_heads_come_with_landmarks_and_all_that_can_be_told_of_them(tmp_path: Path) -> None:
    small = {"identities.count": 2, "variations.views": 2, "renderer.size": 112}
    build_here(load_recipe("quickstart", small), tmp_path)
    heads = open_pictures(str(tmp_path), CONDITIONS).table
    points = heads.landmarks
    assert points is not None
    recorded = torch.tensor(rows_of(tmp_path)["landmarks"].to_pylist()).view(-1, 5, 2)
    assert torch.equal(points, recorded)
    numbers = told(CONDITIONS, heads.attributes)
    assert numbers.shape == (4, width(CONDITIONS))
    assert bool(numbers.isfinite().all())


def test_a_choice_that_is_not_declared_is_told(dataset_folder: Path) -> None:
    fewer = dataclasses.replace(DECLARED["tint"], choices=("black", "white"), default="black", distribution=None)
    with pytest.raises(DatasetError, match="the attribute tint is 'grey'; known are black, white"):
        open_pictures(str(dataset_folder), {"tint": fewer})


def test_an_unfinished_or_damaged_dataset_is_told(dataset_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no finished dataset"):
        open_pictures(str(tmp_path), {})
    (tmp_path / "dataset.json").write_bytes((dataset_folder / "dataset.json").read_bytes())
    with pytest.raises(StorageError, match=r"index/000000\.parquet: No such file"):
        open_pictures(str(tmp_path), {})
