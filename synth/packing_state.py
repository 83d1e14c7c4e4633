"""Packing under way, as it lies in storage: everything that the next step needs, whole or not at all.

This module does not know when a state is kept, nor what the steps do (`samplers.packing`).
"""

import json
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from samplers.packing import PackingState
from synth.storage import Storage

NAME = "identities/packing.safetensors"
_TENSORS = ("vectors", "velocity", "best")


def save_packing(storage: Storage, plan_hash: str, state: PackingState) -> None:
    """Keep a state, in place of an older one."""
    tensors = {name: getattr(state, name).contiguous() for name in _TENSORS}
    if tensors["best"].data_ptr() == tensors["vectors"].data_ptr():
        tensors["best"] = tensors["best"].clone()  # safetensors refuses two names for one memory
    numbers = {name: value for name, value in vars(state).items() if name not in _TENSORS}
    storage.replace(NAME, save(tensors, {"plan": plan_hash, "numbers": json.dumps(numbers)}))


def load_packing(storage: Storage, plan_hash: str) -> PackingState | None:
    """The state that was kept for this plan; None where there is none that can be read: packing begins anew."""
    if not storage.exists(NAME):
        return None
    data = storage.read(NAME)
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        if header["plan"] != plan_hash:
            return None
        numbers = json.loads(header["numbers"])
        numbers["history"] = tuple(numbers["history"])
        parts: dict[str, Any] = {**numbers, **{name: tensors[name] for name in _TENSORS}}
        return PackingState(**parts)
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def forget_packing(storage: Storage) -> None:
    """Remove what was kept: the identities are stored."""
    storage.delete(NAME)
