"""Anchors: the identities as they lie in storage, `identities/part-*.parquet`, written once and read by every worker.

Columns: identity, vector, nearest identity, nearest cosine, and what the renderer says of the people. This module
does not know how identities are drawn (`samplers.identities`).
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

from samplers.errors import DatasetError, MissingPackageError
from samplers.identities import Identities
from samplers.separation import Certificate
from synth.commit import StoredFile, stored_file
from synth.parquet import fixed_list, parquet_bytes
from synth.storage import Storage, json_bytes

FOLDER = "identities/"
CERTIFICATE = "identities/certificate.json"
ROWS_PER_PART = 65_536


@dataclass(frozen=True)
class Anchors:
    """What a shard needs to know of all people."""

    vectors: Tensor  # float32 (I, D)
    nearest: Tensor  # int64 (I,)
    nearest_cosine: Tensor  # float32 (I,)

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
    """Store identities and, last, their certificate, which names the parts with size and sha256 as a commit does."""
    count = len(identities.vectors)
    columns = {
        "identity": pa.array(range(count), pa.int64()),
        "vector": fixed_list(identities.vectors, pa.float32()),
        "nearest_identity": pa.array(identities.nearest.numpy(), pa.int64()),
        "nearest_cosine": pa.array(identities.nearest_cosine.numpy(), pa.float32()),
    }
    for name, values in description.items():
        columns[name] = pa.array(values.numpy() if isinstance(values, Tensor) else values)
    table = pa.table(columns)
    parts = []
    for part, first in enumerate(range(0, count, ROWS_PER_PART)):
        data = parquet_bytes(table.slice(first, ROWS_PER_PART))
        parts.append(stored_file(f"{FOLDER}part-{part:05d}.parquet", data))
        storage.replace(parts[-1].name, data)
    certificate = certificate_document(identities.certificate, parts)
    storage.replace(CERTIFICATE, json_bytes(certificate))


def certificate_document(certificate: Certificate, parts: Sequence[StoredFile]) -> dict[str, Any]:
    """A certificate, and the parts that it speaks of, as they are stored."""
    pair = None if certificate.pair is None else list(certificate.pair)
    return {**dataclasses.asdict(certificate), "pair": pair, "parts": [part.model_dump() for part in parts]}


def read_certificate(storage: Storage) -> dict[str, Any]:
    """The stored certificate. Raises DatasetError where it cannot be understood."""
    try:
        certificate: dict[str, Any] = json.loads(storage.read(CERTIFICATE))
        certificate["parts"] = [StoredFile.model_validate(part).model_dump() for part in certificate["parts"]]
    except (ValueError, KeyError, TypeError) as damage:
        raise DatasetError(f"{storage.url}/{CERTIFICATE} is damaged") from damage
    return certificate


def anchors_written(storage: Storage) -> bool:
    """Whether all identities are stored."""
    return storage.exists(CERTIFICATE)


def read_anchors(storage: Storage) -> Anchors:
    """All identities. Raises StorageError where a part cannot be read, DatasetError where it was changed."""
    tables = []
    for part in map(StoredFile.model_validate, read_certificate(storage)["parts"]):
        data = storage.read(part.name)
        if stored_file(part.name, data) != part:
            raise DatasetError(
                f"{storage.url}/{part.name} does not have the size and sha256 that the certificate names"
            )
        tables.append(pq.read_table(pa.BufferReader(data), columns=["vector", "nearest_identity", "nearest_cosine"]))
    table = pa.concat_tables(tables).combine_chunks()
    vectors = table["vector"].combine_chunks()
    flat = torch.from_numpy(vectors.flatten().to_numpy(zero_copy_only=False).copy())
    return Anchors(
        flat.view(len(table), vectors.type.list_size),
        torch.from_numpy(table["nearest_identity"].to_numpy().copy()),
        torch.from_numpy(table["nearest_cosine"].to_numpy().copy()),
    )
