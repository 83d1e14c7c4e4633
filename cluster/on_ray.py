"""Shards on Ray: plain actor handles, waited for with a timeout, replaced when they die.

`ray.util.ActorPool` loses work when actors die, and restarted actors may wait for ever, so neither is used. The
decisions are `cluster.failures`'; only small reports travel, never pictures. Besides this module, only
`cluster.hands_on_ray` imports Ray.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cluster.failures import Backlog
from cluster.run import Crew, Watch, settle
from samplers.errors import BuildError, MissingPackageError
from synth.commit import Commit
from synth.workshop import ShardFailure, Workshop, WorkshopSpec

try:
    import ray
except ImportError as missing:
    raise MissingPackageError(
        "worker processes need Ray: pip install 'hypersynth[ray]', or build in this process with --workers 0"
    ) from missing

_WAIT_S = 2.0  # how long to sleep at most between looks; Ctrl-C is answered within it
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
        self._workshop = Workshop(spec)

    def ready(self) -> None:
        """Answers once the process is up; only then is it given work."""

    def make(self, shard: int) -> Commit | ShardFailure:
        """Make one shard (see `Workshop.make`)."""
        return self._workshop.make(shard)


@dataclass(frozen=True)
class Errand:
    """What a reference stands for: a worker, and the shard it makes (None: it is starting)."""

    worker: Any
    shard: int | None


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
        return
    try:
        ray.init(address=crew.address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ray.exceptions.AuthenticationError) as refusal:
        raise BuildError(f"no Ray cluster answers at {crew.address}: {str(refusal).splitlines()[0]}") from refusal


def run_ray(spec: WorkshopSpec, shards: Sequence[int], crew: Crew, watch: Watch) -> Backlog:
    """Make the shards by `crew.workers` actors."""
    backlog = Backlog.of(shards)
    with connected(crew, spec.backend.threads):
        hire = ray.remote(**_needs(spec, crew))(ShardWorker).remote
        failed_starts = 0
        errands: dict[Any, Errand] = {}
        for _ in range(min(crew.workers, len(shards))):
            _start(hire, spec, errands)
        while any(errand.shard is not None for errand in errands.values()) or backlog.queue:
            if backlog.stopped_by is not None:
                break
            arrived, _ = ray.wait(list(errands), num_returns=1, timeout=_WAIT_S)
            for reference in arrived:
                errand = errands.pop(reference)
                worker = _receive(reference, errand, backlog, watch)
                if worker is None and backlog.queue:
                    failed_starts += errand.shard is None
                    if failed_starts > _FAILED_STARTS_PER_WORKER * crew.workers:
                        raise BuildError("worker processes die as soon as they start; try --workers 0 to see why")
                    _start(hire, spec, errands)
                elif worker is not None and (shard := backlog.take()) is not None:
                    errands[worker.make.remote(shard)] = Errand(worker, shard)
    return backlog


def _needs(spec: WorkshopSpec, crew: Crew) -> dict[str, float]:
    """What an actor asks of its node. On one machine memory is not asked for: it would only keep workers waiting."""
    needs: dict[str, float] = {"num_cpus": spec.backend.threads, "num_gpus": crew.gpus_per_worker}
    return needs if crew.address is None else {**needs, "memory": int(crew.memory_gb * 2**30)}


def _start(hire: Any, spec: WorkshopSpec, errands: dict[Any, Errand]) -> None:
    worker = hire(spec)
    errands[worker.ready.remote()] = Errand(worker, None)


def _receive(reference: Any, errand: Errand, backlog: Backlog, watch: Watch) -> Any | None:
    """Take in what a worker sent; returns the worker if it is still there to work."""
    try:
        result = ray.get(reference)
    except ray.exceptions.OutOfMemoryError as end:
        kind, message = "memory", f"the worker ran out of memory: {str(end).splitlines()[0]}"
    except LOST as end:
        kind, message = "lost", f"the worker died: {str(end).splitlines()[0]}"
    else:
        if errand.shard is not None:
            settle(backlog, result, watch)
        return errand.worker
    if errand.shard is not None:
        settle(backlog, ShardFailure(errand.shard, kind, message), watch)
    return None
