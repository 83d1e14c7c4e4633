"""The Ray Jobs API: a build is started as a job of a cluster, or found there, its log followed, its exit code returned.

The one module that talks to that API, over HTTP, with the token that Ray itself reads (RAY_AUTH_MODE, RAY_AUTH_TOKEN,
RAY_AUTH_TOKEN_PATH). A job outlives whoever follows it. This module does not know what is built, nor which job is to be
followed or started: that is `cluster.submission`'s decision.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.submission import next_attempt
from samplers.errors import BuildError, MissingPackageError

try:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    if find_spec("aiohttp") is None:  # Ray's client is there, but does not work
        raise ImportError("aiohttp")
except ImportError as missing:
    raise MissingPackageError("submitting to Ray needs its Jobs API: pip install 'hypersynth[cluster]'") from missing

_LOOK_S = 1.0  # between two looks at the log, which is short: a line a minute
_PATIENCE_S = 120.0  # so long a cluster that was there may not answer
_LOGGERS = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
#: Where these are set, Ray's client goes there and not to the address that it was given.
_OVERRIDING = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
#: What Ray's client raises where the other side does not answer, or answers with an error.
_TROUBLE = (OSError, RuntimeError, ValueError, KeyError)


@dataclass(frozen=True)
class Job:
    """What a cluster is to run."""

    submission_id: str  # jobs of this id, or of this and a number, do the same
    entrypoint: str  # a shell command
    folder: Path  # goes to the cluster and is where the command runs
    metadata: dict[str, str]


def run_job(job: Job, address: str, say: Callable[[str], None], echo: Callable[[str], None]) -> int:
    """Start the job at an address, or follow it where it already runs, until it ends; returns its exit code.

    `say` is told what happens, `echo` gets the log as it is. Raises BuildError where the cluster does not answer, does
    not take the token or does not take the job.
    """
    with _quiet():
        client = _connect(address)
        with _explained(address, "does not take the job"):
            job_id = _started(client, job, say)
            return _followed(client, job_id, address, say, echo)


def _connect(address: str) -> Any:
    before = {name: os.environ.pop(name) for name in _OVERRIDING if name in os.environ}
    try:
        with _explained(address, "does not answer"):
            return JobSubmissionClient(address)
    finally:
        os.environ.update(before)


def _started(client: Any, job: Job, say: Callable[[str], None]) -> str:
    """The id of the job that is to be followed, which runs already or was started now."""
    attempt = next_attempt(job.submission_id, _jobs(client))
    if not attempt.runs:
        try:
            client.submit_job(
                entrypoint=job.entrypoint,
                submission_id=attempt.id,
                runtime_env={"working_dir": str(job.folder)},
                metadata=job.metadata,
            )
        except RuntimeError:
            attempt = next_attempt(job.submission_id, _jobs(client))
            if not attempt.runs:  # else another was faster: the id was taken between the look and the call
                raise
    say(f"job {attempt.id} {'runs already: following it' if attempt.runs else 'is started'}")
    return attempt.id


def _jobs(client: Any) -> dict[str, bool]:
    """The ids of all submitted jobs, and whether each has ended."""
    return {each.submission_id: each.status.is_terminal() for each in client.list_jobs() if each.submission_id}


def _followed(client: Any, job_id: str, address: str, say: Callable[[str], None], echo: Callable[[str], None]) -> int:
    """Echo a job's log until it has ended; returns its exit code. A cluster may be silent for a while."""
    shown, deadline = 0, time.monotonic() + _PATIENCE_S
    while True:
        try:
            state, log = client.get_job_info(job_id), client.get_job_logs(job_id)
        except _TROUBLE as silence:
            if time.monotonic() > deadline:
                raise BuildError(
                    f"{address} no longer answers; the job may go on: the same command follows it again"
                ) from silence
            time.sleep(_LOOK_S)
            continue
        deadline = time.monotonic() + _PATIENCE_S
        echo(log[shown:])
        shown = max(shown, len(log))
        if state.status.is_terminal():
            say(f"job {job_id} has ended: {state.status.value.lower()}")
            if state.driver_exit_code is None and state.message:
                say(_first_line(state.message))
            return _exit_code(state)
        time.sleep(_LOOK_S)


def _exit_code(state: Any) -> int:
    """That of the job's own program where there is one; 0 only where the job succeeded."""
    if state.status.value == "SUCCEEDED":
        return 0
    return state.driver_exit_code if state.driver_exit_code and state.driver_exit_code > 0 else 1


@contextmanager
def _explained(address: str, failing: str) -> Iterator[None]:
    """Turn a cluster's refusal into one line."""
    try:
        yield
    except AuthenticationError as refusal:
        raise BuildError(
            f"the Ray cluster at {address} wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the "
            f"file that holds it, or RAY_AUTH_TOKEN ({_first_line(refusal).partition('. ')[0]})"
        ) from refusal
    except _TROUBLE as trouble:
        raise BuildError(f"the Ray cluster at {address} {failing}: {_first_line(trouble)}") from trouble


def _first_line(trouble: object) -> str:
    return str(trouble).strip().partition("\n")[0] or type(trouble).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Ray's client logs of every upload."""
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
