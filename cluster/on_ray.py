"""Shards on Ray: plain actor handles, waited for with a timeout, replaced when they die.

`ray.util.ActorPool` loses work when actors die, and restarted actors may wait for ever, so neither is used. Decisions
are those of `cluster.failures` and `cluster.roster`; only small reports travel, never pictures.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.failures import Backlog
from cluster.metrics import METRICS, Count, counts
from cluster.notice import Notice
from cluster.ray_cluster import LOST, Counter, Gauge, connected, ray  # first: it says in one line where Ray is missing
from cluster.roster import Roster
from cluster.run import Crew, Watch, Where, settle
from samplers.errors import BuildError
from synth.commit import Commit
from synth.workshop import Outcome, ShardFailure, Workshop, WorkshopSpec

_WAIT_S = 2.0  # how long to sleep at most between looks; Ctrl-C is answered within it
_LOOK_EVERY_S = 10.0  # at most, between two questions how far workers are
_PULSE = "pulse"
_SAY_EVERY_S = 60.0  # while no worker has a place
_FAILED_STARTS_PER_WORKER = 3  # one after the other


class AnyWorkshop(Protocol):
    """What a worker needs of a workshop (see `synth.workshop.Workshop`)."""

    def begin(self, shard: int) -> list[Outcome]:
        """Make one shard, and begin to store it."""
        ...

    def rest(self) -> list[Outcome]:
        """Wait until the last one is stored."""
        ...


OpenWorkshop = Callable[[WorkshopSpec, Callable[[], None]], AnyWorkshop]


class Meter:
    """Counts for Prometheus, as Ray exports it from every machine."""

    def __init__(self, plan_hash: str) -> None:
        self._plan = {"plan": plan_hash[:12]}
        self._opened: dict[str, Any] = {}

    def _metric(self, name: str) -> Any:
        if name not in self._opened:
            metric = METRICS[name]
            kind = Gauge if metric.gauge else Counter
            self._opened[name] = kind(name, metric.about, tag_keys=(*metric.labels, *self._plan))
        return self._opened[name]

    def count(self, count: Count) -> None:
        """Add to a counter."""
        if count.amount > 0:
            self._metric(count.name).inc(count.amount, {**self._plan, **count.labels})

    def set(self, name: str, value: float) -> None:
        """Move a gauge."""
        self._metric(name).set(value, self._plan)


class ShardWorker:
    """The actor: a workshop in a process of its own."""

    def __init__(self, spec: WorkshopSpec, opened: OpenWorkshop) -> None:
        self._beats = 0
        self._workshop = opened(spec, self._beat)
        self._meter = Meter(spec.shard.plan_hash)

    def _beat(self) -> None:
        self._beats += 1

    def ready(self) -> Where:
        """Answers once the process is up; only then is it given work."""
        return Where(ray.util.get_node_ip_address(), str(os.getpid()))

    def make(self, shard: int) -> list[Outcome]:
        """Make one shard, and begin to store it (see `Workshop.begin`)."""
        self._beat()
        return self._metered(self._workshop.begin(shard))

    def rest(self) -> list[Outcome]:
        """Wait until the last shard is stored (see `Workshop.rest`)."""
        return self._metered(self._workshop.rest())

    def _metered(self, outcomes: list[Outcome]) -> list[Outcome]:
        for outcome in outcomes:
            for count in counts(outcome):
                self._meter.count(count)
        return outcomes

    @ray.method(concurrency_group=_PULSE)  # type: ignore[untyped-decorator]
    def pulse(self) -> int:
        """How far it has come: another number than before, if it is not stuck. Answers while a shard is made."""
        return self._beats


def run_ray(
    spec: WorkshopSpec, shards: Sequence[int], crew: Crew, watch: Watch, opened: OpenWorkshop = Workshop
) -> Backlog:
    """Make the shards by at most `crew.workers` actors at a time, each in a workshop that `opened` opens.

    Raises BuildError where no cluster answers, or where actors die as soon as they start.
    """
    backlog = Backlog.of(shards)
    with connected(crew, spec.backend.threads), Notice(crew.grace_s) as notice:  # Ray hears SIGTERM, too: first
        team = _Team(spec, crew, opened, backlog, watch)
        while team.at_work() and not notice.over:
            backlog.told_to_end = notice.given
            team.hire()
            team.give_work()
            team.listen()
            team.look_after()
        backlog.told_to_end = notice.given
    return backlog


@dataclass(frozen=True)
class _Call:
    """What was asked of a worker."""

    number: int
    verb: str  # ready, make, rest or pulse


class _Team:
    """The actors of a run, and what they were asked. What to do is decided by roster and backlog."""

    def __init__(self, spec: WorkshopSpec, crew: Crew, opened: OpenWorkshop, backlog: Backlog, watch: Watch) -> None:
        self._spec, self._opened, self._backlog, self._watch = spec, opened, backlog, watch
        self._roster = Roster(crew.workers, crew.stuck_s)
        self._needs = _needs(spec, crew)
        self._hire = ray.remote(concurrency_groups={_PULSE: 1}, **self._needs)(ShardWorker).remote
        self._actors: dict[int, Any] = {}
        self._places: dict[int, Where] = {}
        self._calls: dict[Any, _Call] = {}
        self._meter = Meter(spec.shard.plan_hash)
        self._kept = 0  # pictures
        self._failed_starts, self._most_failed_starts = 0, _FAILED_STARTS_PER_WORKER * crew.workers
        self._staffed_s = time.monotonic()  # when a worker had a place, or it was said last that none has
        self._looked_s, self._look_every_s = time.monotonic(), min(_LOOK_EVERY_S, crew.stuck_s / 4)

    def at_work(self) -> bool:
        """Whether anything is left to do."""
        return self._backlog.stopped_by is None and (self._roster.busy or self._backlog.waiting > 0)

    def hire(self) -> None:
        """Fill the vacancies."""
        for _ in range(self._roster.vacancies(self._backlog.waiting)):
            number = self._roster.hire(time.monotonic())
            self._actors[number] = self._hire(self._spec, self._opened)
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
            self._places[call.number] = answer
            self._roster.placed(call.number)
            self._failed_starts = 0
            self._tell_staff()
        else:
            self._roster.answered(call.number, [outcome.shard for outcome in answer], time.monotonic())
            for outcome in answer:
                self._settle(outcome, self._places[call.number])

    def _part_from(self, call: _Call, kind: str, what: str) -> None:
        """A worker is gone: what it had in hand failed with it."""
        if not self._roster.posts[call.number].ready:
            self._failed_starts += 1
            if self._failed_starts > self._most_failed_starts:
                raise BuildError(f"workers die as soon as they start: the last one {what}")
        where = self._places.get(call.number, Where("?", "?"))
        for shard in self._dismiss(call.number):
            self._settle(ShardFailure(shard, kind, f"the worker on {where.node} {what}"), where)
        self._tell_staff()

    def _settle(self, outcome: Outcome, where: Where) -> None:
        decision = settle(self._backlog, outcome, self._watch, where)
        self._meter.set("hypersynth_shards_waiting", self._backlog.waiting)
        self._kept += outcome.kept if isinstance(outcome, Commit) else 0
        # Told by the driver, too: what workers count begins with their first shard, and a rate does not see that.
        self._meter.set("hypersynth_shards_done", self._backlog.done)
        self._meter.set("hypersynth_pictures_kept", self._kept)
        if isinstance(outcome, ShardFailure) and decision is not None:
            labels = {"kind": outcome.kind, "decision": decision.value}
            self._meter.count(Count("hypersynth_failures_total", 1, labels))

    def _tell_staff(self) -> None:
        placed = sum(post.ready for post in self._roster.posts.values())
        self._meter.set("hypersynth_workers", placed)
        self._watch.staffed(placed)

    def _dismiss(self, number: int) -> list[int]:
        """Forget a worker and what it was asked; returns what it had in hand."""
        self._calls = {reference: call for reference, call in self._calls.items() if call.number != number}
        del self._actors[number]
        return self._roster.dismiss(number)

    def look_after(self) -> None:
        """Now and then: ask the busy how far they are, and replace those that are stuck."""
        now_s = time.monotonic()
        self._say_who_waits(now_s)
        if now_s - self._looked_s < self._look_every_s:
            return
        self._looked_s = now_s
        for number in self._roster.stuck(now_s):
            ray.kill(self._actors[number])
            self._part_from(_Call(number, "pulse"), "stuck", "did not come further, and was replaced")
        asked = {call.number for call in self._calls.values() if call.verb == "pulse"}
        for number, post in self._roster.posts.items():
            if post.in_hand and number not in asked:
                self._ask(number, "pulse")

    def _say_who_waits(self, now_s: float) -> None:
        """Tell, now and then, that no worker has found a place: it may never find one."""
        if any(post.ready for post in self._roster.posts.values()):
            self._staffed_s = now_s
        elif now_s - self._staffed_s >= _SAY_EVERY_S:
            self._staffed_s = now_s
            self._watch.step(
                f"no worker has found a place yet: each asks for {_amounts(self._needs)}; "
                f"the cluster has {_amounts(ray.cluster_resources()) or 'no machine'}"
            )


_RESOURCES = {"num_cpus": "CPUs", "CPU": "CPUs", "num_gpus": "GPUs", "GPU": "GPUs", "memory": "GB of memory"}


def _amounts(resources: Mapping[str, Any]) -> str:
    """What is asked for, or there, in words."""
    counted = (
        f"{amount / 2**30 if name == 'memory' else amount:.3g} {_RESOURCES[name]}"
        for name, amount in resources.items()
        if name in _RESOURCES and amount
    )
    kinds = [str(resources["accelerator_type"])] if "accelerator_type" in resources else []
    kinds += [name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")]
    return ", ".join((*counted, *kinds))


def _first_line(end: Exception) -> str:
    return str(end).strip().partition("\n")[0]


def _needs(spec: WorkshopSpec, crew: Crew) -> dict[str, Any]:
    """What an actor asks of its node. On one machine only what is counted: the rest would keep workers waiting."""
    needs: dict[str, Any] = {"num_cpus": spec.backend.threads, "num_gpus": crew.gpus_per_worker}
    if crew.address is None:
        return needs
    kind = {} if crew.accelerator is None else {"accelerator_type": crew.accelerator}
    return {**needs, "memory": int(crew.memory_gb * 2**30), **kind}
