"""What a bucket costs: a build into S3 over the same build into a folder, and how much of the sending is hidden.

The server is moto's, on this machine, in a process of its own: it takes part of the processors, as a real one would
not. So the same is measured once more with answers that come late, as from far away; waiting takes no processor.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from rich.console import Console

from bench.chaos.buckets import environment_of
from bench.chaos.proxy import DELAY_S, Fault, Trouble, troubled
from bench.measure import Measurement
from cluster.run import Crew, Where
from jobs.build import build
from jobs.plan import Plan
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe, resolve_recipe
from synth.commit import Commit, read_commits
from synth.storage import open_storage

_BUCKET: Final = "bucket"
_ROUNDS: Final = 3
_START_S: Final = 60.0  # that a server may take


@dataclass(frozen=True)
class _Took:
    """How long a build took, in seconds."""

    whole: float
    shards: float  # from the plan to the last shard's commit
    storing: float  # of that, what a second thread spent on storing shards


class _Clock(ProgressWatch):
    """Notes when the shards were begun and ended."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.began_s = self.ended_s = 0.0

    def planned(self, plan: Plan, missing: Sequence[int], shards: Sequence[int]) -> None:
        """The shards begin."""
        self.began_s = time.perf_counter()

    def finished(self, commit: Commit, where: Where) -> None:
        """A shard is done."""
        self.ended_s = time.perf_counter()


def _built(recipe: Recipe, url: str, shards: int) -> _Took:
    start, watch = time.perf_counter(), _Clock()
    build(recipe, url, Crew(0), watch)
    whole = time.perf_counter() - start
    commits = read_commits(open_storage(url), range(shards))
    storing = sum(commit.seconds["store"] for commit in commits if commit)
    return _Took(whole, watch.ended_s - watch.began_s, storing)


@contextmanager
def _server() -> Iterator[str]:
    """The URL of an S3 server with a bucket; this process's client finds it by the usual variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_answer(port)
        url = f"http://127.0.0.1:{port}"
        with _pointed_at(url):
            import boto3

            boto3.client("s3").create_bucket(Bucket=_BUCKET)
        yield url
    finally:
        process.terminate()
        process.wait()


def _await_answer(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def _pointed_at(endpoint: str) -> Iterator[None]:
    variables = environment_of(endpoint)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(people: int = 96, shard_size: int = 64, rounds: int = _ROUNDS) -> list[Measurement]:
    """The two ratios, and the share of storing that takes no time of the build's."""
    size = {"identities.count": people, "output.shard_size": shard_size}
    recipe = resolve_recipe(load_recipe("quickstart", size))
    pictures = people * recipe.variations.views
    shards = -(-pictures // shard_size)
    threads = torch.get_num_threads()
    took: dict[str, list[_Took]] = {"folder": [], "bucket": [], "late": []}
    with _server() as server, troubled(server, Trouble(1, 1.0, (Fault.DELAY,))) as late:
        for number in range(rounds):  # alternately, so that a busy machine slows all
            with tempfile.TemporaryDirectory() as folder:
                took["folder"].append(_built(recipe, folder, shards))
            for name, endpoint in (("bucket", server), ("late", late)):
                with _pointed_at(endpoint):
                    took[name].append(_built(recipe, f"s3://{_BUCKET}/{name}-{number}", shards))
    torch.set_num_threads(threads)
    best = {name: min(each, key=lambda one: one.whole) for name, each in took.items()}
    late_by = best["late"].shards - best["folder"].shards
    hidden = 1 - late_by / best["late"].storing
    note = f"{pictures} pictures of heads in {shards} shards, one process; best of {rounds}"
    return [
        Measurement("a build into a bucket over one into a folder, time", _over(best, "bucket"), "x", note=note),
        Measurement(f"the same, every answer {DELAY_S:g} s late", _over(best, "late"), "x"),
        Measurement(
            "of the time for storing there, hidden behind rendering",
            100 * hidden,
            "%",
            note=f"{best['late'].storing:.1f} s of storing; all shards took {late_by:.1f} s longer than in a folder",
        ),
    ]


def _over(best: dict[str, _Took], name: str) -> float:
    return best[name].whole / best["folder"].whole
