"""How the driver bears many shards and many workers, by workers that make nothing, or only wait.

What is measured is scheduling, commits and listing, not pictures; and what a killed worker costs. Sizes: `small` for a
look, `full` as promised: 15,000 shards, as 15 million pictures have, and 16 workers.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psutil

from bench.measure import Measurement
from cluster.failures import Decision
from cluster.run import Crew, Where
from jobs.plan import make_plan
from jobs.recipe import load_recipe, resolve_recipe
from synth.commit import Commit, commit_name, committed_shards, index_name, stored_file, tar_name
from synth.storage import json_bytes, open_storage
from synth.workshop import Outcome, ShardFailure, WorkshopSpec

_LOSING: Final = 10  # shards of the run in which a worker is lost
_BACKEND: Final = {"device": "none"}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    shards: int
    workers: int
    shards_a_worker: int


SIZES: Final = {
    "small": Size(1000, 4, 10),
    "full": Size(15_000, 16, 40),
    "large": Size(150_000, 64, 40),
}


class IdleWorkshop:
    """Makes nothing: its shards are committed, and hold no picture; each takes some seconds of waiting."""

    wait_s = 0.0

    def __init__(self, spec: WorkshopSpec, beat: Callable[[], None]) -> None:
        self._spec, self._beat = spec, beat
        self._storage = open_storage(spec.url)

    def begin(self, shard: int) -> list[Outcome]:
        """Wait, commit, and say so."""
        self._beat()
        time.sleep(self.wait_s)
        commit = Commit(
            shard=shard,
            plan_hash=self._spec.shard.plan_hash,
            tar=stored_file(tar_name(shard), b""),
            index=stored_file(index_name(shard), b""),
            planned=1000,
            kept=1000,
            rejected={},
            refusals={},
            rendered=1000,
            backend=_BACKEND,
            seconds={"total": self.wait_s},
        )
        self._storage.create(commit_name(shard), json_bytes(commit.model_dump()))
        return [commit]

    def rest(self) -> list[Outcome]:
        """Nothing is left."""
        return []


class WaitingWorkshop(IdleWorkshop):
    """Takes its time."""

    wait_s = 1.0


@dataclass
class Clock:
    """Notes when what happened; a `cluster.run.Watch`."""

    workers: int
    staffed_s: float = 0.0  # when all workers had a place
    ended_s: list[float] = field(default_factory=list)
    largest_bytes: int = 0  # of this process's memory
    kill_after: int | None = None  # a worker dies by SIGKILL after so many shards
    unstaffed_s: float = 0.0  # from when it was missed until another had its place
    _missed_at_s: float = 0.0

    def step(self, message: str) -> None:
        """Nothing to measure."""

    def staffed(self, workers: int) -> None:
        """So many have a place."""
        now_s = time.monotonic()
        if workers == self.workers and not self.staffed_s:
            self.staffed_s = now_s
        elif workers == self.workers:
            self.unstaffed_s = now_s - self._missed_at_s
        elif self.staffed_s:
            self._missed_at_s = now_s

    def finished(self, commit: Commit, where: Where) -> None:
        """A shard is done."""
        self.ended_s.append(time.monotonic())
        if len(self.ended_s) == self.kill_after:
            os.kill(int(where.worker), signal.SIGKILL)
        if len(self.ended_s) % 100 == 0:
            self.largest_bytes = max(self.largest_bytes, psutil.Process().memory_info().rss)

    def failed(self, failure: ShardFailure, decision: Decision, where: Where) -> None:
        """Nothing fails here, but for what is killed."""
        if self.kill_after is None:
            raise AssertionError(failure)

    def rate(self) -> float:
        """Shards a second while all workers had work: from when all had a place until nobody was left without."""
        steady = [each for each in self.ended_s if each >= self.staffed_s][: -self.workers or None]
        return (len(steady) - 1) / (steady[-1] - steady[0])


def drive(shards: int, workers: int, waiting: bool, kill_after: int | None = None) -> dict[str, float]:
    """One driver's run: shards a second, its memory above the start, and how long a second one takes to list them.

    And how long it took from when all workers had a place to the last shard, and how long a killed worker was missed.
    """
    from cluster.on_ray import run_ray

    people = shards * 10
    recipe = load_recipe("barcode", {"identities.count": people, "variations.views": 100, "output.shard_size": 1000})
    plan = make_plan(resolve_recipe(recipe))
    assert plan.shards == shards
    clock, before = Clock(workers, kill_after=kill_after), psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as folder:
        opened = WaitingWorkshop if waiting else IdleWorkshop
        run_ray(plan.workshop(folder), range(shards), Crew(workers), clock, opened)
        start = time.perf_counter()
        assert committed_shards(open_storage(folder)) == list(range(shards))
        listing = time.perf_counter() - start
    return {
        "rate": clock.rate(),
        "memory_bytes": clock.largest_bytes - before,
        "listing_s": listing,
        "took_s": clock.ended_s[-1] - clock.staffed_s,
        "unstaffed_s": clock.unstaffed_s,
    }


def _apart(shards: int, workers: int, waiting: bool, kill_after: int = 0) -> dict[str, float]:
    """The same in a process of its own, whose memory holds nothing else; 0: no worker is killed."""
    words = [sys.executable, "-m", "bench.scale", str(shards), str(workers), str(int(waiting)), str(kill_after)]
    ended = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])  # Ray may have spoken before
    return found


def measure(size: str | Size = "small") -> list[Measurement]:
    """The driver's figures, and the efficiency of many workers."""
    chosen = SIZES[size] if isinstance(size, str) else size
    counts = chosen.shards >= SIZES["full"].shards
    found = _apart(chosen.shards, chosen.workers, waiting=False)
    one, many = (_apart(chosen.shards_a_worker * n, n, waiting=True)["rate"] for n in (1, chosen.workers))
    lost = _lost()
    what = f"driver, {chosen.shards} shards that cost nothing"
    return [
        Measurement(f"{what}: shards/s", found["rate"], "shards/s", 200 if counts else None),
        Measurement(
            f"{what}: memory above its start", found["memory_bytes"] / 1e6, "MB", 500 if counts else None, True
        ),
        Measurement(f"{what}: listing them again", found["listing_s"], "s", 30 if counts else None, True),
        Measurement(
            f"weak scaling from 1 to {chosen.workers} workers that wait {WaitingWorkshop.wait_s:g} s a shard",
            many / (chosen.workers * one),
            "",
            0.95 if counts else None,
            note=f"{one:.3f} and {many:.2f} shards/s",
        ),
        lost,
    ]


def _lost() -> Measurement:
    """The time that a killed worker costs, over one shard's work and the start of another worker."""
    whole, killed = (_apart(_LOSING, 1, True, after) for after in (0, _LOSING // 2))
    lost_s, start_s = killed["took_s"] - whole["took_s"], killed["unstaffed_s"]
    note = (
        f"one worker, {_LOSING} shards of {WaitingWorkshop.wait_s:g} s: {lost_s:.2f} s lost, a start of {start_s:.2f} s"
    )
    return Measurement(
        "time lost to one killed worker, over one shard's work and a worker's start",
        lost_s / (WaitingWorkshop.wait_s + start_s),
        "x",
        1.0,
        True,
        note=note,
    )


if __name__ == "__main__":
    _shards, _workers, _waiting, _kill_after = map(int, sys.argv[1:])
    print(json.dumps(drive(_shards, _workers, bool(_waiting), _kill_after or None)))
