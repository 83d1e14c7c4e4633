"""boto3's client for S3 and servers like it, where its buckets lie, and its refusals in one line.

Endpoint, region and credentials come by boto3's usual ways (environment, profile, instance) and no other. This module
does not know what is stored (`synth.storages.s3`, `synth.files`).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from samplers.errors import MissingPackageError, StorageError

#: How often botocore asks again, in all, with growing pauses up to 20 s; $AWS_MAX_ATTEMPTS replaces it.
ATTEMPTS: Final = 8
_CONNECT_S, _READ_S = 10, 60
_CONNECTIONS: Final = 32  # of one client, side by side
_HINTS: Final = {
    "NoCredentialsError": "no credentials were found: set them as for boto3 (environment, ~/.aws, instance profile)",
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "access denied: these credentials may not do that",
    "403": "access denied: these credentials may not do that",
    "404": "it is not there",
    "NoSuchKey": "it is not there",
}


def bucket_and_key(url: str) -> tuple[str, str]:
    """The bucket and the key, which may be empty, of an `s3://` URL. Raises StorageError for one with more in it.

    A URL with credentials is not repeated in the message.
    """
    parts = urlsplit(url, allow_fragments=False)
    if "@" in parts.netloc:
        raise StorageError("an s3:// URL holds no credentials: give them as for boto3 (environment, ~/.aws, instance)")
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(f"{url!r} names no bucket: write s3://bucket/prefix")
    return bucket, key


def require_boto3(url: str) -> None:
    """Raises MissingPackageError where boto3 is not installed."""
    if find_spec("boto3") is None:
        raise MissingPackageError(f"{url}: s3:// needs boto3: pip install 'hypersynth[s3]'")


def open_client() -> Any:
    """A client for S3; nothing is asked of a server yet. Raises what `explained` explains, and StorageError."""
    import boto3
    from botocore.config import Config

    attempts = os.environ.get("AWS_MAX_ATTEMPTS", str(ATTEMPTS))
    if not (attempts.isdecimal() and int(attempts)):
        raise StorageError(f"AWS_MAX_ATTEMPTS is {attempts}: how often is a whole number from 1 on")
    config = Config(
        retries={"mode": os.environ.get("AWS_RETRY_MODE", "standard"), "total_max_attempts": int(attempts)},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=_CONNECTIONS,
    )
    return boto3.session.Session().client("s3", config=config)  # the shared session is not safe in threads


@contextmanager
def explained(failed: str) -> Iterator[None]:
    """Turn a refusal of boto3, its server or the network into a StorageError: what failed, and why."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error, ValueError) as refusal:  # ValueError: an endpoint that is no URL
        raise StorageError(f"{failed}: {why(refusal)}") from refusal


def why(refusal: Exception) -> str:
    """Why something was refused, in words, without credentials."""
    hint = _HINTS.get(code_of(refusal)) or _HINTS.get(type(refusal).__name__)
    text = str(refusal).strip().partition("\n")[0] or type(refusal).__name__
    return hint or re.sub(r"//[^/@\s]+@", "//", text)


def code_of(refusal: Exception) -> str:
    """The server's code for a refusal, such as NoSuchKey or 404; empty where no server answered."""
    response = getattr(refusal, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def status_of(refusal: Exception) -> int:
    """The HTTP status of a refusal; 0 where no server answered."""
    response = getattr(refusal, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
