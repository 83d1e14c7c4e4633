"""Chaos on one machine: workers, nodes and the driver are killed at random moments, over many builds.

A cluster of several nodes is simulated; everything that is killed dies by SIGKILL. What is killed, and when, is drawn
from a seed; what is just going on then is not. This module does not know how a build is judged (`bench.chaos.builds`).
"""

import os
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from bench.chaos.builds import Builder, Toll, build_words, disturbed, judge, undisturbed_bytes

NODES: Final = 3
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "token",
}
_STORE_BYTES: Final = 10**8  # of shared memory, for each node: nothing lies there


class Nodes:
    """A simulated cluster: a head without processors, and nodes that come and go."""

    def __init__(self, count: int) -> None:
        # Nodes and drivers are this process's children, and share its token.
        os.environ.update({**_ENVIRONMENT, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": _STORE_BYTES}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self._nodes = [self._add() for _ in range(count)]

    @property
    def address(self) -> str:
        """Where drivers reach it."""
        return str(self._cluster.address)

    def _add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES, wait=False)

    def kill_one(self, chance: random.Random) -> bool:
        """SIGKILL to a raylet; another node takes its place."""
        node = self._nodes.pop(chance.randrange(len(self._nodes)))
        self._cluster.remove_node(node, allow_graceful=False)
        self._nodes.append(self._add())
        return True

    def shut_down(self) -> None:
        """End it."""
        self._cluster.shutdown()


def shard_workers() -> list[psutil.Process]:
    """Every shard worker of the nodes, which are this process's children."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("ShardWorker" in word for word in process.cmdline()):
                found.append(process)
    return found


def kill_one_worker(chance: random.Random) -> bool:
    """SIGKILL to a shard worker; False where there is none."""
    workers = shard_workers()
    try:
        if workers:
            chance.choice(workers).kill()
    except psutil.NoSuchProcess:
        return False
    return bool(workers)


@contextmanager
def cluster(count: int = NODES) -> Iterator[Nodes]:
    """A simulated cluster that wants a token, for the time inside."""
    nodes = Nodes(count)
    try:
        yield nodes
    finally:
        nodes.shut_down()


def kill_about(place: Path, people: int, kills: int, seed: int, say: Callable[[str], None]) -> Toll:
    """Builds on a simulated cluster, one after the other, until so many times something was killed."""
    chance, toll, undisturbed = random.Random(seed), Toll(), undisturbed_bytes(people, place / "undisturbed")
    with cluster() as nodes:
        while toll.killed < kills:
            folder = place / f"build-{toll.builds:03d}"
            words = build_words(people, str(folder), "--workers", str(NODES), "--address", nodes.address)
            builder = Builder(words, place / "builds.log")
            ways = {
                "worker": lambda: kill_one_worker(chance),
                "node": lambda: nodes.kill_one(chance),
                "driver": builder.kill,
            }
            code = disturbed(builder, ways, chance, toll, most=kills - toll.killed)
            judge(str(folder), code, undisturbed, toll)
            say(f"{folder.name}: {toll.story}")
    return toll
