"""Identities in storage: read back as they were drawn, and never believed when they were changed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from samplers.errors import DatasetError, StorageError
from samplers.identities import Identities, draw_identities
from samplers.priors import UniformPrior
from samplers.separation import certify, nearest_neighbours
from synth.anchors import CERTIFICATE, ROWS_PER_PART, anchors_written, read_anchors, read_certificate, write_anchors
from synth.renderers.barcode import BarcodeRenderer
from synth.storage import LocalStorage

PART = "identities/part-00000.parquet"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@pytest.fixture(scope="module")
def people() -> Identities:
    return draw_identities(UniformPrior(), 1, 30, 64, 0.5)


def test_identities_are_read_as_they_were_drawn(storage: LocalStorage, people: Identities) -> None:
    assert not anchors_written(storage)
    write_anchors(storage, people, {})
    assert anchors_written(storage)
    read = read_anchors(storage)
    assert torch.equal(read.vectors, people.vectors)
    assert torch.equal(read.nearest, people.nearest)
    assert torch.equal(read.nearest_cosine, people.nearest_cosine)


def test_columns_have_their_types_and_say_what_the_renderer_says(storage: LocalStorage, people: Identities) -> None:
    words = [f"person {number}" for number in range(30)]
    write_anchors(storage, people, {**BarcodeRenderer.describe(people.vectors), "said": words})
    table = pq.read_table(pa.BufferReader(storage.read(PART)))
    assert {field.name: str(field.type) for field in table.schema} == {
        "identity": "int64",
        "vector": "fixed_size_list<element: float>[64]",
        "nearest_identity": "int64",
        "nearest_cosine": "float",
        "largest": "int64",
        "said": "string",
    }
    assert table["identity"].to_pylist() == list(range(30))
    assert table["largest"].to_pylist() == people.vectors.argmax(1).tolist()
    assert table["said"].to_pylist() == words


def test_the_certificate_names_its_parts_and_the_largest_cosine(storage: LocalStorage, people: Identities) -> None:
    write_anchors(storage, people, {})
    certificate = read_certificate(storage)
    cosines = (people.vectors.double() @ people.vectors.double().T).fill_diagonal_(-2)
    one, other = certificate["pair"]
    assert certificate["max_cosine"] == pytest.approx(float(cosines.max()), abs=1e-15)
    assert float(cosines[one, other]) == pytest.approx(float(cosines.max()), abs=1e-15)
    assert (certificate["count"], certificate["dimension"], certificate["limit"]) == (30, 64, 0.5)
    assert [part["name"] for part in certificate["parts"]] == [PART]


def test_many_identities_lie_in_several_parts(storage: LocalStorage) -> None:
    count = 2 * ROWS_PER_PART + 1
    vectors = UniformPrior().draw(1, 0, count, 2)
    nearest = torch.arange(count).flip(0)
    certificate = certify(vectors[:2], nearest_neighbours(vectors[:2]), 1)
    write_anchors(storage, Identities(vectors, nearest, vectors[:, 0].contiguous(), certificate, count), {})
    names = [stored.name for stored in storage.list("identities/") if stored.name.endswith(".parquet")]
    assert len(names) == 3
    storage.replace("identities/part-00003.parquet", b"of an older build")
    read = read_anchors(storage)
    assert torch.equal(read.vectors, vectors)
    assert torch.equal(read.nearest, nearest)


def test_a_changed_or_missing_part_is_named(storage: LocalStorage, people: Identities) -> None:
    write_anchors(storage, people, {})
    storage.replace(PART, storage.read(PART) + b"\0")
    with pytest.raises(
        DatasetError, match=rf"^.*/{PART} does not have the size and sha256 that the certificate names$"
    ):
        read_anchors(storage)
    storage.delete(PART)
    with pytest.raises(StorageError, match=f"^cannot read .*/{PART}: No such file"):
        read_anchors(storage)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"null", b'{"parts": [1]}', b'{"parts": 1}', b"\xff"])
def test_a_damaged_certificate_is_named(storage: LocalStorage, damage: bytes) -> None:
    storage.replace(CERTIFICATE, damage)
    with pytest.raises(DatasetError, match=rf"^.*/{CERTIFICATE} is damaged$"):
        read_anchors(storage)
