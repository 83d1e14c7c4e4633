"""Running shards: one signature for one process and for many. `run_shards` chooses; nobody above needs to know which.

This module does not import Ray; `cluster.on_ray` is imported only when worker processes are wanted.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.failures import Backlog, Decision
from cluster.notice import Notice
from samplers.errors import StoppedError
from synth.commit import Commit
from synth.workshop import Outcome, ShardFailure, Workshop, WorkshopSpec


@dataclass(frozen=True)
class Crew:
    """Who does the work. Changes no byte of the result."""

    workers: int  # processes; 0: this process
    address: str | None = None  # of a Ray cluster; None: start one on this machine
    gpus_per_worker: float = 0.0
    memory_gb: float = 2.0
    accelerator: str | None = None  # every worker must have a GPU of this kind, as Ray names it
    grace_s: float = 20.0  # between SIGTERM and the end: what is in hand may be finished, else it is dropped
    stuck_s: float = 900.0  # a worker that does not come further for so long is replaced


@dataclass(frozen=True)
class Where:
    """Who made a shard."""

    node: str  # the machine's address or name
    worker: str  # the number of the process there

    @classmethod
    def here(cls) -> "Where":
        """This process."""
        return cls(socket.gethostname(), str(os.getpid()))


class Watch(Protocol):
    """Is told what happens while shards are made."""

    def finished(self, commit: Commit, where: Where) -> None:
        """A shard is done."""
        ...

    def failed(self, failure: ShardFailure, decision: Decision, where: Where) -> None:
        """A shard failed, and this was decided."""
        ...

    def staffed(self, workers: int) -> None:
        """So many workers have a place now."""
        ...

    def step(self, message: str) -> None:
        """Something is to be said that is about no shard."""
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
    """Make the shards in this process, one after the other; each is stored while the next is made."""
    backlog = Backlog.of(shards)
    with Notice(crew.grace_s) as notice:

        def beat() -> None:
            if notice.over:
                raise StoppedError("told to end")

        workshop, here = Workshop(spec, beat), Where.here()
        while True:
            shard = backlog.take()
            outcomes = workshop.rest() if shard is None else workshop.begin(shard)
            if shard is None and not outcomes:
                return backlog
            for outcome in outcomes:
                settle(backlog, outcome, watch, here)
            backlog.told_to_end = notice.given


def settle(backlog: Backlog, outcome: Outcome, watch: Watch, where: Where) -> Decision | None:
    """Note a shard's end and tell the watch; returns what was decided, if the shard failed."""
    if isinstance(outcome, Commit):
        backlog.succeed()
        watch.finished(outcome, where)
        return None
    if outcome.kind == "dropped":
        backlog.drop(outcome.shard)
        return Decision.RETRY
    decision = backlog.fail(outcome)
    watch.failed(outcome, decision, where)
    return decision
