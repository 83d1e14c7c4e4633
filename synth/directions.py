"""Directions in vector space, such as those for age or smile, from a safetensors file with one vector for each name.

This module does not know what a step along a direction does to a picture.
"""

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from samplers.errors import DatasetError


def read_directions(name: str, data: bytes) -> dict[str, Tensor]:
    """Directions float32 (D,), by their names, as long as the file has them.

    Raises DatasetError, in one line, for any other file and for vectors without a direction.
    """
    try:
        tensors = load(data)
    except (SafetensorError, ValueError) as damage:
        raise DatasetError(f"{name} is not a safetensors file, or damaged") from damage
    for key, direction in tensors.items():
        if direction.ndim != 1 or not direction.is_floating_point():
            raise DatasetError(f"{name}: {key} is not one vector of numbers, but {tuple(direction.shape)}")
        if not bool(direction.float().isfinite().all()) or not bool(direction.float().any()):
            raise DatasetError(f"{name}: {key} is zero, or holds NaN or infinity")
    return {key: direction.float() for key, direction in tensors.items()}
