"""Running shards: one signature for one process and for many. `run_shards` chooses; nobody above needs to know which.

This module does not import Ray; `cluster.on_ray` is imported only when worker processes are wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.failures import Backlog, Decision
from synth.commit import Commit
from synth.workshop import ShardFailure, Workshop, WorkshopSpec


@dataclass(frozen=True)
class Crew:
    """Who does the work. Changes no byte of the result."""

    workers: int  # processes; 0: this process
    address: str | None = None  # of a Ray cluster; None: start one on this machine
    gpus_per_worker: float = 0.0
    memory_gb: float = 2.0


class Watch(Protocol):
    """Is told what happens while shards are made."""

    def finished(self, commit: Commit) -> None:
        """A shard is done."""
        ...

    def failed(self, failure: ShardFailure, decision: Decision) -> None:
        """A shard failed, and this was decided."""
        ...


def run_shards(spec: WorkshopSpec, shards: Sequence[int], crew: Crew, watch: Watch) -> Backlog:
    """Make these shards; returns the backlog: what was done, parked, or why the run stopped.

    Raises MissingPackageError where worker processes are wanted and Ray is not installed.
    """
    if not shards:
        return Backlog.of(())
    if crew.workers == 0:
        return run_local(spec, shards, crew, watch)
    from cluster.on_ray import run_ray

    return run_ray(spec, shards, crew, watch)


def run_local(spec: WorkshopSpec, shards: Sequence[int], crew: Crew, watch: Watch) -> Backlog:
    """Make the shards in this process, one after the other."""
    backlog = Backlog.of(shards)
    workshop = Workshop(spec)
    while (shard := backlog.take()) is not None:
        settle(backlog, workshop.make(shard), watch)
    return backlog


def settle(backlog: Backlog, result: Commit | ShardFailure, watch: Watch) -> None:
    """Note a shard's end and tell the watch."""
    if isinstance(result, Commit):
        backlog.succeed()
        watch.finished(result)
    else:
        watch.failed(result, backlog.fail(result))
