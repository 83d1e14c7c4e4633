"""Where a training begins: at weights drawn from its seed, or at those of a finished training.

This module does not know what is learned.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from samplers.errors import DatasetError
from synth.network_file import read_header
from synth.section import InputFile
from synth.training.difference import first_difference
from synth.weights import load_weights, read_weights


def begin_at(start: InputFile | None, network: nn.Module, kind: str, description: Mapping[str, Any]) -> None:
    """Give a network the weights of a file of the same kind and conditions; with no file, leave it as it is.

    All weights of the file must find their place. What the network has and the file has not begins as it would without
    a file: a network may have grown. Only the network itself goes on: averages, descents, and what is trained beside it
    begin anew. Raises StorageError where the file cannot be had, DatasetError where it holds another kind of network,
    is told other conditions, or does not fit.
    """
    if start is None:
        return
    said = read_header(start, kind).description
    if said.get("conditions") != description.get("conditions"):
        raise DatasetError(
            f"{start.url} cannot be the start of this training: its conditions are others; set them as in its training"
        )
    if other := first_difference(_divisions(said.get("sizes")), _divisions(description.get("sizes"))):
        raise DatasetError(f"{start.url} cannot be the start of this training: {other}; set shape as in its training")
    weights, own = read_weights(start), network.state_dict()
    if unlike := [name for name in weights if name not in own or own[name].shape != weights[name].shape]:
        raise DatasetError(
            f"{start.url} cannot be the start of this training: {len(unlike)} of its weights have no place in this "
            f"network, the first is {unlike[0]}; set shape as in its training"
        )
    load_weights(network, {**own, **weights}, start.url)


def _divisions(sizes: Any) -> dict[str, Any]:
    """The sizes that do not show in weights, which mean something else where these are others: heads and groups."""
    if not isinstance(sizes, Mapping):
        return {}
    own = {name: value for name, value in sizes.items() if name.endswith(("heads", "groups"))}
    inner = {name: _divisions(value) for name, value in sizes.items() if isinstance(value, Mapping)}
    return own | inner
