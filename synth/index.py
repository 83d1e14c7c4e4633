"""The index: one row per planned picture of a shard, kept or rejected, in `index/NNNNNN.parquet`.

It makes a shard's pictures reachable by offset, and its decisions countable, without reading the tar. This module knows
the columns and their types; it does not know how the values came about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from samplers.attributes import Attribute

KEPT, REJECTED = "kept", "rejected"
AttributeValues = dict[str, float | str]


@dataclass(frozen=True)
class Row:
    """One planned picture and what became of it."""

    identity: int
    view: int
    attempts: int  # pictures rendered for this place
    outcome: str  # KEPT or REJECTED
    attempt: int  # the one that this row describes: the kept one, else the last
    reason: str | None  # the check that refused this attempt
    attributes: AttributeValues
    cosine: float | None  # to the anchor, where an encoder ran
    quality: float | None  # where a check asked for it
    findings: dict[str, float] | None  # where the renderer reports any
    landmarks: list[float] | None  # x, y of five points, in pixels
    embedding: list[float] | None
    sha256: str | None  # of the JPEG
    offset: int | None  # of the JPEG in the tar, bytes
    size: int | None  # of the JPEG, bytes

    @property
    def kept(self) -> bool:
        """Whether the picture is in the tar."""
        return self.outcome == KEPT

    @property
    def key(self) -> str:
        """The picture's name everywhere: eight digits of identity, four of view."""
        return picture_key(self.identity, self.view)


def picture_key(identity: int, view: int) -> str:
    """The name of a picture: `{identity:08d}-{view:04d}`."""
    return f"{identity:08d}-{view:04d}"


def schema(attributes: Mapping[str, Attribute]) -> pa.Schema:
    """The index's columns for a renderer with these attributes."""
    values = [pa.field(name, pa.string() if a.choices else pa.float32()) for name, a in attributes.items()]
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("shard", pa.int32(), nullable=False),
            pa.field("identity", pa.int64(), nullable=False),
            pa.field("view", pa.int32(), nullable=False),
            pa.field("attempts", pa.int32(), nullable=False),
            pa.field("outcome", pa.string(), nullable=False),
            pa.field("attempt", pa.int32(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("attributes", pa.struct(values) if values else pa.null()),  # Parquet knows no empty struct
            pa.field("cosine", pa.float32()),
            pa.field("quality", pa.float32()),
            pa.field("findings", pa.map_(pa.string(), pa.float32())),
            pa.field("landmarks", pa.list_(pa.float32(), 10)),
            pa.field("embedding", pa.list_(pa.float16())),
            pa.field("sha256", pa.string()),
            pa.field("offset", pa.int64()),
            pa.field("size", pa.int32()),
        ]
    )


def index_table(shard: int, rows: Sequence[Row], attributes: Mapping[str, Attribute]) -> pa.Table:
    """The rows of one shard as a table."""
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows] for name in schema(attributes).names if name != "shard"
    }
    columns["shard"] = [shard] * len(rows)
    if not attributes:
        columns["attributes"] = [None] * len(rows)
    columns["findings"] = [None if each is None else list(each.items()) for each in columns["findings"]]
    columns["embedding"] = [None if e is None else np.asarray(e, np.float16) for e in columns["embedding"]]
    return pa.table(columns, schema=schema(attributes))
