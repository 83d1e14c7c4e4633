"""The encoder contract: what turns pictures back into vectors, so that they can be checked.

This module knows the contract and the names of the implementations; it imports none until one is chosen.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor

from samplers.errors import RecipeError
from synth.backend import Backend
from synth.cost import Cost
from synth.encoders.settings import EncoderSettings


class Encoder(Protocol):
    """A network, or a fake of one, that embeds pictures on the sphere of the identity vectors."""

    dimension: int

    @staticmethod
    def preflight(settings: Any) -> int:
        """Look at the files that the settings name, on the CPU, quickly; returns the embeddings' dimension.

        Raises StorageError, DatasetError or RecipeError for anything that would keep `open` from succeeding.
        """
        ...

    @classmethod
    def cost(cls, settings: Any, backend: Backend, gradients: bool = False) -> Cost | None:
        """What one look at a micro-batch takes, found without weights and without a device; None: it is not known.

        With `gradients`, also the way back to the pictures.
        """
        ...

    @classmethod
    def open(cls, settings: Any, backend: Backend) -> Self:
        """Load everything. Raises as `preflight` does, and MissingPackageError."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings float32 (B, D), on the CPU, of uint8 RGB pictures (B, H, W, 3), before JPEG.

        Their length is the network's own: of networks trained for it (MagFace, AdaFace) it measures quality.
        """
        ...

    def fingerprint(self) -> dict[str, str]:
        """What, besides library versions and device, may change the last bits."""
        ...


@runtime_checkable
class DifferentiableEncoder(Protocol):
    """An encoder through which gradients flow, for renderers that search for a picture."""

    dimension: int

    def features(self, pixels: Tensor) -> Tensor:
        """Embeddings float32 (B, D), on the pictures' device, of RGB pictures float (B, 3, H, W) in [-1, 1]."""
        ...


def _barcode() -> type[Encoder]:
    from synth.encoders.barcode import BarcodeEncoder

    return BarcodeEncoder


def _iresnet() -> type[Encoder]:
    from synth.encoders.iresnet import IResNetEncoder

    return IResNetEncoder


def _onnx() -> type[Encoder]:
    from synth.encoders.onnx import OnnxEncoder

    return OnnxEncoder


def _trained() -> type[Encoder]:
    from synth.encoders.trained import TrainedEncoder

    return TrainedEncoder


ENCODERS: dict[str, Callable[[], type[Encoder]]] = {
    "barcode": _barcode,
    "iresnet": _iresnet,
    "onnx": _onnx,
    "trained": _trained,
}


def encoder_class(kind: str) -> type[Encoder]:
    """The encoder of that kind, imported but not opened. Raises RecipeError for an unknown kind."""
    if kind not in ENCODERS:
        raise RecipeError(f"unknown encoder {kind!r}; there are: {', '.join(ENCODERS)}")
    return ENCODERS[kind]()


def open_encoders(settings: Mapping[str, EncoderSettings], backend: Backend) -> dict[str, Encoder]:
    """The encoders of a recipe, with their weights, by their names there."""
    return {name: encoder_class(each.kind).open(each, backend) for name, each in settings.items()}
