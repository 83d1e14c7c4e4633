"""Golden values: what published networks compute for weights that a formula fills in, so that none need be stored.

`tests/fixtures/NAME_state_dict.json` holds a network's names and shapes, `NAME_golden.npz` its inputs' settings and its
outputs. A network of ours is compatible when it has the names and shapes and gives the numbers to about 1e-4 of their
scale in float32. This module does not know any network.
"""

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FIXTURES = Path(__file__).parent / "fixtures"


def named_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a published network's state dict, in its order."""
    listed = json.loads((FIXTURES / f"{name}_state_dict.json").read_text())
    return {entry: tuple(shape) for entry, shape in listed.items()}


def golden(name: str) -> dict[str, Tensor]:
    """What a published network computed, by the names that the fixture gives."""
    with np.load(FIXTURES / f"{name}_golden.npz") as stored:
        return {entry: torch.from_numpy(stored[entry]) for entry in stored.files}


def filled(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same names, shapes and types, every floating-point entry filled from its name; whole numbers stay."""
    return {name: _filled(name, entry) if entry.is_floating_point() else entry for name, entry in state_dict.items()}


def _filled(name: str, entry: Tensor) -> Tensor:
    shift = zlib.crc32(name.encode()) % 1000 / 7
    value = (0.7311 * torch.arange(entry.numel(), dtype=torch.float64) + shift).sin()
    if name.endswith("running_var"):
        value = 1 + 0.3 * value
    elif name.endswith("running_mean"):
        value = 0.05 * value
    elif entry.ndim >= 2:
        value = 1.5 * value / math.sqrt(entry.numel() / entry.shape[0])
    elif name.endswith("bias"):
        value = 0.05 * value
    else:
        value = 1 + 0.1 * value
    return value.view(entry.shape).to(entry.dtype)


def filled_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A whole state dict from names and shapes, float32 but for the counters of batch normalisation."""
    types = {name: torch.int64 if name.endswith("num_batches_tracked") else torch.float32 for name in shapes}
    return filled({name: torch.zeros(shape, dtype=types[name]) for name, shape in shapes.items()})


def wave(shape: tuple[int, ...], k: float) -> Tensor:
    """The input of a golden value: float32 sin(k i) over the row-major index i, worked out in float64."""
    return (k * torch.arange(math.prod(shape), dtype=torch.float64)).sin().view(shape).float()


def nested_shapes(name: str) -> dict[str, dict[str, tuple[int, ...]]]:
    """As `named_shapes`, of a checkpoint that holds several networks, by their keys; a lone network has the key ""."""
    listed = json.loads((FIXTURES / f"{name}_state_dict.json").read_text())
    if all(isinstance(entry, list) for entry in listed.values()):
        listed = {"": listed}
    return {key: {entry: tuple(shape) for entry, shape in shapes.items()} for key, shapes in listed.items()}
