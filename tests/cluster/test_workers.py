"""Real worker processes: the same bytes for any number of them, alive or killed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from tests.files import commits, digests
from tests.processes import LIMIT_S, started, until

#: Enough work that workers are killed in the middle of it, in shards small enough to be lost several times.
RECIPE = ("barcode", "--set", "identities.count=150", "--set", "output.shard_size=40", "--set", "renderer.size=112")
SHARDS = 38
KILLS = 3


def command(folder: Path, workers: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "jobs", "build", *RECIPE, "--out", str(folder), "--workers", str(workers), *more]


def run(words: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, text=True, env=variables, check=False, timeout=LIMIT_S)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of a build in one process, without Ray."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ended = run(command(folder, 0))
    assert ended.returncode == 0, ended.stderr
    assert len(commits(folder)) == SHARDS
    return digests(folder)


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_bytes(workers: int, undisturbed: dict[str, str], tmp_path: Path) -> None:
    ended = run(command(tmp_path, workers))
    assert ended.returncode == 0, ended.stderr
    assert digests(tmp_path) == undisturbed
    assert "dataset.json" in undisturbed


def shard_workers(build: psutil.Process) -> list[psutil.Process]:
    """The Ray actors of a build that are at work now."""
    found = []
    for process in build.children(recursive=True):
        try:
            if "ShardWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_killed_workers_change_no_byte(undisturbed: dict[str, str], tmp_path: Path) -> None:
    """A worker dies by SIGKILL after every few commits, chosen by a seeded generator; the build ends whole."""
    chance, killed, seen = random.Random(5), 0, 0
    with started(command(tmp_path, 2)) as build:
        watched = psutil.Process(build.pid)
        while build.poll() is None and killed < KILLS:
            until(lambda: len(commits(tmp_path)) > seen, build)  # noqa: B023 - called before seen changes
            if workers := shard_workers(watched):
                seen = len(commits(tmp_path)) + chance.randrange(4)
                chance.choice(workers).send_signal(signal.SIGKILL)
                killed += 1
        _, errors = build.communicate()
    assert build.returncode == 0, errors
    assert killed == KILLS
    assert digests(tmp_path) == undisturbed


def test_without_workers_ray_is_never_imported(tmp_path: Path) -> None:
    """Even where it is not installed: an empty module of that name, first on the path, would be found out."""
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "ray.py").write_text("raise ImportError('there is no ray')")
    path = os.pathsep.join([str(decoy), *sys.path])
    assert run(command(tmp_path / "out", 0), PYTHONPATH=path).returncode == 0
    refused = run(command(tmp_path / "out2", 1), PYTHONPATH=path)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "--workers 0" in refused.stderr
