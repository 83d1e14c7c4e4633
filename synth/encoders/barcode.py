"""The encoder that reads back what `synth.renderers.barcode` draws: exact but for the rounding to two bytes."""

import torch
from torch import Tensor

from synth.backend import Backend
from synth.cost import Cost
from synth.encoders.settings import BarcodeEncoderSettings
from synth.renderers.barcode import CELLS, DIMENSION, SCALE


class BarcodeEncoder:
    """Reads the numbers out of the middle of their cells."""

    dimension = DIMENSION

    @staticmethod
    def preflight(settings: BarcodeEncoderSettings) -> int:
        """Nothing can go wrong."""
        return DIMENSION

    @classmethod
    def cost(cls, settings: BarcodeEncoderSettings, backend: Backend, gradients: bool = False) -> Cost:
        """Nothing: there is no network."""
        return Cost(0, 0, 0.0)

    @classmethod
    def open(cls, settings: BarcodeEncoderSettings, backend: Backend) -> "BarcodeEncoder":
        """There is nothing to load."""
        return cls()

    def embed(self, images: Tensor) -> Tensor:
        """Vectors float32 (B, 64) of uint8 pictures (B, H, W, 3)."""
        size = images.shape[1]
        middle = (torch.arange(CELLS) * 2 + 1) * size // (2 * CELLS)
        cells = images[:, middle[:, None], middle].flatten(1)[:, : 2 * DIMENSION].long()
        whole = (cells[:, ::2] << 8) | cells[:, 1::2]
        return (whole - SCALE).float() / SCALE

    def fingerprint(self) -> dict[str, str]:
        """Nothing: whole numbers only."""
        return {}
