"""Files of networks of our own: safetensors whose header says what kind of network it is and how large.

The trainings write them (`synth.training.loop`), encoders and renderers open them. This module does not know any
network.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from samplers.errors import DatasetError
from synth.section import InputFile
from synth.storage import open_parent

FORMAT, VERSION = "hypersynth-network", "1"


@dataclass(frozen=True)
class NetworkFile:
    """What the header of a file says."""

    url: str
    kind: str
    description: Mapping[str, Any]

    @property
    def encoder(self) -> str | None:
        """The sha256 of the encoder whose embeddings the network is told, where the description says it."""
        said = self.description.get("encoder")
        return said if isinstance(said, str) else None

    def part(self, name: str) -> Any:
        """One entry of the description. Raises DatasetError where it is missing."""
        if name not in self.description:
            raise DatasetError(f"{self.url}: its header does not say its {name}")
        return self.description[name]


def header(kind: str, description: Mapping[str, Any]) -> dict[str, str]:
    """The header of a file, as safetensors keeps it: names and texts."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "description": json.dumps(dict(description), sort_keys=True),
    }


def write_network(path: Path, said: Mapping[str, str], weights: Mapping[str, Tensor]) -> None:
    """Write a file with what `header` gave, whole or not at all; the same network always gives the same bytes.

    Raises StorageError where it cannot be written.
    """
    storage, name = open_parent(str(path))
    storage.replace(name, _in_order(save(dict(weights), dict(said))))


def _in_order(data: bytes) -> bytes:
    """A safetensors file with the names in its header sorted: the library leaves them in any order."""
    end = 8 + int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + data[end:]


def read_header(file: InputFile, kind: str) -> NetworkFile:
    """The header of a file of a network of that kind.

    Raises StorageError where the file cannot be had, DatasetError where it is something else.
    """
    path = file.fetch()
    try:
        with safe_open(path, framework="pt") as opened:
            said = opened.metadata() or {}
    except (SafetensorError, OSError) as damage:
        raise DatasetError(f"{file.url} is no .safetensors file, or is damaged") from damage
    if said.get("format") != FORMAT:
        raise DatasetError(f"{file.url} is no network that hypersynth train-model made: its header does not say so")
    if said.get("version") != VERSION:
        raise DatasetError(f"{file.url} was made by another version of Hypersynth: its format is {said.get('version')}")
    if said.get("kind") != kind:
        raise DatasetError(f"{file.url} is a network of kind {said.get('kind')}, not {kind}")
    try:
        description = json.loads(said.get("description", ""))
    except ValueError as damage:
        raise DatasetError(f"{file.url}: its header is damaged") from damage
    if not isinstance(description, dict):
        raise DatasetError(f"{file.url}: its header is damaged")
    return NetworkFile(file.url, kind, description)
