"""Files that people bring along, by path or URL: a folder's, an object store's (`s3://bucket/key`), a model hub's
(`hf://owner/repository/file`, `hf://owner/repository@revision/file`); and those that Hypersynth itself comes with
(`builtin://file`).

A file from elsewhere is fetched once per machine, into the hub's own cache or into Hypersynth's, and shared by all
processes. This module does not know what the files hold, nor what they should (`synth.section.InputFile` does).
"""

import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from filelock import FileLock

from samplers.errors import MissingPackageError, StorageError
from synth.bucket import bucket_and_key, explained, open_client, require_boto3

_CHUNK_BYTES = 1 << 22


def open_file(url: str) -> tuple[str, bytes]:
    """The name and the bytes of the file at a URL or path. Raises StorageError if it cannot be read."""
    path = local_copy(url)
    with _explained(url):
        return url.rpartition("/")[2], path.read_bytes()


def local_copy(url: str) -> Path:
    """The file at a URL or path, on this machine: fetched, if it lies elsewhere, unless that was done before.

    Raises StorageError where it cannot be had, MissingPackageError where the fetching package is not installed.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return _local_file(url)
    if scheme not in _FETCHERS:
        raise StorageError(f"{url}: files are read from paths, s3://, hf:// and builtin://, not from {scheme}://")
    if not rest or rest.endswith("/"):
        raise StorageError(f"{url!r} names a folder, not a file")
    return _FETCHERS[scheme](url, rest)


def at_hand(url: str) -> bool:
    """Whether a file can be read without fetching it: one of a folder that is there, or of the hub's cache.

    Of a bucket's file it is never known, as only the bucket knows its version.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return Path(url.removeprefix("file://")).is_file()
    if scheme == "builtin":
        return (_SHIPPED / rest).is_file()
    place = _place_on_hub(rest) if scheme == "hf" else None
    if place is None:
        return False
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return False
    try:
        return isinstance(try_to_load_from_cache(place[0], place[1], revision=place[2]), str)
    except HFValidationError:
        return False


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal, read piece by piece."""
    with _explained(str(path)), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where fetched files are kept: $HYPERSYNTH_CACHE, else hypersynth/ in the user's cache folder."""
    named = os.environ.get("HYPERSYNTH_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hypersynth"


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except OSError as refusal:
        raise StorageError(f"cannot read {url}: {refusal.strerror or refusal}") from refusal


def _local_file(url: str) -> Path:
    path = url.removeprefix("file://")
    if not path or path.endswith("/"):
        raise StorageError(f"{url!r} names a folder, not a file")
    with _explained(url):
        if Path(path).is_dir():
            raise StorageError(f"cannot read {url}: it is a folder")
        with Path(path).open("rb"):  # absent or forbidden: told now, not where it is used
            return Path(path)


def _place_on_hub(rest: str) -> tuple[str, str, str | None] | None:
    """Repository, file in it and revision, from what follows hf://; None where that names no file."""
    parts = rest.split("/")
    if len(parts) < 3 or not all(parts):
        return None
    repository, _, revision = parts[1].partition("@")
    return f"{parts[0]}/{repository}", "/".join(parts[2:]), revision or None


def _from_hub(url: str, rest: str) -> Path:
    """A file of a model hub's repository, through the hub's own library and cache."""
    place = _place_on_hub(rest)
    if place is None:
        raise StorageError(f"{url!r} is no file on the hub: write hf://owner/repository/file")
    try:
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as missing:
        raise MissingPackageError(f"{url}: hf:// needs huggingface_hub: pip install 'hypersynth[models]'") from missing
    host = urlsplit(constants.ENDPOINT).hostname or ""
    offline = not constants.HF_HUB_OFFLINE and _is_unknown(host)
    try:
        with _hub_saying_errors_alone():
            return Path(hf_hub_download(place[0], place[1], revision=place[2], local_files_only=offline))
    except LocalEntryNotFoundError as refusal:
        alone = f"{host} cannot be reached from here, and the hub's cache does not have this file"
        why = alone if offline else _first_line(refusal)
        raise StorageError(f"cannot fetch {url}: {why}") from refusal
    except (HfHubHTTPError, HFValidationError, OSError) as refusal:
        raise StorageError(f"cannot fetch {url}: {_first_line(refusal)}") from refusal


def _is_unknown(host: str) -> bool:
    """Whether a host has no address here, and no proxy could know one: this machine is offline.

    The hub's library would try for half a minute.
    """
    if getproxies():
        return False
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return True
    return False


@contextmanager
def _hub_saying_errors_alone() -> Iterator[None]:
    """What its library logs of every retry is left out: a mistake is one line."""
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    before = get_verbosity()
    set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        set_verbosity(before)


def _from_bucket(url: str, rest: str) -> Path:
    """An object of a bucket, into the cache, under a name made from its URL and its version there (the ETag)."""
    bucket, key = bucket_and_key(url)
    if not key:
        raise StorageError(f"{url!r} names a bucket, not a file")
    name = Path(key).name
    if not name or name == "..":
        raise StorageError(f"{url!r} names a folder, not a file")
    require_boto3(url)
    with explained(f"cannot fetch {url}"):
        client = open_client()
        tag = client.head_object(Bucket=bucket, Key=key)["ETag"]
        place = cache_folder() / hashlib.sha256(f"{url} {tag}".encode()).hexdigest()
        whole, partial = place / name, place.with_suffix(".partial")
        with _explained(f"the cache at {place.parent} for {url}"):
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place.with_suffix(".lock")):
                if not whole.exists():
                    client.download_file(bucket, key, str(partial))
                    partial.rename(whole)
    return whole


def _first_line(refusal: Exception) -> str:
    return str(refusal).strip().partition("\n")[0] or type(refusal).__name__


def _shipped(url: str, rest: str) -> Path:
    """A file in `synth/models/`."""
    path = _SHIPPED / rest
    if path.parent != _SHIPPED or not path.is_file():
        known = ", ".join(sorted(f"builtin://{each.name}" for each in _SHIPPED.glob("*.safetensors")))
        raise StorageError(f"{url} does not come with Hypersynth; there are: {known}")
    return path


_SHIPPED = Path(__file__).parent / "models"
_FETCHERS = {"builtin": _shipped, "hf": _from_hub, "s3": _from_bucket}
