"""Weights: files of named tensors, read without running anything in them, and loaded into networks strictly.

safetensors, or PyTorch's own files with `weights_only=True`: a pickle with code in it is refused. Names and shapes must
agree wholly; what is missing and what is too many is listed. This module does not know any network.
"""

import pickle
import struct
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from samplers.errors import DatasetError, StorageError
from synth.section import InputFile

_LISTED = 4  # names in an error, of each kind
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # how PyTorch's files begin, those since 2020 and those before
_HEADER_AT, _HEADER = 8, b"{"  # a .safetensors file has its header's length first, then a header in JSON
#: What PyTorch raises where bytes are not what they should be, or are not there.
_DAMAGE = (
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OSError,
    AssertionError,
    struct.error,
)
_POINTER = b"version https://git-lfs"


def read_weights(file: InputFile, within: Sequence[str] = ()) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU, mapped from the disk where the format allows.

    `within`: keys under which a checkpoint may hold the tensors beside other things (the first that is there counts);
    a file that is nothing but named tensors is taken as it is. Raises StorageError where the file cannot be had,
    DatasetError where it is damaged, holds code, or no tensors.
    """
    path = file.fetch()
    found: Mapping[str, Any] = (
        _safetensors(path, file.url) if path.suffix == ".safetensors" else _pytorch(path, file.url)
    )
    for key in within:
        if isinstance(found.get(key), Mapping):
            found = found[key]
            break
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not tensors or len(tensors) < len(found):
        named = f" (nor under {' or '.join(within)})" if within else ""
        raise DatasetError(f"{file.url} does not hold named tensors alone{named}; its keys: {_some(found)}")
    return tensors


def _beginning(path: Path, url: str) -> bytes:
    """The first bytes of a file. Raises DatasetError for what stands for a file that was left elsewhere."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(_POINTER))
    except OSError as refusal:
        raise StorageError(f"cannot read {url}: {refusal.strerror or refusal}") from refusal
    if begins == _POINTER:
        raise DatasetError(f"{url} is a Git LFS pointer, not the file: fetch that (git lfs pull)")
    return begins


def _safetensors(path: Path, url: str) -> dict[str, Any]:
    begins = _beginning(path, url)
    # A header's length may begin with the very byte that a pickle does.
    if begins.startswith((_ZIP, _PICKLE)) and not begins[_HEADER_AT:].startswith(_HEADER):
        raise DatasetError(f"{url} is no .safetensors file: PyTorch wrote it, so call it .pth")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except (SafetensorError, OSError) as damage:
        raise DatasetError(f"{url} is no .safetensors file, or is damaged: {_first_line(damage)}") from damage


def _pytorch(path: Path, url: str) -> dict[str, Any]:
    begins = _beginning(path, url)
    if begins[_HEADER_AT:].startswith(_HEADER):
        raise DatasetError(f"{url} is no file of PyTorch weights, but a .safetensors file: give it that ending")
    if not begins.startswith((_ZIP, _PICKLE)):
        raise DatasetError(f"{url} is no file of PyTorch weights: it begins with {begins[:8]!r}")
    try:
        # Trainings keep their command's arguments beside the weights: names and values, no code.
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickles that it may not know: they are told below
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=begins.startswith(_ZIP) or None)
    except pickle.UnpicklingError as refusal:
        raise DatasetError(
            f"{url} is refused: it is a pickle that holds more than tensors, and could run code; "
            "ask its authors for safetensors, or save its state dict again"
        ) from refusal
    except _DAMAGE as damage:
        raise DatasetError(f"{url} is no file of PyTorch weights, or is damaged: {_first_line(damage)}") from damage
    if not isinstance(found, Mapping):
        raise DatasetError(f"{url} holds a {type(found).__name__}, not named tensors")
    return dict(found)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], url: str) -> None:
    """Put weights into a network, types converted to the network's. Raises as `refuse_unfit`."""
    refuse_unfit(network, weights, url)
    with torch.no_grad():
        network.load_state_dict(dict(weights), strict=True)


def refuse_unfit(network: nn.Module, weights: Mapping[str, Tensor], url: str) -> None:
    """Raises DatasetError unless the weights have exactly the network's names and shapes, and finite numbers.

    The network may lie on the meta device: nothing is copied.
    """
    wanted = network.state_dict()
    flaws = {
        "missing": [name for name in wanted if name not in weights],
        "extra": [name for name in weights if name not in wanted],
        "misshapen": [
            f"{name} {list(weights[name].shape)} for {list(wanted[name].shape)}"
            for name in wanted
            if name in weights and weights[name].shape != wanted[name].shape
        ],
    }
    if any(flaws.values()):
        listed = "; ".join(f"{kind}: {_some(names)}" for kind, names in flaws.items() if names)
        raise DatasetError(f"{url} does not fit the network ({len(wanted)} tensors are due): {listed}")
    _refuse_not_finite(weights, url)


def _refuse_not_finite(weights: Mapping[str, Tensor], url: str) -> None:
    """Raises DatasetError for weights with NaN or infinite numbers: reads all of them."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DatasetError(f"{url}: {name} has numbers that are not finite")


def _some(names: Mapping[str, object] | Sequence[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more


def _first_line(damage: Exception) -> str:
    return str(damage).strip().partition("\n")[0] or type(damage).__name__
