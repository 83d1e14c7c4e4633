"""Pictures of a finished dataset by row: what its indices record of every kept one, and the pictures themselves.

Where `synth.reader` streams shards into a training, this is random access: any pictures in any order, with attributes
and landmarks, so that a training can be stopped at any step and go on with the very same pictures. This module does not
know what they are for.

Shapes: n pictures, I identities, D dimensions of the identity vectors.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from samplers.attributes import Attribute
from samplers.errors import DatasetError
from synth.anchors import read_anchors
from synth.dataset import Dataset, read_manifest
from synth.reader import decode_image
from synth.storage import Storage, open_storage


@dataclass(frozen=True)
class PictureTable:
    """What is recorded of n kept pictures, shard by shard in stored order."""

    shard: Tensor  # int32 (n,)
    offset: Tensor  # int64 (n,), of the JPEG in the shard's tar
    size: Tensor  # int32 (n,), of the JPEG in bytes
    identity: Tensor  # int64 (n,)
    landmarks: Tensor | None  # float32 (n, 5, 2), x and y in pixels; None where the renderer did not know them
    attributes: Mapping[str, Tensor]  # (n,) each: float32 numbers, int64 positions among the choices

    def __len__(self) -> int:
        return len(self.shard)


@dataclass(frozen=True)
class Pictures:
    """A finished dataset, by rows of its table."""

    storage: Storage
    manifest: Dataset
    table: PictureTable
    anchors: Tensor  # float32 (I, D), unit length: the vectors that people were made from

    def jpeg(self, row: int) -> bytes:
        """The stored bytes of one picture."""
        shard = self.manifest.shards[int(self.table.shard[row])].name
        return self.storage.read_range(shard, int(self.table.offset[row]), int(self.table.size[row]))

    def image(self, row: int) -> Tensor:
        """One picture: uint8 (3, H, W), RGB."""
        return decode_image(self.jpeg(row))


def open_pictures(url: str, declared: Mapping[str, Attribute]) -> Pictures:
    """A finished dataset, with those of the declared attributes that its pictures have.

    Raises DatasetError where the dataset is not finished, or an attribute has a value that is not declared.
    """
    storage = open_storage(url)
    manifest = read_manifest(storage)
    return Pictures(storage, manifest, _read_table(storage, manifest, declared), read_anchors(storage).vectors)


def _read_table(storage: Storage, manifest: Dataset, declared: Mapping[str, Attribute]) -> PictureTable:
    columns = ["shard", "identity", "offset", "size", "landmarks", "attributes"]
    tables = [pq.read_table(io.BytesIO(storage.read(each.index.name)), columns=columns) for each in manifest.shards]
    table = pa.concat_tables(tables)
    table = table.filter(table["offset"].is_valid())
    points = table["landmarks"].combine_chunks()
    attributes = table["attributes"].combine_chunks()
    names = [field.name for field in attributes.type] if pa.types.is_struct(attributes.type) else []
    return PictureTable(
        shard=_tensor(table["shard"]),
        offset=_tensor(table["offset"]),
        size=_tensor(table["size"]),
        identity=_tensor(table["identity"]),
        landmarks=None if points.null_count else torch.from_numpy(points.flatten().to_numpy().copy()).view(-1, 5, 2),
        attributes={
            name: _values(storage.url, name, attribute, attributes.field(name))
            for name, attribute in declared.items()
            if name in names
        },
    )


def _tensor(column: Any) -> Tensor:
    return torch.from_numpy(column.to_numpy().copy())


def _values(url: str, name: str, attribute: Attribute, column: Any) -> Tensor:
    """One attribute's column as `Views` has it."""
    if not attribute.choices:
        return torch.from_numpy(column.to_numpy(zero_copy_only=False).astype(np.float32))
    places = pc.index_in(column, pa.array(attribute.choices))
    if places.null_count:
        strange = column.filter(places.is_null())[0].as_py()
        raise DatasetError(f"{url}: the attribute {name} is {strange!r}; known are {', '.join(attribute.choices)}")
    return torch.from_numpy(places.to_numpy().astype(np.int64))
