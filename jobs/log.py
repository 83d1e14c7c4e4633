"""The log of a build for machines: a line of JSON for everything that happens, with shard, worker and node.

This module does not know what a person sees (`jobs.progress`).
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from cluster.failures import Decision
from cluster.run import Where
from jobs.plan import Plan
from jobs.wording import without_secrets
from samplers.errors import StorageError
from synth.commit import Commit
from synth.workshop import ShardFailure


class BuildLog:
    """Appends to a file; a context manager around one build. Raises StorageError where that cannot be written."""

    def __init__(self, path: Path) -> None:
        """Also raises StorageError where something else than a log lies there."""
        self._path = path
        try:
            if path.is_file() and _opening(path) not in (b"", b"{"):
                raise StorageError(f"{path} is there, and is no log of a build")
            self._file = path.open("a", buffering=1)
        except OSError as refusal:
            raise StorageError(f"cannot write {path}: {refusal.strerror}") from refusal

    def __enter__(self) -> "BuildLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(StorageError, OSError):  # what ended the build is told by itself
            if error is not None:
                self._note("ended", error=type(error).__name__, message=str(error))
            self._file.close()

    def _note(self, event: str, where: Where | None = None, **details: Any) -> None:
        place: Mapping[str, Any] = {} if where is None else {"node": where.node, "worker": where.worker}
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **place, **details}
        try:
            self._file.write(without_secrets(json.dumps(line)) + "\n")
        except OSError as refusal:
            raise StorageError(f"cannot write {self._path}: {refusal.strerror}") from refusal

    def planned(self, plan: Plan, missing: Sequence[int], shards: Sequence[int]) -> None:
        """The plan is fixed."""
        self._note("planned", plan=plan.hash, pictures=len(plan.pictures), shards=len(shards), missing=len(missing))

    def step(self, message: str) -> None:
        """Another step begins."""
        self._note("step", message=message)

    def finished(self, commit: Commit, where: Where) -> None:
        """A shard is done."""
        told = commit.model_dump(include={"shard", "planned", "kept", "rejected", "rendered", "seconds"})
        self._note("finished", where, bytes=commit.tar.bytes + commit.index.bytes, **told)

    def failed(self, failure: ShardFailure, decision: Decision, where: Where) -> None:
        """A shard failed, and this was decided."""
        self._note("failed", where, decision=decision.value, **vars(failure))

    def staffed(self, workers: int) -> None:
        """So many workers have a place now."""
        self._note("staffed", workers=workers)


def _opening(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)


class Watches:
    """Several that are told the same, in order."""

    def __init__(self, *watches: Any) -> None:
        self._watches = watches

    def planned(self, plan: Plan, missing: Sequence[int], shards: Sequence[int]) -> None:
        """The plan is fixed."""
        for watch in self._watches:
            watch.planned(plan, missing, shards)

    def step(self, message: str) -> None:
        """Another step begins."""
        for watch in self._watches:
            watch.step(message)

    def finished(self, commit: Commit, where: Where) -> None:
        """A shard is done."""
        for watch in self._watches:
            watch.finished(commit, where)

    def failed(self, failure: ShardFailure, decision: Decision, where: Where) -> None:
        """A shard failed, and this was decided."""
        for watch in self._watches:
            watch.failed(failure, decision, where)

    def staffed(self, workers: int) -> None:
        """So many workers have a place now."""
        for watch in self._watches:
            watch.staffed(workers)
