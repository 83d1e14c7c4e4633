"""Identities in storage: read back as they were drawn, and never believed when they were changed."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from samplers.certificate import certify
from samplers.errors import DatasetError, StorageError
from samplers.hands import Threads
from samplers.identities import Identities
from samplers.pairs import compare_all
from samplers.priors import Given, Group, Groups, UniformPrior
from synth.anchors import (
    CERTIFICATE,
    COURSE,
    ROWS_PER_PART,
    Anchors,
    anchors_written,
    read_anchors,
    read_certificate,
    read_course,
    read_people,
    write_anchors,
)
from synth.renderers.barcode import BarcodeRenderer
from synth.storage import Storage
from synth.storages.local import LocalStorage
from tests.synth import making

PART = "identities/part-00000.parquet"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@pytest.fixture(scope="module")
def people() -> Identities:
    return making.people(30, max_cosine=0.5)


def stored_columns(storage: Storage) -> dict[str, str]:
    """The columns of the people and their types."""
    return {field.name: str(field.type) for field in pq.read_schema(pa.BufferReader(storage.read(PART)))}


def test_identities_are_read_as_they_were_drawn(storage: LocalStorage, people: Identities) -> None:
    assert not anchors_written(storage)
    write_anchors(storage, people, {})
    assert anchors_written(storage)
    read = read_anchors(storage)
    for name, values in vars(Anchors.of(people)).items():
        assert torch.equal(getattr(read, name), values), name


def test_columns_have_their_types_and_say_what_the_renderer_says(storage: LocalStorage, people: Identities) -> None:
    words = [f"person {number}" for number in range(30)]
    write_anchors(storage, people, {**BarcodeRenderer.describe(people.vectors), "said": words})
    assert stored_columns(storage) == {
        "identity": "int64",
        "vector": "fixed_size_list<element: float>[64]",
        "norm": "float",
        "nearest_identity": "int64",
        "nearest_cosine": "float",
        "candidate": "int64",
        "largest": "int64",
        "said": "string",
    }
    table = read_people(storage, ["identity", "largest", "said", "candidate"])
    assert table["identity"].to_pylist() == list(range(30))
    assert table["largest"].to_pylist() == people.vectors.argmax(1).tolist()
    assert table["said"].to_pylist() == words
    assert table["candidate"].to_pylist() == people.candidate.tolist()


def test_groups_and_the_lengths_of_features_are_kept(storage: LocalStorage) -> None:
    features = torch.randn(40, 64, generator=torch.Generator().manual_seed(1)) * torch.linspace(1, 9, 40)[:, None]
    prior = Groups(((Group("known", 0.25), Given(features)), (Group("drawn", 0.75), UniformPrior())))
    write_anchors(storage, making.people(20, prior), {})
    table = read_people(storage, ["group", "norm", "vector"])
    assert table["group"].to_pylist().count("known") == 5
    known = [row for row in table.to_pylist() if row["group"] == "known"]
    for row, feature in zip(known, features, strict=False):
        assert row["norm"] == pytest.approx(float(feature.norm()), rel=1e-6)
        assert torch.tensor(row["vector"]) == pytest.approx(feature / feature.norm(), abs=1e-6)
    assert {row["norm"] for row in table.to_pylist() if row["group"] == "drawn"} == {8.0}


def test_people_without_groups_have_no_column_for_them(storage: LocalStorage, people: Identities) -> None:
    write_anchors(storage, people, {})
    assert "group" not in stored_columns(storage)


def test_the_certificate_names_its_parts_and_the_largest_cosine(storage: LocalStorage, people: Identities) -> None:
    write_anchors(storage, people, {})
    certificate = read_certificate(storage)
    cosines = (people.vectors.double() @ people.vectors.double().T).fill_diagonal_(-2)
    one, other = certificate["pair"]
    assert certificate["max_cosine"] == pytest.approx(float(cosines.max()), abs=1e-15)
    assert float(cosines[one, other]) == pytest.approx(float(cosines.max()), abs=1e-15)
    assert (certificate["count"], certificate["dimension"], certificate["limit"]) == (30, 64, 0.5)
    assert certificate["pairs_compared"] == sum(certificate["histogram"]) == 30 * 29 // 2
    assert certificate["cones"]["disjoint"] is True
    assert [part["name"] for part in certificate["parts"]] == [PART]
    assert certificate["course"]["name"] == COURSE


def test_the_course_is_read_as_it_was(storage: LocalStorage, people: Identities) -> None:
    write_anchors(storage, people, {})
    assert read_course(storage) == {**asdict(people.course), "prior_histogram": list(people.course.prior_histogram)}
    assert read_course(storage)["candidates"] == int(people.candidate[-1]) + 1


def test_many_identities_lie_in_several_parts(storage: LocalStorage, people: Identities) -> None:
    count = 2 * ROWS_PER_PART + 1
    drawn = UniformPrior().draw(1, torch.arange(count), 2)
    crowd = replace(
        people,
        vectors=drawn.vectors,
        norm=drawn.norm,
        candidate=torch.arange(count),
        nearest=torch.arange(count).flip(0),
        nearest_cosine=drawn.vectors[:, 0].contiguous(),
        certificate=certify(
            drawn.vectors[:2], compare_all(drawn.vectors[:2], Threads(1), histogram=True), limit=1, cones=None
        ),
    )
    write_anchors(storage, crowd, {})
    names = [stored.name for stored in storage.list("identities/") if stored.name.endswith(".parquet")]
    assert len(names) == 3
    storage.replace("identities/part-00003.parquet", b"of an older build")
    read = read_anchors(storage)
    assert torch.equal(read.vectors, crowd.vectors)
    assert torch.equal(read.nearest, crowd.nearest)


@pytest.mark.parametrize(("name", "read"), [(PART, read_anchors), (COURSE, read_course)])
def test_a_changed_or_missing_file_is_named(
    storage: LocalStorage, people: Identities, name: str, read: Callable[[Storage], Any]
) -> None:
    write_anchors(storage, people, {})
    storage.replace(name, storage.read(name) + b"\0")
    with pytest.raises(
        DatasetError, match=rf"^.*/{name} does not have the size and sha256 that the certificate names$"
    ):
        read(storage)
    storage.delete(name)
    with pytest.raises(StorageError, match=f"^cannot read .*/{name}: No such file"):
        read(storage)


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[]", b"null", b'{"parts": [1]}', b'{"parts": 1}', b'{"parts": []}', b"\xff"]
)
def test_a_damaged_certificate_is_named(storage: LocalStorage, damage: bytes) -> None:
    storage.replace(CERTIFICATE, damage)
    for read in (read_anchors, read_course):
        with pytest.raises(DatasetError, match=rf"^.*/{CERTIFICATE} is damaged$"):
            read(storage)


def test_identities_that_are_certified_are_never_replaced(storage: LocalStorage, people: Identities) -> None:
    """The same ones may be stored twice; others, as another backend finds them, are refused before a byte changes."""
    write_anchors(storage, people, {})
    write_anchors(storage, people, {})
    before = {stored.name: storage.read(stored.name) for stored in storage.list("")}
    with pytest.raises(StorageError, match="another build has stored other identities at"):
        write_anchors(storage, making.people(31, max_cosine=0.5), {})
    assert {stored.name: storage.read(stored.name) for stored in storage.list("")} == before
    storage.delete(CERTIFICATE)
    write_anchors(storage, making.people(31, max_cosine=0.5), {})  # without a certificate they bind nobody
    assert len(read_anchors(storage).vectors) == 31
