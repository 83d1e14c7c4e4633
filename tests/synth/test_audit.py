"""Audits of shards whose commits promise the very bytes that lie there, bytes that contradict each other."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.anchors import parquet_bytes
from synth.audit import audit_shard
from synth.commit import StoredFile, stored_file
from synth.shard import encode_jpeg
from synth.storage import sha256
from synth.storages.local import LocalStorage
from synth.tar import Member, read_tar, write_tar
from tests.synth.making import PEOPLE, VIEWS, Bench, spec


class Forger:
    """A shard whose members and rows are changed and stored again, with a commit to match."""

    def __init__(self, bench: Bench) -> None:
        self.storage = bench.storage
        self.commit = bench.make(spec())
        self.members = list(read_tar(self.storage.read(self.commit.tar.name)))
        self.table = pq.read_table(pa.BufferReader(self.storage.read(self.commit.index.name)))
        self.rows: list[dict[str, Any]] = self.table.to_pylist()
        self.kept = [row for row in self.rows if row["outcome"] == "kept"]

    def put(self, kind: str, data: bytes) -> None:
        """Give the first kept picture another member; the index follows."""
        name = f"{self.kept[0]['key']}.{kind}"
        self.members = [Member(name, data) if member.name == name else member for member in self.members]
        offsets = write_tar(self.members)[1]
        pictures = [(offset, m.data) for offset, m in zip(offsets, self.members, strict=True) if m.name.endswith("jpg")]
        for row, (offset, jpeg) in zip(self.kept, pictures, strict=True):
            row |= {"offset": offset, "size": len(jpeg), "sha256": sha256(jpeg)}

    def store(self, **changes: Any) -> None:
        """Store members and rows as they are now, and change the commit further."""
        index = parquet_bytes(pa.Table.from_pylist(self.rows, schema=self.table.schema))
        tar = self.put_file(self.commit.tar.name, write_tar(self.members)[0])
        files = {"tar": tar, "index": self.put_file(self.commit.index.name, index)}
        self.commit = self.commit.model_copy(update={**files, **changes})

    def put_file(self, name: str, data: bytes) -> StoredFile:
        self.storage.replace(name, data)
        return stored_file(name, data)

    def faults(self) -> list[str]:
        return audit_shard(self.storage, self.commit, spec().pictures.at(0, PEOPLE * VIEWS), 32)


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    return Forger(Bench(LocalStorage(tmp_path)))


def black_jpeg(side: int) -> bytes:
    return encode_jpeg(np.zeros((side, side, 3), np.uint8), 95)


def test_a_shard_stored_again_as_it_was_made_is_sound(forger: Forger) -> None:
    assert forger.faults() == []
    forger.put("jpg", black_jpeg(32))
    forger.store()
    assert forger.faults() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda f: f.rows.reverse(), "does not list the planned pictures, each once"),
        (lambda f: f.rows.pop(), "does not list the planned pictures, each once"),
        (lambda f: f.kept[0].update(outcome="rejected"), r"counts \d+ kept of 120, rejected .*; its commit \d+ kept"),
        (lambda f: f.members.reverse(), "does not hold the kept pictures of its index, each once"),
        (lambda f: f.members.pop(), "does not hold the kept pictures of its index, each once"),
        (lambda f: f.put("cls", b"12345"), r"^\d{8}-\d{4}\.cls holds the label b'12345', its index \d+$"),
        (lambda f: f.kept[0].update(offset=0), r"\.jpg is not where, or not what, its index says"),
        (lambda f: f.kept[0].update(size=3), r"\.jpg is not where, or not what, its index says"),
        (lambda f: f.kept[0].update(sha256="0"), r"\.jpg is not where, or not what, its index says"),
        (lambda f: f.put("jpg", black_jpeg(48)), r"\.jpg is 48 x 48 pixels, not 32 x 32"),
        (lambda f: f.put("jpg", b"no picture"), "^shard 000000 cannot be read: "),
    ],
)
def test_a_contradiction_inside_a_shard_is_named(forger: Forger, change: Callable[[Forger], None], fault: str) -> None:
    change(forger)
    forger.store()
    assert re.search(fault, forger.faults()[0])


def test_counts_that_its_commit_got_wrong_are_named(forger: Forger) -> None:
    right = forger.commit.model_dump(include={"kept", "planned", "rejected"})
    for changes in ({"kept": 1}, {"planned": 121}, {"rejected": {**right["rejected"], "whim": 1}}, {"rejected": {}}):
        forger.store(**{**right, **changes})
        (fault,) = forger.faults()
        assert "; its commit" in fault


@pytest.mark.parametrize("file", ["tar", "index"])
def test_files_that_cannot_be_read_are_named(forger: Forger, file: str) -> None:
    rubbish = forger.put_file(getattr(forger.commit, file).name, b"rubbish" * 1000)
    forger.commit = forger.commit.model_copy(update={file: rubbish})
    (fault,) = forger.faults()
    assert fault.startswith("shard 000000 cannot be read: ")


@pytest.mark.parametrize("file", ["tar", "index"])
def test_files_that_are_missing_or_changed_are_named(forger: Forger, file: str) -> None:
    name = getattr(forger.commit, file).name
    forger.storage.replace(name, forger.storage.read(name) + b"\0")
    assert forger.faults() == [f"{name} does not have the size and sha256 that its commit names"]
    forger.storage.delete(name)
    assert forger.faults() == [f"{name} is missing"]
