"""Storage: the one door to folders and buckets. Nothing else in Hypersynth opens an output path.

Names are relative, with forward slashes. A written object is whole or absent, never half there. This module does not
know what the objects hold, nor which of them belong together: that is the commit's business (`synth.commit`).
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from samplers.errors import StorageError

#: A scheme with too few slashes, which would else name a folder.
_HALF_WRITTEN: Final = re.compile(r"(s3|gs|hf|https?|file):/?(?!/)", re.IGNORECASE)


@dataclass(frozen=True)
class Stored:
    """One stored object."""

    name: str
    size: int  # bytes


@dataclass(frozen=True)
class Digest:
    """What tells an object's bytes from all others."""

    size: int  # bytes
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """That of bytes."""
        return cls(len(data), sha256(data))


class Storage(Protocol):
    """A folder or bucket. Every method raises StorageError, in one line, when the outside world refuses."""

    url: str  # as the user wrote it, for messages
    location: str  # the same place, from anywhere: for workers elsewhere

    def read(self, name: str) -> bytes:
        """The whole object."""
        ...

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the object is there."""
        ...

    def digest(self, name: str) -> Digest | None:
        """Size and sha256 of the object, None where it is absent: read again, or as the store vouches for them."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Store durably, unless the name is taken: True if this call stored it or the same bytes lie there."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Store durably, whatever lies there."""
        ...

    def delete(self, name: str) -> None:
        """Remove the object; no error if it is absent."""
        ...

    def leftovers(self, folders: Sequence[str] = ("",)) -> list[Stored]:
        """What interrupted writes left behind: no objects, and in no list.

        Where it is known what was to be written, only that in these folders: others may write beside us.
        """
        ...

    def sweep(self, folders: Sequence[str] = ("",)) -> None:
        """Remove the leftovers. A write that goes on meanwhile may fail, and is then made again or told."""
        ...

    # Last, since below its name hides Python's own.
    def list(self, prefix: str) -> list[Stored]:
        """All objects whose names begin with `prefix` (a folder name with its slash), sorted by name."""
        ...


def sha256(data: bytes) -> str:
    """The sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def json_bytes(document: Any) -> bytes:
    """A document as it is stored: the same one always gives the same bytes."""
    return (json.dumps(document, sort_keys=True, indent=1) + "\n").encode()


def open_storage(url: str) -> Storage:
    """The storage behind a URL: a folder, or `s3://bucket/prefix`.

    Raises StorageError for another scheme, MissingPackageError where boto3 is needed and not installed.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower() if separator else ""
    if not (rest if separator else url):
        raise StorageError("an empty URL names no folder")
    if half := _HALF_WRITTEN.match(url):
        right = f"{half[1].lower()}://{'/' * (half[1].lower() == 'file')}{url[half.end() :].lstrip('/')}"
        raise StorageError(f"{url} is no URL: did you mean {right}?")
    if scheme == "s3":
        from synth.storages.s3 import S3Storage

        return S3Storage(f"s3://{rest}")
    if scheme not in ("file", ""):
        raise StorageError(f"{url}: datasets lie in folders or in s3://, not in {scheme}://")
    from synth.storages.local import LocalStorage

    if scheme and not rest.startswith("/"):
        raise StorageError(f"{url}: file:// is followed by a whole path, file:///path, and names no machine")
    return LocalStorage(rest if scheme else url)


def open_parent(url: str) -> tuple[Storage, str]:
    """The storage in which the object of a URL or path lies, and its name there. Raises as `open_storage`."""
    parent, _, name = url.rpartition("/")
    return open_storage(parent or ("/" if url.startswith("/") else ".")), name


def local_folder(url: str) -> Path:
    """The folder of a URL. Raises StorageError for a bucket's, where only a folder will do."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme != "file":
        raise StorageError(f"{url}: only a folder will do here, not {scheme}://")
    return Path(open_storage(url).location)
