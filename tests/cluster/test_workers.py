"""Real worker processes: the same bytes for any number of them, alive or killed."""

import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from jobs.orphans import remove_orphans
from synth.storage import open_storage
from tests.cluster.making import command, run
from tests.files import commits, digests
from tests.processes import started, until

KILLS = 3


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
                with suppress(psutil.NoSuchProcess):  # it may have ended by itself
                    chance.choice(workers).send_signal(signal.SIGKILL)
                    killed += 1
        _, errors = build.communicate()
    assert build.returncode == 0, errors
    assert killed == KILLS
    remove_orphans(open_storage(str(tmp_path)))  # what the dead had begun to write, which `gc` takes away
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
