"""What several tests share: a small finished dataset, built through the public door, and servers to store in."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from rich.console import Console

from cluster.run import Crew
from jobs.build import build
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe
from tests import servers

SMALL = {
    "identities.count": 40,
    "variations.views": 6,
    "output.shard_size": 50,
    "output.embeddings": True,
    "renderer.size": 32,
}


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """240 barcodes in five shards, with checks."""
    return load_recipe("barcode", SMALL)


@pytest.fixture(scope="session")
def dataset_folder(small_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `small_recipe`, finished. Only for reading: copy it to damage it."""
    folder = tmp_path_factory.mktemp("dataset") / "small"
    build_here(small_recipe, folder)
    return folder


def build_here(recipe: Recipe, folder: Path) -> int:
    """Build in this process; returns the number of shards made."""
    return build_at(recipe, str(folder))


def build_at(recipe: Recipe, url: str) -> int:
    """Build in this process, wherever it goes; returns the number of shards made."""
    with ProgressWatch(Console(quiet=True)) as watch:
        return build(recipe, url, Crew(0), watch).made


@pytest.fixture(scope="session")
def moto() -> Iterator[servers.Server]:
    """A server that enforces conditions, in this process."""
    with servers.moto() as server:
        yield server


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """Another one that enforces them."""
    with servers.ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def s3rver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A server that ignores conditions."""
    with servers.s3rver(tmp_path_factory.mktemp("s3rver")) as server:
        yield server


SERVERS = ("moto", "ministack", "s3rver")


def talking_to(server: servers.Server, monkeypatch: pytest.MonkeyPatch, endpoint: str | None = None) -> str:
    """A new place in the server's bucket, which boto3 reaches from now on, by `endpoint` where that is given."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=servers.BUCKET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint or server.url)
    return f"s3://{servers.BUCKET}/{uuid4().hex}"


@pytest.fixture
def s3_url(moto: servers.Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new place in a bucket."""
    return talking_to(moto, monkeypatch)
