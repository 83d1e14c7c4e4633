"""What networks cost, found by running them without their weights and without a device.

PyTorch's meta device computes shapes alone. Under it, operations are counted by torch's own counter, and the bytes that
live at the same time by a mode that sees every tensor come and go. What this module does not know: what a kernel takes
inside itself (workspaces), what the allocator loses between blocks, and how fast any device is.

Shapes: B pictures in a micro-batch.
"""

import math
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

_CHANNELS, _SIDE_PX = 128, 112  # of the convolution by which a machine's speed is measured


@dataclass(frozen=True)
class Cost:
    """What networks take to draw, or to look at, one micro-batch."""

    parameter_bytes: int  # weights and buffers, as they lie on the device
    peak_bytes_per_batch: int  # beside them, at the fullest moment of one micro-batch
    flops_per_picture: float  # multiplications and additions in matrix products, convolutions and attention

    def beside(self, other: "Cost") -> "Cost":
        """Both, with both networks loaded and their batches alive at the same time."""
        return Cost(
            self.parameter_bytes + other.parameter_bytes,
            self.peak_bytes_per_batch + other.peak_bytes_per_batch,
            self.flops_per_picture + other.flops_per_picture,
        )

    def then(self, other: "Cost") -> "Cost":
        """Both, with both networks loaded, but one batch after the other."""
        peak = max(self.peak_bytes_per_batch, other.peak_bytes_per_batch)
        both = self.beside(other)
        return Cost(both.parameter_bytes, peak, both.flops_per_picture)

    def repeated(self, times: int) -> "Cost":
        """The same work done again and again: more operations, no more memory."""
        return Cost(self.parameter_bytes, self.peak_bytes_per_batch, times * self.flops_per_picture)


def measured_cost(networks: Sequence[nn.Module], pictures: int, run: Callable[[], object]) -> Cost:
    """The cost of networks on the meta device, from `run`, which shows them one micro-batch of so many pictures.

    Tensors that `run` makes count into the peak, its result included. Works on real tensors too, where attention is
    computed but not counted.
    """
    live, counter = LiveBytes(), FlopCounterMode(display=False)
    with ExitStack() as modes:
        for mode in (FusedAttention(), counter, live):
            modes.enter_context(mode)
        run()
    return Cost(stored_bytes(networks), live.peak, counter.get_total_flops() / pictures)


def stored_bytes(networks: Iterable[nn.Module]) -> int:
    """Bytes of all parameters and buffers, each counted once."""
    held = (tensor for network in networks for tensor in (*network.parameters(), *network.buffers()))
    return sum({id(tensor): tensor.numel() * tensor.element_size() for tensor in held}.values())


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that come to be inside, on any device, until they are gone again.

    A storage counts once, however many tensors look at it, and from the operation that made it; what was there before
    is not counted. Knows `now` and `peak`, in bytes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()  # ids of storages that live

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and note what it made."""
        for given in _tensors((args, kwargs)):
            self._note(given, made=False)
        result = func(*args, **(kwargs or {}))
        for made in _tensors(result):
            self._note(made, made=True)
        self.peak = max(self.peak, self.now)
        return result

    def _note(self, tensor: Tensor, made: bool) -> None:
        storage = tensor.untyped_storage()
        if id(storage) in self._known:
            return
        size = storage.nbytes() if made else 0
        self._known.add(id(storage))
        self.now += size
        # The Python object of a storage lives exactly as long as the storage.
        weakref.finalize(storage, self._forget, id(storage), size).atexit = False

    def _forget(self, name: int, size: int) -> None:
        self._known.discard(name)
        self.now -= size


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]


class FusedAttention(TorchFunctionMode):
    """Lets attention on the meta device be what it is on a GPU: one kernel that keeps no matrix of all pairs."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace torch's attention; leave all else."""
        if func is functional.scaled_dot_product_attention and args[0].is_meta:
            return _fused(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    # The kernel takes tokens before heads, and a bias of the queries' type.
    bias = None if attn_mask is None else query.new_empty(*query.shape[:-1], key.shape[-2])
    keep = torch.is_grad_enabled() and query.requires_grad
    attend = torch.ops.aten._scaled_dot_product_efficient_attention
    seen: Tensor = attend(query, key, value, bias, keep, dropout_p, is_causal, scale=scale)[0]
    return seen


def cpu_rate(threads: int, seconds: float = 0.3) -> float:
    """How many operations a second this machine's CPU does in float32, measured for so long with so many threads.

    By convolutions, for which PyTorch has its fastest kernels, some twice as fast as those of plain matrix products.
    The quickest one counts: others may be at work here too. The number of threads that torch uses is put back.
    """
    picture, kernel = torch.rand(1, _CHANNELS, _SIDE_PX, _SIDE_PX), torch.rand(_CHANNELS, _CHANNELS, 3, 3)
    picture, kernel = (each.contiguous(memory_format=torch.channels_last) for each in (picture, kernel))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            functional.conv2d(picture, kernel, padding=1)  # warms up
            quickest, end = math.inf, time.perf_counter() + seconds
            while (start := time.perf_counter()) < end or quickest == math.inf:
                functional.conv2d(picture, kernel, padding=1)
                quickest = min(quickest, time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return 2 * 9 * (_CHANNELS * _SIDE_PX) ** 2 / quickest
