"""Anchors: the identities as they lie in storage, `identities/part-*.parquet`, written once and read by every worker.

Columns: identity, vector, nearest identity, nearest cosine, and what the renderer says of the people. This module
does not know how identities are drawn (`samplers.identities`).
"""

import dataclasses
import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from samplers.errors import MissingPackageError
from samplers.identities import Identities
from samplers.separation import Certificate
from synth.storage import Storage

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
        index = faiss.IndexFlatIP(self.vectors.shape[1])
        index.add(self.vectors.numpy())
        return index


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file; the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def fixed_list(rows: Tensor, value_type: pa.DataType) -> pa.Array:
    """Rows (N, K) as a column of fixed-size lists."""
    values = pa.array(rows.contiguous().flatten().numpy()).cast(value_type)
    return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])


def write_anchors(storage: Storage, identities: Identities, description: dict[str, Tensor | list[str]]) -> None:
    """Store identities and their certificate, the certificate last: `anchors_written` trusts that."""
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
    for part, first in enumerate(range(0, count, ROWS_PER_PART)):
        storage.replace(f"{FOLDER}part-{part:05d}.parquet", parquet_bytes(table.slice(first, ROWS_PER_PART)))
    storage.replace(CERTIFICATE, certificate_bytes(identities.certificate))


def certificate_bytes(certificate: Certificate) -> bytes:
    """A certificate as JSON."""
    return json.dumps(dataclasses.asdict(certificate), sort_keys=True, indent=1).encode() + b"\n"


def anchors_written(storage: Storage) -> bool:
    """Whether all identities are stored."""
    return storage.exists(CERTIFICATE)


def read_anchors(storage: Storage) -> Anchors:
    """All identities. Raises StorageError where a part cannot be read."""
    names = [stored.name for stored in storage.list(FOLDER) if stored.name.endswith(".parquet")]
    tables = [pq.read_table(pa.BufferReader(storage.read(name))) for name in names]
    table = pa.concat_tables(tables).combine_chunks()
    vectors = table["vector"].combine_chunks()
    flat = torch.from_numpy(vectors.flatten().to_numpy(zero_copy_only=False).copy())
    return Anchors(
        flat.view(len(table), vectors.type.list_size),
        torch.from_numpy(table["nearest_identity"].to_numpy().copy()),
        torch.from_numpy(table["nearest_cosine"].to_numpy().copy()),
    )
