"""The encoder contract: what turns pictures back into vectors, so that they can be checked.

This module knows the contract and the names of the implementations; it imports none until one is chosen.
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from samplers.errors import RecipeError


class Encoder(Protocol):
    """A network, or a fake of one, that embeds pictures on the sphere of the identity vectors."""

    dimension: int

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings float32 (B, D), of any length, of uint8 RGB pictures (B, H, W, 3), before JPEG."""
        ...


def _barcode() -> Encoder:
    from synth.encoders.barcode import BarcodeEncoder

    return BarcodeEncoder()


ENCODERS: dict[str, Callable[[], Encoder]] = {"barcode": _barcode}


def build_encoder(name: str) -> Encoder:
    """The encoder of that name. Raises RecipeError for an unknown one."""
    if name not in ENCODERS:
        raise RecipeError(f"unknown encoder {name!r}; there are: {', '.join(ENCODERS)}")
    return ENCODERS[name]()
