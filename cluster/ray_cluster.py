"""The door to Ray: a cluster of somebody's, or one on this machine that nobody else can reach.

A cluster that is started here listens on loopback alone, and asks for a token that is made for it and kept in this
process and its children. This module does not know what runs there.
"""

import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cluster.run import Crew
from samplers.errors import BuildError, MissingPackageError

try:
    import ray as ray  # for the modules of this room
    from ray.util.metrics import Counter as Counter
    from ray.util.metrics import Gauge as Gauge
except ImportError as missing:
    raise MissingPackageError(
        "worker processes need Ray: pip install 'hypersynth[ray]', or build in this process with --workers 0"
    ) from missing

_HOST_AND_PORT = re.compile(r"(?:ray://)?(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})")
_ANSWER_S = 20.0  # that a head may take to take a call

#: How Ray says that a worker, its node or its owner is gone.
LOST = (
    ray.exceptions.ActorDiedError,
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OwnerDiedError,
)


@contextmanager
def connected(crew: Crew, threads: int) -> Iterator[None]:
    """A Ray cluster for the time inside: the one at `crew.address`, or one that only this process can reach.

    Raises BuildError where no cluster answers, where it wants a token that this process does not have, and where this
    machine lacks the GPUs that each worker asks for.
    """
    with _environment(_for_itself() if crew.address is None else {}):
        try:
            if crew.address is None:
                _start(crew, threads)
            else:
                _join(crew.address)
            yield
        finally:
            ray.shutdown()


def _for_itself() -> dict[str, str]:
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # A token of its own: Ray would else write one into the home folder, which locks later clusters of this user.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    _forget_token()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _forget_token()


def _forget_token() -> None:
    """Let Ray read anew whether a token is wanted, and which: it keeps what it read when it was imported."""
    with suppress(ImportError):  # Ray before 2.59, which knew no tokens
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


def _start(crew: Crew, threads: int) -> None:
    with _loopback_alone():
        ray.init(
            address="local",
            num_cpus=crew.workers * threads,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    gpus = ray.cluster_resources().get("GPU", 0)
    if gpus < crew.gpus_per_worker:
        raise BuildError(f"each worker asks for {crew.gpus_per_worker:g} GPUs, but this machine shows {gpus:g}")
    if crew.accelerator and f"accelerator_type:{crew.accelerator}" not in ray.cluster_resources():
        raise BuildError(f"every worker must have a GPU of the kind {crew.accelerator}; this machine has none")


@contextmanager
def _loopback_alone() -> Iterator[None]:
    """Let a cluster that starts inside listen on loopback alone.

    Ray replaces 127.0.0.1 by an address that others can reach, wherever it is given, unless it believes that this
    system cannot have clusters.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _refuse_unanswered(address: str) -> None:
    """Ask whether anybody listens at HOST:PORT: Ray would ask for minutes. Other addresses (auto) are Ray's to find."""
    place = _HOST_AND_PORT.fullmatch(address)
    if address.startswith(("http://", "https://")):
        raise BuildError(
            f"{address} is a dashboard's address: --address takes HEAD:6379; to hand the build over, submit --to ray"
        )
    if place is None:
        return
    try:
        socket.create_connection((place["host"].strip("[]"), int(place["port"])), _ANSWER_S).close()
    except (OSError, OverflowError) as refusal:
        why = getattr(refusal, "strerror", None) or refusal
        raise BuildError(f"no Ray cluster answers at {address}: {why}") from refusal


def _join(address: str) -> None:
    _refuse_unanswered(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ray.exceptions.AuthenticationError as refusal:
        raise BuildError(
            f"the Ray cluster at {address} wants its token: put it into RAY_AUTH_TOKEN, or the path of its file into "
            "RAY_AUTH_TOKEN_PATH, and set RAY_AUTH_MODE=token"
        ) from refusal
    except ConnectionError as refusal:
        first = str(refusal).splitlines()[0]
        raise BuildError(
            f"no Ray cluster answers at {address}, or it wants another RAY_AUTH_TOKEN: {first}"
        ) from refusal
    except (RuntimeError, ValueError) as refusal:  # another version of Ray or Python there; no address at all
        told = " ".join(line.strip() for line in str(refusal).splitlines() if line.strip())
        raise BuildError(f"cannot join the Ray cluster at {address}: {told}") from refusal
