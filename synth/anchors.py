"""Anchors: the identities as they lie in storage, `identities/part-*.parquet`, written once and read by every worker.

Columns: identity, vector, norm, nearest identity, nearest cosine, the number of the candidate that became this person,
the group where there are groups, and what the renderer says of the people. This module does not know how identities are
drawn (`samplers.identities`).
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from samplers.certificate import Certificate
from samplers.errors import DatasetError, MissingPackageError, StorageError
from samplers.identities import Identities
from synth.commit import StoredFile, stored_file
from synth.parquet import fixed_list, parquet_bytes
from synth.storage import Storage, json_bytes

FOLDER = "identities/"
CERTIFICATE = "identities/certificate.json"
COURSE = "identities/course.json"
ROWS_PER_PART = 65_536


@dataclass(frozen=True)
class Anchors:
    """What a shard needs to know of all people."""

    vectors: Tensor  # float32 (I, D)
    nearest: Tensor  # int64 (I,)
    nearest_cosine: Tensor  # float32 (I,), rounded up
    norm: Tensor  # float32 (I,), the length of each person's feature before it was scaled to one

    @classmethod
    def of(cls, identities: Identities) -> "Anchors":
        """Of identities that were just drawn."""
        return cls(identities.vectors, identities.nearest, identities.nearest_cosine, identities.norm)

    @cached_property
    def search(self) -> Any:
        """A faiss index of all vectors by inner product, made when first asked for.

        Raises MissingPackageError where faiss is not installed.
        """
        try:
            import faiss
        except ImportError as missing:
            raise MissingPackageError(
                "searching all anchors needs faiss: pip install 'hypersynth[cpu]' (or [gpu])"
            ) from missing
        faiss.omp_set_num_threads(torch.get_num_threads())
        index = faiss.IndexFlatIP(self.vectors.shape[1])
        index.add(self.vectors.numpy())
        return index


def write_anchors(storage: Storage, identities: Identities, description: dict[str, Tensor | list[str]]) -> None:
    """Store identities and, last, their certificate, which names the parts with size and sha256 as a commit does.

    Where another build has stored them meanwhile, its certificate stands if it promises the same bytes; else raises
    StorageError, since two backends are at work on one dataset.
    """
    count = len(identities.vectors)
    columns = {
        "identity": pa.array(range(count), pa.int64()),
        "vector": fixed_list(identities.vectors, pa.float32()),
        "norm": pa.array(identities.norm.numpy(), pa.float32()),
        "nearest_identity": pa.array(identities.nearest.numpy(), pa.int64()),
        "nearest_cosine": pa.array(identities.nearest_cosine.numpy(), pa.float32()),
        "candidate": pa.array(identities.candidate.numpy(), pa.int64()),
    }
    if identities.group is not None:
        columns["group"] = pa.array(identities.group, pa.string())
    for name, values in description.items():
        columns[name] = pa.array(values.numpy() if isinstance(values, Tensor) else values)
    table = pa.table(columns)
    parts = []
    for part, first in enumerate(range(0, count, ROWS_PER_PART)):
        data = parquet_bytes(table.slice(first, ROWS_PER_PART))
        parts.append(stored_file(f"{FOLDER}part-{part:05d}.parquet", data))
        _store(storage, parts[-1].name, data)
    course = json_bytes(dataclasses.asdict(identities.course))
    _store(storage, COURSE, course)
    certificate = certificate_document(identities.certificate, parts, stored_file(COURSE, course))
    if not storage.create(CERTIFICATE, json_bytes(certificate)):
        raise _other_identities(storage)


def _store(storage: Storage, name: str, data: bytes) -> None:
    """Store a part, in the place of any that no certificate names."""
    if not storage.create(name, data):
        if anchors_written(storage):
            raise _other_identities(storage)
        storage.replace(name, data)


def _other_identities(storage: Storage) -> StorageError:
    return StorageError(f"another build has stored other identities at {storage.url}: on another backend?")


def certificate_document(certificate: Certificate, parts: Sequence[StoredFile], course: StoredFile) -> dict[str, Any]:
    """A certificate, and the files that belong to it, as they are stored."""
    files = {"parts": [part.model_dump() for part in parts], "course": course.model_dump()}
    document: dict[str, Any] = json.loads(json_bytes({**dataclasses.asdict(certificate), **files}))
    return document


def read_certificate(storage: Storage) -> dict[str, Any]:
    """The stored certificate. Raises DatasetError where it cannot be understood."""
    try:
        certificate: dict[str, Any] = json.loads(storage.read(CERTIFICATE))
        certificate["parts"] = [StoredFile.model_validate(part).model_dump() for part in certificate["parts"]]
        certificate["course"] = StoredFile.model_validate(certificate["course"]).model_dump()
        if not certificate["parts"]:
            raise ValueError("no parts")
    except (ValueError, KeyError, TypeError) as damage:
        raise DatasetError(f"{storage.url}/{CERTIFICATE} is damaged") from damage
    return certificate


def anchors_written(storage: Storage) -> bool:
    """Whether all identities are stored."""
    return storage.exists(CERTIFICATE)


def read_anchors(storage: Storage) -> Anchors:
    """All identities. Raises StorageError where a part cannot be read, DatasetError where it was changed."""
    table = read_people(storage, ["vector", "nearest_identity", "nearest_cosine", "norm"])
    vectors = table["vector"].combine_chunks()
    flat = torch.from_numpy(vectors.flatten().to_numpy(zero_copy_only=False).copy())
    return Anchors(
        flat.view(len(table), vectors.type.list_size),
        torch.from_numpy(table["nearest_identity"].to_numpy().copy()),
        torch.from_numpy(table["nearest_cosine"].to_numpy().copy()),
        torch.from_numpy(table["norm"].to_numpy().copy()),
    )


def read_people(storage: Storage, columns: list[str]) -> pa.Table:
    """These columns of all identities. Raises as `read_anchors` does."""
    parts = map(StoredFile.model_validate, read_certificate(storage)["parts"])
    tables = [pq.read_table(pa.BufferReader(_sound(storage, part)), columns=columns) for part in parts]
    return pa.concat_tables(tables).combine_chunks()


def read_course(storage: Storage) -> dict[str, Any]:
    """How the identities were found (`samplers.identities.Course`). Raises as `read_anchors` does."""
    named = StoredFile.model_validate(read_certificate(storage)["course"])
    try:
        course: dict[str, Any] = json.loads(_sound(storage, named))
    except ValueError as damage:
        raise DatasetError(f"{storage.url}/{named.name} is damaged") from damage
    return course


def _sound(storage: Storage, named: StoredFile) -> bytes:
    data = storage.read(named.name)
    if stored_file(named.name, data) != named:
        raise DatasetError(f"{storage.url}/{named.name} does not have the size and sha256 that the certificate names")
    return data
