"""Low-rank changes of a network (LoRA), added to its weights once and for all when it is loaded.

Two namings are read: that of the published LCM-LoRA (`lora_unet_down_blocks_0_..._to_k.lora_down.weight`, with the
dots of module names written as underscores, and an `alpha`), and that of diffusers and peft (`unet.down_blocks.0...to_k
.lora_A.weight`). Every tensor must find its place. This module does not know which network it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from samplers.errors import DatasetError

_DOWN: Final = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight")
_UP: Final = (".lora_up.weight", ".lora_B.weight", ".lora.up.weight")
_ALPHA: Final = (".alpha",)
_PREFIX: Final = re.compile(r"^(lora_unet_|unet\.)")
_LISTED: Final = 3  # names in an error


@dataclass(frozen=True)
class Change:
    """What is added to one weight: scale * up @ down."""

    up: Tensor  # (out, rank)
    down: Tensor  # (rank, numbers of the weight per output)
    scale: float

    def added_to(self, weight: Tensor) -> Tensor:
        """The changed weight, float32."""
        return weight.float() + self.scale * (self.up.float() @ self.down.float()).view(weight.shape)


def changes(weights: Mapping[str, Tensor], lora: Mapping[str, Tensor], url: str) -> dict[str, Change]:
    """The changes of a file by the names of the weights, whose shapes alone are looked at: they may be on meta.

    The scale is alpha / rank, and 1 where there is no alpha. Raises DatasetError where a change names a module that the
    network does not have, or does not fit it.
    """
    modules = {name.removesuffix(".weight").replace(".", "_"): name for name in weights if name.endswith(".weight")}
    parts: dict[str, dict[str, Tensor]] = {}
    strange = []
    for name, tensor in lora.items():
        module, part = _place(name)
        if module in modules and part:
            parts.setdefault(modules[module], {})[part] = tensor
        else:
            strange.append(name)
    if strange or not parts:
        more = f" and {len(strange) - _LISTED} more" if len(strange) > _LISTED else ""
        listed = ", ".join(strange[:_LISTED]) + more if strange else "there are none at all"
        raise DatasetError(f"{url} holds changes for modules that the UNet does not have: {listed}")
    return {name: _change(weights[name].shape, each, f"{url}: the change of {name}") for name, each in parts.items()}


def _place(name: str) -> tuple[str, str]:
    """Module, with underscores, and part that a tensor's name means; the part is empty for a name of another form."""
    for part, endings in (("down", _DOWN), ("up", _UP), ("alpha", _ALPHA)):
        for ending in endings:
            if name.endswith(ending):
                return _PREFIX.sub("", name.removesuffix(ending)).replace(".", "_"), part
    return "", ""


def _change(shape: torch.Size, parts: Mapping[str, Tensor], whose: str) -> Change:
    if "down" not in parts or "up" not in parts:
        raise DatasetError(f"{whose} is there by half only")
    # A convolution's change is one as well: `down` has its kernel, and `up` mixes channels at a point.
    down, up = parts["down"].flatten(1), parts["up"].flatten(1)
    if up.shape[1] != down.shape[0] or (up.shape[0], down.shape[1]) != (shape[0], shape[1:].numel()):
        shapes = f"{list(parts['up'].shape)} and {list(parts['down'].shape)}"
        raise DatasetError(f"{whose}, {shapes}, does not fit its {list(shape)}")
    return Change(up, down, float(parts["alpha"]) / down.shape[0] if "alpha" in parts else 1.0)
