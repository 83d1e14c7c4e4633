"""Shards on Ray: plain actor handles, waited for with a timeout, replaced when they die.

`ray.util.ActorPool` loses work when actors die, and restarted actors may wait for ever, so neither is used. Decisions
are those of `cluster.failures` and `cluster.roster`; only small reports travel, never pictures.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cluster.failures import Backlog
from cluster.notice import Notice
from cluster.roster import Roster
from cluster.run import Crew, Watch, settle
from samplers.errors import BuildError, MissingPackageError
from synth.workshop import Outcome, ShardFailure, Workshop, WorkshopSpec

try:
    import ray
except ImportError as missing:
    raise MissingPackageError(
        "worker processes need Ray: pip install 'hypersynth[ray]', or build in this process with --workers 0"
    ) from missing

_WAIT_S = 2.0  # how long to sleep at most between looks; Ctrl-C is answered within it
_LOOK_EVERY_S = 10.0  # between two questions how far workers are
_PULSE = "pulse"
_FAILED_STARTS_PER_WORKER = 3
_RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A local Ray would else write a token into the home folder, which locks later clusters of the same user.
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
#: How Ray says that a worker, its node or its owner is gone.
LOST = (
    ray.exceptions.ActorDiedError,
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OwnerDiedError,
)


class ShardWorker:
    """The actor: a workshop in a process of its own."""

    def __init__(self, spec: WorkshopSpec) -> None:
        self._beats = 0
        self._workshop = Workshop(spec, self._beat)

    def _beat(self) -> None:
        self._beats += 1

    def ready(self) -> str:
        """Answers, with the address of its machine, once the process is up; only then is it given work."""
        address: str = ray.util.get_node_ip_address()
        return address

    def make(self, shard: int) -> list[Outcome]:
        """Make one shard, and begin to store it (see `Workshop.begin`)."""
        self._beat()
        return self._workshop.begin(shard)

    def rest(self) -> list[Outcome]:
        """Wait until the last shard is stored (see `Workshop.rest`)."""
        return self._workshop.rest()

    @ray.method(concurrency_group=_PULSE)  # type: ignore[untyped-decorator]
    def pulse(self) -> int:
        """How far it has come: another number than before, if it is not stuck. Answers while a shard is made."""
        return self._beats


@contextmanager
def connected(crew: Crew, threads: int) -> Iterator[None]:
    """A Ray cluster for the time inside: the one at `crew.address`, or one that only this machine can reach."""
    before = {name: os.environ.get(name) for name in _RAY_SETTINGS}
    if crew.address is None:
        os.environ.update({name: value for name, value in _RAY_SETTINGS.items() if name not in os.environ})
    try:
        _connect(crew, threads)
        yield
    finally:
        ray.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _connect(crew: Crew, threads: int) -> None:
    if crew.address is None:
        ray.init(
            address="local",
            num_cpus=crew.workers * threads,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
        )
        gpus = ray.cluster_resources().get("GPU", 0)
        if gpus < crew.gpus_per_worker:
            raise BuildError(f"each worker asks for {crew.gpus_per_worker:g} GPUs, but this machine shows {gpus:g}")
        if crew.accelerator and f"accelerator_type:{crew.accelerator}" not in ray.cluster_resources():
            raise BuildError(f"every worker must have a GPU of the kind {crew.accelerator}; this machine has none")
        return
    try:
        ray.init(address=crew.address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ray.exceptions.AuthenticationError) as refusal:
        raise BuildError(f"no Ray cluster answers at {crew.address}: {str(refusal).splitlines()[0]}") from refusal


def run_ray(spec: WorkshopSpec, shards: Sequence[int], crew: Crew, watch: Watch) -> Backlog:
    """Make the shards by at most `crew.workers` actors at a time.

    Raises BuildError where no cluster answers, or where actors die as soon as they start.
    """
    backlog = Backlog.of(shards)
    with Notice(crew.grace_s) as notice, connected(crew, spec.backend.threads):
        team = _Team(spec, crew, backlog, watch)
        while team.at_work() and not notice.over:
            backlog.told_to_end = notice.given
            team.hire()
            team.give_work()
            team.listen()
            team.look_after()
    return backlog


@dataclass(frozen=True)
class _Call:
    """What was asked of a worker."""

    number: int
    verb: str  # ready, make, rest or pulse


class _Team:
    """The actors of a run, and what they were asked. What to do is decided by roster and backlog."""

    def __init__(self, spec: WorkshopSpec, crew: Crew, backlog: Backlog, watch: Watch) -> None:
        self._spec, self._backlog, self._watch = spec, backlog, watch
        self._roster = Roster(crew.workers, crew.stuck_s)
        self._hire = ray.remote(concurrency_groups={_PULSE: 1}, **_needs(spec, crew))(ShardWorker).remote
        self._actors: dict[int, Any] = {}
        self._machines: dict[int, str] = {}
        self._calls: dict[Any, _Call] = {}
        self._failed_starts, self._most_failed_starts = 0, _FAILED_STARTS_PER_WORKER * crew.workers
        self._looked_s = time.monotonic()

    def at_work(self) -> bool:
        """Whether anything is left to do."""
        return self._backlog.stopped_by is None and (self._roster.busy or self._backlog.waiting > 0)

    def hire(self) -> None:
        """Fill the vacancies."""
        for _ in range(self._roster.vacancies(self._backlog.waiting)):
            number = self._roster.hire(time.monotonic())
            self._actors[number] = self._hire(self._spec)
            self._ask(number, "ready")

    def _ask(self, number: int, verb: str, *words: int) -> None:
        self._calls[getattr(self._actors[number], verb).remote(*words)] = _Call(number, verb)

    def give_work(self) -> None:
        """Shards to those that wait for some; where none is left, they store what they have."""
        for number, post in self._roster.posts.items():
            if not (post.ready and post.idle):
                continue
            now_s = time.monotonic()
            if (shard := self._backlog.take()) is not None:
                self._roster.give(number, shard, now_s)
                self._ask(number, "make", shard)
            elif post.in_hand:
                self._roster.told_to_rest(number, now_s)
                self._ask(number, "rest")

    def listen(self) -> None:
        """Take in an answer, or none within a while."""
        arrived, _ = ray.wait(list(self._calls), num_returns=1, timeout=_WAIT_S)
        for reference in arrived:
            call = self._calls.pop(reference)
            try:
                self._take_in(call, ray.get(reference))
            except ray.exceptions.OutOfMemoryError as end:
                self._part_from(call, "memory", f"ran out of memory: {_first_line(end)}")
            except LOST as end:
                self._part_from(call, "lost", f"died: {_first_line(end)}")

    def _take_in(self, call: _Call, answer: Any) -> None:
        if call.verb == "pulse":
            self._roster.heard(call.number, answer, time.monotonic())
        elif call.verb == "ready":
            self._machines[call.number] = answer
            self._roster.placed(call.number)
        else:
            self._roster.answered(call.number, [outcome.shard for outcome in answer], time.monotonic())
            for outcome in answer:
                settle(self._backlog, outcome, self._watch)

    def _part_from(self, call: _Call, kind: str, what: str) -> None:
        """A worker is gone: what it had in hand failed with it."""
        if not self._roster.posts[call.number].ready:
            self._failed_starts += 1
            if self._failed_starts > self._most_failed_starts:
                raise BuildError("worker processes die as soon as they start; try --workers 0 to see why")
        message = f"the worker on {self._machines.get(call.number, 'a machine')} {what}"
        for shard in self._dismiss(call.number):
            settle(self._backlog, ShardFailure(shard, kind, message), self._watch)

    def _dismiss(self, number: int) -> list[int]:
        """Forget a worker and what it was asked; returns what it had in hand."""
        self._calls = {reference: call for reference, call in self._calls.items() if call.number != number}
        del self._actors[number]
        return self._roster.dismiss(number)

    def look_after(self) -> None:
        """Now and then: ask the busy how far they are, and replace those that are stuck."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        for number in self._roster.stuck(now_s):
            ray.kill(self._actors[number])
            self._part_from(_Call(number, "pulse"), "stuck", "did not come further, and was replaced")
        asked = {call.number for call in self._calls.values() if call.verb == "pulse"}
        for number, post in self._roster.posts.items():
            if post.in_hand and number not in asked:
                self._ask(number, "pulse")


def _first_line(end: Exception) -> str:
    return str(end).strip().partition("\n")[0]


def _needs(spec: WorkshopSpec, crew: Crew) -> dict[str, Any]:
    """What an actor asks of its node. On one machine memory is not asked for: it would only keep workers waiting."""
    needs: dict[str, Any] = {"num_cpus": spec.backend.threads, "num_gpus": crew.gpus_per_worker}
    if crew.accelerator is not None:
        needs["accelerator_type"] = crew.accelerator
    return needs if crew.address is None else {**needs, "memory": int(crew.memory_gb * 2**30)}
