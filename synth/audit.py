"""Auditing one shard: everything that its commit, its tar and its index say of each other.

Only reads. This module does not know what to do about what it finds: it says it in words.
"""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from torch import Tensor

from synth.commit import Commit, stored_file
from synth.index import picture_key
from synth.storage import Storage, sha256
from synth.tar import Member, read_tar


def audit_shard(storage: Storage, commit: Commit, places: Tensor, size_px: int) -> list[str]:
    """What is wrong with a committed shard whose planned pictures are `places` int64 (n, 2); empty if nothing is."""
    read = []
    for file in (commit.tar, commit.index):
        if not storage.exists(file.name):
            return [f"{file.name} is missing"]
        read.append(storage.read(file.name))
        if stored_file(file.name, read[-1]) != file:
            return [f"{file.name} does not have the size and sha256 that its commit names"]
    try:
        return list(_disagreements(read[0], read[1], commit, places, size_px))
    except ValueError as damage:  # of tar, Parquet and JPEG alike
        return [f"shard {commit.shard:06d} cannot be read: {damage}"]


def _disagreements(tar: bytes, index: bytes, commit: Commit, places: Tensor, size_px: int) -> Iterator[str]:
    rows = pq.read_table(pa.BufferReader(index)).to_pylist()
    planned = [picture_key(identity, view) for identity, view in places.tolist()]
    if [row["key"] for row in rows] != planned:
        yield f"{commit.index.name} does not list the planned pictures, each once"
        return
    kept = [row for row in rows if row["outcome"] == "kept"]
    refused = Counter(str(row["reason"]) for row in rows if row["outcome"] != "kept")
    if (len(rows), len(kept), refused) != (commit.planned, commit.kept, commit.rejected):
        counted = f"{len(kept)} kept of {len(rows)}, rejected {dict(refused)}"
        promised = f"{commit.kept} kept of {commit.planned}, rejected {commit.rejected}"
        yield f"{commit.index.name} counts {counted}; its commit {promised}"
    members = list(read_tar(tar))
    names = [name for row in kept for name in (f"{row['key']}.cls", f"{row['key']}.jpg", f"{row['key']}.json")]
    if [member.name for member in members] != names:
        yield f"{commit.tar.name} does not hold the kept pictures of its index, each once"
        return
    for row, label, picture in zip(kept, members[::3], members[1::3], strict=True):
        yield from _picture_faults(tar, row, label, picture, size_px)


def _picture_faults(tar: bytes, row: dict[str, object], label: Member, picture: Member, size_px: int) -> Iterator[str]:
    if label.data != str(row["identity"]).encode():
        yield f"{label.name} holds the label {label.data!r}, its index {row['identity']}"
    offset, size = row["offset"], row["size"]
    assert isinstance(offset, int)
    assert isinstance(size, int)
    if tar[offset : offset + size] != picture.data or sha256(picture.data) != row["sha256"]:
        yield f"{picture.name} is not where, or not what, its index says"
    height, width, _, _ = simplejpeg.decode_jpeg_header(picture.data)
    if (height, width) != (size_px, size_px):
        yield f"{picture.name} is {width} x {height} pixels, not {size_px} x {size_px}"
