"""The commit of a shard: one small JSON, written last, that names the tar and the index with size and sha256.

A shard is done if and only if its commit exists. A tar or index without a commit binds nobody and is replaced. This
module does not know how a shard is made.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from samplers.errors import DatasetError, StorageError
from synth.storage import Digest, Storage, json_bytes, sha256

FOLDER = "shards/"
SIDE_BY_SIDE: Final = 16  # objects asked for at once: buckets answer each one late, and many as fast as one


def tar_name(shard: int) -> str:
    """Where a shard's pictures lie."""
    return f"{FOLDER}{shard:06d}.tar"


def index_name(shard: int) -> str:
    """Where a shard's index lies."""
    return f"index/{shard:06d}.parquet"


def commit_name(shard: int) -> str:
    """Where a shard's commit lies."""
    return f"{FOLDER}{shard:06d}.json"


def shard_of(name: str) -> int | None:
    """The shard whose tar or index has this name; None where it is no such name."""
    number = name.rpartition("/")[2].partition(".")[0]
    return int(number) if number.isdecimal() and name in (tar_name(int(number)), index_name(int(number))) else None


class StoredFile(BaseModel):
    """A stored object as a commit promises it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    bytes: int
    sha256: str

    def holds_in(self, storage: Storage) -> bool:
        """Whether the stored object is there with these very bytes, as the storage says."""
        return storage.digest(self.name) == Digest(self.bytes, self.sha256)


def contradiction(commit: "Commit", shard: int) -> str | None:
    """What the commit of a shard says that cannot be, in words; None: nothing."""
    if commit.shard != shard or (commit.tar.name, commit.index.name) != (tar_name(shard), index_name(shard)):
        return f"{commit_name(shard)} is the commit of another shard, {commit.shard:06d}"
    if commit.kept + sum(commit.rejected.values()) != commit.planned:
        return f"{commit_name(shard)} counts {commit.planned} pictures, of which {commit.kept} were kept"
    return None


def stored_file(name: str, data: bytes) -> StoredFile:
    """The promise for an object with this data."""
    return StoredFile(name=name, bytes=len(data), sha256=sha256(data))


class Commit(BaseModel):
    """What a finished shard holds. `seconds` stands nowhere else: all other files are the same from run to run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard: int
    plan_hash: str
    tar: StoredFile
    index: StoredFile
    planned: int
    kept: int
    rejected: dict[str, int]  # by reason, of the last attempt
    refusals: dict[str, dict[str, int]]  # by attempt, then reason: redraws included
    rendered: int  # pictures, redraws included
    backend: dict[str, str]
    seconds: dict[str, float]  # by stage


@dataclass(frozen=True)
class MadeShard:
    """A shard that is made, and not stored yet."""

    commit: Commit  # as it will be
    tar: bytes
    index: bytes


def commit_shard(storage: Storage, made: MadeShard, beat: Callable[[], None] = lambda: None) -> Commit:
    """Store a shard: tar, index, and last its commit; returns the commit that stands. `beat` is called in between.

    Where another worker has committed the shard meanwhile, its commit stands if it promises the same bytes; else raises
    StorageError, since two backends are at work on one dataset.
    """
    commit, start = made.commit, time.perf_counter()
    standing = read_commit(storage, commit.shard)
    standing = standing or _store(storage, made, beat)
    if standing is None:
        stored = round(time.perf_counter() - start, 3)
        commit = commit.model_copy(update={"seconds": {**commit.seconds, "store": stored}})
        if storage.create(commit_name(commit.shard), json_bytes(commit.model_dump())):
            _refuse_gone(storage, commit)
            return commit
        standing = read_commit(storage, commit.shard)
    if standing is None or (standing.tar, standing.index) != (commit.tar, commit.index):
        raise StorageError(f"shard {commit.shard} of {storage.url} was committed by another build with other bytes")
    return standing


def _store(storage: Storage, made: MadeShard, beat: Callable[[], None]) -> Commit | None:
    """Store a shard's tar and index, unless the shard is found committed meanwhile: then nothing is touched."""
    commit = made.commit
    for file, data in ((commit.tar, made.tar), (commit.index, made.index)):
        if not storage.create(file.name, data):
            # Other bytes lie there. They bind nobody, unless whoever stored them has committed them just now.
            if (standing := read_commit(storage, commit.shard)) is not None:
                return standing
            storage.replace(file.name, data)
        beat()
    return None


def _refuse_gone(storage: Storage, commit: Commit) -> None:
    """Take a commit back whose files somebody has removed as orphans, just before it was there to name them."""
    if all(storage.exists(file.name) for file in (commit.tar, commit.index)):
        return
    storage.delete(commit_name(commit.shard))
    raise StorageError(f"shard {commit.shard} of {storage.url} was removed while it was stored; is gc at work?")


def read_commit(storage: Storage, shard: int) -> Commit | None:
    """The commit of a shard, None where there is none. Raises DatasetError where it cannot be understood."""
    name = commit_name(shard)
    if not storage.exists(name):
        return None
    try:
        return Commit.model_validate_json(storage.read(name))
    except ValidationError as damage:
        raise DatasetError(f"{storage.url}/{name} is damaged ({damage.error_count()} fields)") from damage


def read_commits(storage: Storage, shards: Iterable[int]) -> Iterator[Commit | None]:
    """Those of many shards, in order, read side by side. Raises as `read_commit`."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as reading:
        yield from reading.map(partial(read_commit, storage), shards)


def committed_shards(storage: Storage) -> list[int]:
    """The numbers of all shards that have a commit, in order; files that are not ours are passed over."""
    names = {stored.name for stored in storage.list(FOLDER)}
    numbers = (name.removeprefix(FOLDER).removesuffix(".json") for name in names)
    return sorted(int(n) for n in numbers if n.isdecimal() and commit_name(int(n)) in names)
