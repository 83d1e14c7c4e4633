"""A workshop: one process's open tools, in which shards are made one after the other.

Opened once per worker, whether that is a Ray actor or the process you typed into. Here stands the shard boundary:
whatever goes wrong inside a shard becomes a recorded `ShardFailure`. This module does not know who decides what
follows.
"""

import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch

from samplers.errors import (
    DatasetError,
    HypersynthError,
    MissingPackageError,
    RecipeError,
    RenderError,
    StoppedError,
    StorageError,
)
from synth.anchors import read_anchors
from synth.backend import Backend, fingerprint, prepare
from synth.commit import Commit, MadeShard, commit_shard, read_commit
from synth.encoder import open_encoders
from synth.encoders.settings import EncoderSettings
from synth.renderer import Equipment, open_renderer
from synth.renderers.settings import RendererSettings
from synth.shard import ShardSpec, ShardTask, Tools, draw_shard
from synth.storage import Storage, open_storage

Result = TypeVar("Result")


@dataclass(frozen=True)
class WorkshopSpec:
    """Everything a worker needs to make any shard of a build; small, and the same for all workers."""

    url: str
    renderer: RendererSettings
    encoders: Mapping[str, EncoderSettings]  # by the names that checks and renderer use
    backend: Backend
    shard: ShardSpec


@dataclass(frozen=True)
class ShardFailure:
    """A shard that could not be made: what kind of trouble, one line, and for bugs where it happened."""

    shard: int
    kind: str  # "settings", "storage", "contract", "memory", "dropped" or "bug"; the cluster adds "lost" and "stuck"
    message: str
    traceback: str = ""


Outcome = Commit | ShardFailure


class _StandsError(Exception):
    """The shard in hand is committed: nothing is left to do about it."""

    def __init__(self, commit: Commit) -> None:
        super().__init__()
        self.commit = commit


class Workshop:
    """Makes shards in one thread, and stores each in another while the next is made; opens its tools with the first.

    `beat` is called whenever the work has come a little further; what it raises ends the shard in hand.
    """

    def __init__(self, spec: WorkshopSpec, beat: Callable[[], None] = lambda: None) -> None:
        self._spec, self._beat = spec, beat
        self._storer = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._storing: Future[Outcome] | None = None

    @cached_property
    def _storage(self) -> Storage:
        return open_storage(self._spec.url)

    @cached_property
    def _tools(self) -> Tools:
        spec = self._spec
        prepare(spec.backend)
        encoders = open_encoders(spec.encoders, spec.backend)
        self._beat()  # weights may have come from far away
        renderer = open_renderer(spec.renderer, Equipment(spec.backend, encoders))
        used = renderer.fingerprint()
        for encoder in encoders.values():
            used |= encoder.fingerprint()
        self._beat()
        return Tools(read_anchors(self._storage), renderer, encoders, fingerprint(spec.backend, used))

    def make(self, shard: int) -> Outcome:
        """Make and commit one shard; never raises an Exception."""
        *_, outcome = (*self.begin(shard), *self.rest())
        return outcome

    def begin(self, shard: int) -> list[Outcome]:
        """Make one shard, and begin to store it; returns what became of those before, and of this one if it failed.

        Always from the same thread: how kernels round may depend on it. Never raises an Exception.
        """
        made = self._guarded(shard, self._made)
        before = self.rest()
        if not isinstance(made, MadeShard):
            return [*before, made]
        self._storing = self._storer.submit(
            self._guarded, shard, lambda _: commit_shard(self._storage, made, self._beat)
        )
        return before

    def rest(self) -> list[Outcome]:
        """What became of the shard that was being stored, if there was one: waits for it."""
        storing, self._storing = self._storing, None
        return [] if storing is None else [storing.result()]

    def _made(self, shard: int) -> MadeShard | Commit:
        """The shard, or its commit where somebody has made it meanwhile: that is asked for while it is drawn."""
        asked = self._storer.submit(read_commit, self._storage, shard)

        def beat() -> None:
            self._beat()
            if asked.done() and (standing := asked.result()) and standing.plan_hash == self._spec.shard.plan_hash:
                raise _StandsError(standing)

        try:
            return draw_shard(ShardTask(self._spec.shard, shard), self._tools, beat)
        except _StandsError as found:
            return found.commit

    def _guarded(self, shard: int, work: Callable[[int], Result]) -> Result | ShardFailure:
        """The shard boundary: an error becomes a failure that is told."""
        try:
            return work(shard)
        except Exception as trouble:  # noqa: BLE001 - the only broad except
            return _failure(shard, trouble, self._spec.backend.micro_batch)


_KINDS: dict[type[HypersynthError], str] = {
    StorageError: "storage",
    RenderError: "contract",
    RecipeError: "settings",
    DatasetError: "settings",
    MissingPackageError: "settings",
    StoppedError: "dropped",
}


#: How libraries say that memory ran out, where they have no error of their own for that: torch, CUDA's, onnxruntime.
_FULL = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Failed to allocate memory for requested buffer",
)


def _ran_out_of_memory(trouble: Exception) -> bool:
    said = any(words in str(trouble) for words in _FULL)
    return said or isinstance(trouble, MemoryError | torch.OutOfMemoryError)


def _failure(shard: int, trouble: Exception, micro_batch: int) -> ShardFailure:
    if _ran_out_of_memory(trouble):
        # Nothing is halved here: the micro-batch is part of the plan, since it can change bytes.
        change = (
            f"lower backend.micro_batch (now {micro_batch})"
            if micro_batch > 1
            else "let fewer workers share the device"
        )
        detail = str(trouble).strip().partition("\n")[0]
        return ShardFailure(shard, "memory", f"out of memory: {change}" + (f"; {detail}" if detail else ""))
    for error, kind in _KINDS.items():
        if isinstance(trouble, error):
            return ShardFailure(shard, kind, str(trouble))
    message = f"{type(trouble).__name__}: {trouble}".splitlines()[0]
    return ShardFailure(shard, "bug", message, "".join(traceback.format_exception(trouble)))
