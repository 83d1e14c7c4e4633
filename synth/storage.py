"""Storage: the one door to folders and buckets. Nothing else in Hypersynth opens an output path.

Names are relative, with forward slashes. A written object is whole or absent, never half there. This module does not
know what the objects hold, nor which of them belong together: that is the commit's business (`synth.commit`).
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from samplers.errors import StorageError


@dataclass(frozen=True)
class Stored:
    """One stored object."""

    name: str
    size: int  # bytes


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

    def create(self, name: str, data: bytes) -> bool:
        """Store durably, unless the name is taken: True if this call stored it or the same bytes lie there."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Store durably, whatever lies there."""
        ...

    def list(self, prefix: str) -> list[Stored]:
        """All objects whose names begin with `prefix` (a folder name with its slash), sorted by name."""
        ...

    def delete(self, name: str) -> None:
        """Remove the object; no error if it is absent."""
        ...

    def sweep(self) -> None:
        """Remove what interrupted writes left behind. Only safe when nobody writes."""
        ...


def sha256(data: bytes) -> str:
    """The sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def json_bytes(document: Any) -> bytes:
    """A document as it is stored: the same one always gives the same bytes."""
    return (json.dumps(document, sort_keys=True, indent=1) + "\n").encode()


_UNFINISHED = ".unfinished"


class LocalStorage:
    """A folder. Data goes to an unfinished file first, is flushed to the disk, then appears under its name at once."""

    def __init__(self, folder: str | Path) -> None:
        self._root = Path(folder).absolute()
        self.url = str(folder)
        self.location = str(self._root)

    def _path(self, name: str) -> Path:
        path = self._root / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise StorageError(f"{name!r} is not a name inside {self.url}")
        return path

    def read(self, name: str) -> bytes:
        """The whole object."""
        with _explained(self.url, name, "read"):
            return self._path(name).read_bytes()

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`."""
        with _explained(self.url, name, "read"), self._path(name).open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise StorageError(f"{self.url}/{name} ends before byte {offset + size}")
        return data

    def exists(self, name: str) -> bool:
        """Whether the object is there."""
        with _explained(self.url, name, "read"):
            try:
                return stat.S_ISREG(self._path(name).stat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def create(self, name: str, data: bytes) -> bool:
        """Store durably, unless the name is taken: True if this call stored it or the same bytes lie there."""
        with self._unfinished(name, data) as (unfinished, path):
            try:
                path.hardlink_to(unfinished)
            except FileExistsError:
                return path.read_bytes() == data
            _flush_folder(path.parent)
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Store durably, whatever lies there."""
        with self._unfinished(name, data) as (unfinished, path):
            if path.exists() and not path.is_file():
                raise StorageError(f"cannot write {self.url}/{name}: it is there, and not a file")
            unfinished.replace(path)
            _flush_folder(path.parent)

    @contextmanager
    def _unfinished(self, name: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """A flushed file with the data beside the others, and the path that it is meant for."""
        path = self._path(name)
        with _explained(self.url, name, "write"):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, unfinished = self._open_unfinished()
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.chmod(0o644)
                yield unfinished, path
            finally:
                unfinished.unlink(missing_ok=True)
                with suppress(OSError):  # others still write there
                    unfinished.parent.rmdir()

    def _open_unfinished(self) -> tuple[int, Path]:
        folder = self._root / _UNFINISHED
        while True:
            folder.mkdir(exist_ok=True)
            try:
                descriptor, name = tempfile.mkstemp(dir=folder)
            except FileNotFoundError:  # another writer has just tidied up
                continue
            return descriptor, Path(name)

    def list(self, prefix: str) -> list[Stored]:
        """All objects whose names begin with `prefix` (a folder name with its slash), sorted by name."""
        with _explained(self.url, prefix, "list"):
            if self._root.exists() and not self._root.is_dir():
                raise StorageError(f"{self.url} is not a folder")
            folder = self._path(prefix)
            files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
            names = ((path, path.relative_to(self._root)) for path in files)
            return [
                Stored(name.as_posix(), path.stat().st_size) for path, name in names if name.parts[0] != _UNFINISHED
            ]

    def delete(self, name: str) -> None:
        """Remove the object; no error if it is absent."""
        with _explained(self.url, name, "delete"):
            self._path(name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what interrupted writes left behind. Only safe when nobody writes."""
        with _explained(self.url, _UNFINISHED, "delete"):
            if (self._root / _UNFINISHED).is_dir():
                shutil.rmtree(self._root / _UNFINISHED)


@contextmanager
def _explained(url: str, name: str, verb: str) -> Iterator[None]:
    """Turn an operating system's refusal into one line that says where and why."""
    try:
        yield
    except OSError as refusal:
        raise StorageError(f"cannot {verb} {url}/{name}: {refusal.strerror or refusal}") from refusal


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_storage(url: str) -> Storage:
    """The storage behind a URL: a folder. Raises StorageError for a scheme that this version does not serve."""
    if not url.removeprefix("file://"):
        raise StorageError("an empty URL names no folder")
    scheme, separator, _ = url.partition("://")
    if separator and scheme != "file":
        raise StorageError(f"{url}: this version stores in folders only, not in {scheme}://")
    return LocalStorage(url.removeprefix("file://"))
