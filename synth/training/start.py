"""Where a training begins: at weights drawn from its seed, or at those of a finished training.

This module does not know what is learned.
"""

import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from samplers.errors import DatasetError
from synth.network_file import read_header
from synth.section import InputFile
from synth.weights import load_weights, read_weights


def begin_at(start: InputFile | None, network: nn.Module, kind: str, description: Mapping[str, Any]) -> None:
    """Give a network the weights of a file of the same kind and description; with no file, leave it as it is.

    Only the network itself goes on: averages, descents, and what is trained beside it begin anew. Raises StorageError
    where the file cannot be had, DatasetError where it holds another kind of network, or one of another description.
    """
    if start is None:
        return
    said, wanted = read_header(start, kind).description, json.loads(json.dumps(dict(description)))
    if unlike := sorted(name for name in {*said, *wanted} if said.get(name) != wanted.get(name)):
        raise DatasetError(
            f"{start.url} cannot be the start of this training: it differs in {', '.join(unlike)}; "
            "set shape and conditions as they were in its training"
        )
    load_weights(network, read_weights(start), start.url)
