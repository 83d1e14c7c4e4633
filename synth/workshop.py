"""A workshop: one process's open tools, in which shards are made one after the other.

Opened once per worker, whether that is a Ray actor or the process you typed into. Here stands the shard boundary:
whatever goes wrong inside a shard becomes a recorded `ShardFailure`. This module does not know who decides what
follows.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from samplers.errors import DatasetError, HypersynthError, MissingPackageError, RecipeError, RenderError, StorageError
from synth.anchors import read_anchors
from synth.backend import Backend, fingerprint, prepare
from synth.commit import Commit
from synth.encoder import open_encoders
from synth.encoders.settings import EncoderSettings
from synth.renderer import Equipment, open_renderer
from synth.renderers.settings import RendererSettings
from synth.shard import ShardSpec, ShardTask, Tools, make_shard
from synth.storage import Storage, open_storage


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
    kind: str  # "settings", "storage", "contract", "memory" or "bug"; the cluster adds "lost"
    message: str
    traceback: str = ""


class Workshop:
    """Makes shards; the tools are opened with the first."""

    def __init__(self, spec: WorkshopSpec) -> None:
        self._spec = spec

    @cached_property
    def _storage(self) -> Storage:
        return open_storage(self._spec.url)

    @cached_property
    def _tools(self) -> Tools:
        spec = self._spec
        prepare(spec.backend)
        encoders = open_encoders(spec.encoders, spec.backend)
        renderer = open_renderer(spec.renderer, Equipment(spec.backend, encoders))
        used = renderer.fingerprint()
        for encoder in encoders.values():
            used |= encoder.fingerprint()
        return Tools(read_anchors(self._storage), renderer, encoders, fingerprint(spec.backend, used))

    def make(self, shard: int) -> Commit | ShardFailure:
        """Make and commit one shard; never raises an Exception."""
        try:
            return make_shard(ShardTask(self._spec.shard, shard), self._tools, self._storage)
        except Exception as trouble:  # noqa: BLE001 - the shard boundary, the only broad except
            return _failure(shard, trouble, self._spec.backend.micro_batch)


_KINDS: dict[type[HypersynthError], str] = {
    StorageError: "storage",
    RenderError: "contract",
    RecipeError: "settings",
    DatasetError: "settings",
    MissingPackageError: "settings",
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
