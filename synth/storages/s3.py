"""Storage in a bucket of S3, or of a server that speaks its language.

An object appears whole or not at all, as S3 has it; `create` asks the server to refuse a name that is taken. Servers
differ in that: some enforce it, some reject the question, some ignore it, so each process asks once, with an object of
its own. Where it is not enforced, names are looked up before they are written, and of two that write one name at once
the last wins: the same bytes, for every object that a commit names. Every write carries its sha256, which the server
checks, and keeps beside the object, so that `digest` need not read it again.

This module does not know what the objects hold.
"""

import base64
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from typing import Any, Final, TypeVar
from uuid import uuid4

from samplers.errors import StorageError
from synth import bucket
from synth.storage import Digest, Stored, sha256

Answer = TypeVar("Answer")

_PROBE: Final = ".probe-"  # objects by which a server is asked whether it enforces conditions
_SHA256: Final = "sha256"  # the name under which it is kept beside an object
_CONFLICTS: Final = 6  # times that a write is tried while others write the same name
_LONGEST_PAUSE_S: Final = 5.0


class Conditions(Enum):
    """What a server does with a write that must not replace anything."""

    ENFORCED = "enforced"
    REJECTED = "rejected"  # it says that it cannot do that
    IGNORED = "ignored"


class S3Storage:
    """A prefix in a bucket."""

    def __init__(self, url: str, part_bytes: int = 64 << 20) -> None:
        """Objects larger than `part_bytes` (S3 wants at least 5 MiB) are sent in parts, which is undone where it fails.

        Nothing is asked of the server yet. Raises StorageError for a URL that names no place in a bucket,
        MissingPackageError where boto3 is not installed.
        """
        bucket.require_boto3(url)
        self._bucket, key = bucket.bucket_and_key(url)
        _refuse_escape(key, url)
        self._prefix = f"{key.strip('/')}/" if key.strip("/") else ""
        self.url = self.location = url.rstrip("/")
        self._part_bytes = part_bytes
        self._conditions: Conditions | None = None
        self._opened: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy for another process, which opens a client of its own."""
        return {**self.__dict__, "_opened": None}

    @property
    def _client(self) -> Any:
        """This process's client: connections do not survive a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            with self._explained("reach", ""):
                self._opened = (os.getpid(), bucket.open_client())
        return self._opened[1]

    def _key(self, name: str) -> str:
        _refuse_escape(name, self.url)
        return f"{self._prefix}{name}"

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._key(name)}

    def _explained(self, verb: str, name: str) -> Any:
        return bucket.explained(f"cannot {verb} {self.url}{'/' if name else ''}{name}")

    def read(self, name: str) -> bytes:
        """The whole object."""
        at, client = self._at(name), self._client
        with self._explained("read", name):
            data: bytes = _to_the_end(lambda: client.get_object(**at, ChecksumMode="ENABLED")["Body"].read())
        return data

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`."""
        at, client = self._at(name), self._client
        if size == 0:
            return b""
        wanted = f"bytes={offset}-{offset + size - 1}"
        with self._explained("read", name):
            try:
                data: bytes = _to_the_end(lambda: client.get_object(**at, Range=wanted)["Body"].read())
            except client.exceptions.ClientError as refusal:
                if bucket.status_of(refusal) != 416:
                    raise
                data = b""
        if len(data) != size:
            raise StorageError(f"{self.url}/{name} ends before byte {offset + size}")
        return data

    def exists(self, name: str) -> bool:
        """Whether the object is there."""
        return self._head(name) is not None

    def _head(self, name: str) -> dict[str, Any] | None:
        at, client = self._at(name), self._client
        with self._explained("read", name):
            try:
                found: dict[str, Any] = client.head_object(**at)
            except client.exceptions.ClientError as refusal:
                if bucket.status_of(refusal) != 404:
                    raise
                return None
        return found

    def digest(self, name: str) -> Digest | None:
        """Size and sha256 of the object, None where it is absent.

        The server held the bytes against it when the object was written, and keeps it beside them for as long as nobody
        writes others there. An object that came otherwise has none, and is read.
        """
        if (head := self._head(name)) is None:
            return None
        known = head.get("Metadata", {}).get(_SHA256)
        return Digest(head["ContentLength"], known) if known else Digest.of(self.read(name))

    def create(self, name: str, data: bytes) -> bool:
        """Store durably, unless the name is taken: True if this call stored it or the same bytes lie there."""
        self._key(name)
        for turn in range(_CONFLICTS):
            if self.conditions() is Conditions.ENFORCED:
                if self._put(name, data, only_new=True):
                    return True
                held = self.digest(name)
            elif (held := self.digest(name)) is None:
                self._put(name, data)
                held = self.digest(name)  # of two that write at once, the last has it
            # A refused write may be this one's own, whose answer was lost on the way: then the same bytes lie there.
            if held is not None:
                return held == Digest.of(data)
            _pause(turn)  # it was there, and is not any more
        raise StorageError(f"cannot write {self.url}/{name}: others write and remove it, again and again")

    def replace(self, name: str, data: bytes) -> None:
        """Store durably, whatever lies there."""
        self._put(name, data)

    def _put(self, name: str, data: bytes, only_new: bool = False) -> bool:
        """Write an object; False where it must be new and the name is taken."""
        condition = {"IfNoneMatch": "*"} if only_new else {}
        write = self._put_in_parts if len(data) > self._part_bytes else self._put_at_once
        for turn in range(_CONFLICTS):
            client = self._client
            with self._explained("write", name):
                try:
                    write(self._at(name), data, condition)
                except client.exceptions.ClientError as refusal:
                    status = bucket.status_of(refusal)
                    if status == 412 and only_new:
                        return False
                    if status == 501 and condition:  # some servers know the question, but not for parts
                        if self.digest(name) is not None:
                            return False
                        condition = {}
                        continue
                    # Another writes the name right now, or somebody swept the parts away: begin again.
                    if status != 409 and bucket.code_of(refusal) != "NoSuchUpload":
                        raise
                    _pause(turn)
                else:
                    return True
        raise StorageError(f"cannot write {self.url}/{name}: the server says again and again that others write it")

    def _put_at_once(self, at: dict[str, str], data: bytes, condition: dict[str, str]) -> None:
        self._client.put_object(
            **at, **condition, Body=data, ChecksumSHA256=_base64_sha256(data), Metadata={_SHA256: sha256(data)}
        )

    def _put_in_parts(self, at: dict[str, str], data: bytes, condition: dict[str, str]) -> None:
        client = self._client
        begun = client.create_multipart_upload(**at, ChecksumAlgorithm="SHA256", Metadata={_SHA256: sha256(data)})
        upload = {**at, "UploadId": begun["UploadId"]}
        with ExitStack() as undo:  # Ctrl-C too: unfinished parts cost money, and nobody sees them
            undo.callback(self._try, client.abort_multipart_upload, upload)
            parts = []
            for number, first in enumerate(range(0, len(data), self._part_bytes), start=1):
                part = data[first : first + self._part_bytes]
                named = {"PartNumber": number, "ChecksumSHA256": _base64_sha256(part)}
                sent = client.upload_part(**upload, **named, Body=part)
                parts.append({**named, "ETag": sent["ETag"]})
            client.complete_multipart_upload(**upload, **condition, MultipartUpload={"Parts": parts})
            undo.pop_all()

    def _try(self, tidy: Callable[..., Any], what: dict[str, str]) -> None:
        """Tidy up, if that can be done: what is left behind is found by `leftovers`."""
        with suppress(StorageError), self._explained("delete", what["Key"]):
            tidy(**what)

    def conditions(self) -> Conditions:
        """What this server does with conditions, asked once in a process."""
        if self._conditions is None:
            self._conditions = self._probe()
        return self._conditions

    def _probe(self) -> Conditions:
        name, client = f"{_PROBE}{uuid4().hex}", self._client
        with self._explained("write", name):
            try:
                client.put_object(**self._at(name), Body=b"first")
                client.put_object(**self._at(name), Body=b"second", IfNoneMatch="*")
                return Conditions.IGNORED
            except client.exceptions.ClientError as refusal:
                known = {412: Conditions.ENFORCED, 409: Conditions.ENFORCED, 501: Conditions.REJECTED}
                if (status := bucket.status_of(refusal)) not in known:
                    raise
                return known[status]
            finally:
                self._try(client.delete_object, self._at(name))

    def _listed(self, prefix: str) -> list[Stored]:
        key, client, found = self._key(prefix), self._client, []
        with self._explained("list", prefix):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=key):
                for each in page.get("Contents", ()):
                    found.append(Stored(each["Key"].removeprefix(self._prefix), each["Size"]))
        # A folder's own object, as consoles make them, is no object of ours; nor has it a name.
        return sorted((each for each in found if not each.name.endswith("/") and each.name), key=lambda each: each.name)

    def delete(self, name: str) -> None:
        """Remove the object; no error if it is absent."""
        at, client = self._at(name), self._client
        with self._explained("delete", name):
            client.delete_object(**at)

    def leftovers(self, folders: Sequence[str] = ("",)) -> list[Stored]:
        """Uploads in parts that were not finished, and probes: of processes that died, and of those that go on."""
        uploads = [Stored(f"{name} (unfinished upload {upload})", 0) for name, upload in self._uploads(folders)]
        return [*self._listed(_PROBE), *uploads]

    def _uploads(self, folders: Sequence[str]) -> list[tuple[str, str]]:
        """Name and number of every unfinished upload below these folders of the prefix."""
        client = self._client
        with self._explained("list", ""):
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=self._prefix)
            try:
                uploads = [each for page in pages for each in page.get("Uploads", ())]
            except client.exceptions.ClientError as refusal:
                if bucket.status_of(refusal) != 501:  # some small servers cannot say
                    raise
                uploads = []
        below = tuple(f"{self._prefix}{folder}" for folder in folders)
        ours = (each for each in uploads if each["Key"].startswith(below))
        return [(each["Key"].removeprefix(self._prefix), each["UploadId"]) for each in ours]

    def sweep(self, folders: Sequence[str] = ("",)) -> None:
        """Remove probes, and what unfinished uploads have sent."""
        for stored in self._listed(_PROBE):
            self.delete(stored.name)
        client = self._client
        for name, upload in self._uploads(folders):
            with self._explained("delete", name), _but_for_gone(client):
                client.abort_multipart_upload(**self._at(name), UploadId=upload)

    def list(self, prefix: str) -> list[Stored]:
        """All objects whose names begin with `prefix` (a folder name with its slash), sorted by name."""
        return [found for found in self._listed(prefix) if not found.name.startswith(_PROBE)]


def _refuse_escape(name: str, url: str) -> None:
    """S3 would take such names as they are, but no folder could hold a copy of them."""
    if name.startswith("/") or ".." in name.split("/"):
        raise StorageError(f"{name!r} is not a name inside {url}")


def _to_the_end(read: Callable[[], Answer]) -> Answer:
    """What `read` gives, asked for again where the connection breaks in the middle: botocore asks only beforehand."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    for turn in range(_CONFLICTS - 1):
        try:
            return read()
        except (HTTPClientError, IncompleteReadError):
            _pause(turn)
    return read()


def _pause(turn: int) -> None:
    """Wait a while, longer every turn, and never as long as others do."""
    time.sleep(random.uniform(0.3, 1.0) * min(0.1 * 2**turn, _LONGEST_PAUSE_S))


@contextmanager
def _but_for_gone(client: Any) -> Iterator[None]:
    """What is gone already need not be removed."""
    try:
        yield
    except client.exceptions.ClientError as refusal:
        if bucket.status_of(refusal) != 404:
            raise


def _base64_sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
