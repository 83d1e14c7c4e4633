"""The commit of a shard: one small JSON, written last, that names the tar and the index with size and sha256.

A shard is done if and only if its commit exists. A tar or index without a commit binds nobody and is replaced. This
module does not know how a shard is made.
"""

from pydantic import BaseModel, ConfigDict, ValidationError

from samplers.errors import DatasetError, StorageError
from synth.storage import Digest, Storage, json_bytes, sha256

FOLDER = "shards/"


def tar_name(shard: int) -> str:
    """Where a shard's pictures lie."""
    return f"{FOLDER}{shard:06d}.tar"


def index_name(shard: int) -> str:
    """Where a shard's index lies."""
    return f"index/{shard:06d}.parquet"


def commit_name(shard: int) -> str:
    """Where a shard's commit lies."""
    return f"{FOLDER}{shard:06d}.json"


class StoredFile(BaseModel):
    """A stored object as a commit promises it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    bytes: int
    sha256: str

    def holds_in(self, storage: Storage) -> bool:
        """Whether the stored object is there with these very bytes, as the storage says."""
        return storage.digest(self.name) == Digest(self.bytes, self.sha256)


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


def commit_shard(storage: Storage, commit: Commit, tar: bytes, index: bytes) -> Commit:
    """Store a shard: tar, index, and last its commit; returns the commit that stands.

    Where another worker has committed the shard meanwhile, its commit stands if it promises the same bytes; else raises
    StorageError, since two backends are at work on one dataset.
    """
    standing = read_commit(storage, commit.shard)
    if standing is None:
        for file, data in ((commit.tar, tar), (commit.index, index)):
            if not storage.create(file.name, data):
                storage.replace(file.name, data)
        data = json_bytes(commit.model_dump())
        if storage.create(commit_name(commit.shard), data):
            return commit
        standing = read_commit(storage, commit.shard)
    if standing is None or (standing.tar, standing.index) != (commit.tar, commit.index):
        raise StorageError(f"shard {commit.shard} of {storage.url} was committed by another build with other bytes")
    return standing


def read_commit(storage: Storage, shard: int) -> Commit | None:
    """The commit of a shard, None where there is none. Raises DatasetError where it cannot be understood."""
    name = commit_name(shard)
    if not storage.exists(name):
        return None
    try:
        return Commit.model_validate_json(storage.read(name))
    except ValidationError as damage:
        raise DatasetError(f"{storage.url}/{name} is damaged ({damage.error_count()} fields)") from damage


def committed_shards(storage: Storage) -> list[int]:
    """The numbers of all shards that have a commit, in order; files that are not ours are passed over."""
    names = {stored.name for stored in storage.list(FOLDER)}
    numbers = (name.removeprefix(FOLDER).removesuffix(".json") for name in names)
    return sorted(int(n) for n in numbers if n.isdecimal() and commit_name(int(n)) in names)
