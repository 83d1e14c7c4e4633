"""Storage in a folder: data goes to an unfinished file, is flushed to the disk, then appears under its name at once."""

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from samplers.errors import StorageError
from synth.storage import Digest, Stored

_UNFINISHED = ".unfinished"


class LocalStorage:
    """A folder."""

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

    def digest(self, name: str) -> Digest | None:
        """Size and sha256 of the object, read again; None where it is absent."""
        return Digest.of(self.read(name)) if self.exists(name) else None

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
            try:
                folder.mkdir(exist_ok=True)
                descriptor, name = tempfile.mkstemp(dir=folder)
            except (FileNotFoundError, FileExistsError):  # another writer has just tidied up, or does so in between
                if folder.exists() and not folder.is_dir():
                    raise
                continue
            return descriptor, Path(name)

    def delete(self, name: str) -> None:
        """Remove the object; no error if it is absent."""
        with _explained(self.url, name, "delete"):
            self._path(name).unlink(missing_ok=True)

    def leftovers(self, folders: Sequence[str] = ("",)) -> list[Stored]:
        """Unfinished files: of writes that were interrupted, and of those that go on."""
        folder, found = self._root / _UNFINISHED, []
        with _explained(self.url, _UNFINISHED, "list"):
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                with suppress(FileNotFoundError):  # finished meanwhile
                    found.append(Stored(f"{_UNFINISHED}/{path.name}", path.stat().st_size))
        return found

    def sweep(self, folders: Sequence[str] = ("",)) -> None:
        """Remove the unfinished files."""
        for stored in self.leftovers(folders):
            self.delete(stored.name)
        with suppress(OSError):  # others write there
            (self._root / _UNFINISHED).rmdir()

    def list(self, prefix: str) -> list[Stored]:
        """All objects whose names begin with `prefix` (a folder name with its slash), sorted by name."""
        with _explained(self.url, prefix, "list"):
            if self._root.exists() and not self._root.is_dir():
                raise StorageError(f"{self.url} is not a folder")
            found = [
                Stored(path.relative_to(self._root).as_posix(), size) for path, size in self._files(self._path(prefix))
            ]
        return sorted(found, key=lambda stored: Path(stored.name))

    def _files(self, folder: Path) -> Iterator[tuple[Path, int]]:
        """All finished files in a folder, with their sizes in bytes; what vanishes meanwhile is passed over."""
        for place, folders, names in os.walk(folder, onerror=_raise_but_for_gone):
            if Path(place) == self._root and _UNFINISHED in folders:
                folders.remove(_UNFINISHED)
            for path in (Path(place) / name for name in names):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    if stat.S_ISREG(status.st_mode):
                        yield path, status.st_size


def _raise_but_for_gone(refusal: OSError) -> None:
    if not isinstance(refusal, FileNotFoundError | NotADirectoryError):
        raise refusal


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
