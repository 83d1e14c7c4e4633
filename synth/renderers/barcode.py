"""A renderer that draws the vector's own numbers as pixels: exact, fast, and read back by `synth.encoders.barcode`.

It ships so that the whole engine, checks and redraws included, can be tried and tested without a face in it. A
picture is 16 x 16 cells of one colour; a number is two bytes, high and low. This module does not know who reads the
picture.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from samplers import random
from samplers.attributes import Attribute, Sometimes, Uniform
from synth.backend import Backend
from synth.cost import Cost
from synth.renderer import Equipment, Portraits, Views
from synth.renderers.settings import BarcodeSettings

DIMENSION = 64
CELLS = 16  # along each side of the picture
SCALE = 2**15 - 1  # a coordinate in [-1, 1] becomes a whole number of two bytes
_BYTES = CELLS * CELLS * 3


def bytes_of(vectors: Tensor) -> Tensor:
    """Vectors (B, 64) in [-1, 1] as bytes, high and low of each number: uint8 (B, 128)."""
    whole = (vectors.double() * SCALE).round().long() + SCALE
    return torch.stack((whole >> 8, whole & 255), -1).flatten(1).to(torch.uint8)


class BarcodeRenderer:
    """Draws numbers; see the module."""

    revision: ClassVar[int] = 1
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "damage": Attribute(
            "Share of the vector's numbers that are replaced by noise, so that checks have something to refuse.",
            default=0.0,
            unit="fraction",
            high=1.0,
            distribution=Sometimes(chance=0.2, then=Uniform(low=0.2, high=1.0)),
        ),
        "tint": Attribute("Colour of the unused cells.", default="grey", choices=("grey", "black", "white")),
    }

    def __init__(self, size: int = 112) -> None:
        self.size = size

    @staticmethod
    def vector_dimension(settings: BarcodeSettings) -> int:
        """Always the same."""
        return DIMENSION

    @staticmethod
    def vector_encoder(settings: BarcodeSettings) -> str | None:
        """None: the vectors are drawn as they are."""
        return None

    @staticmethod
    def declare(settings: BarcodeSettings) -> Mapping[str, Attribute]:
        """Damage and tint."""
        return BarcodeRenderer.attributes

    @staticmethod
    def preflight(settings: BarcodeSettings) -> None:
        """Nothing can go wrong."""

    @classmethod
    def cost(cls, settings: BarcodeSettings, backend: Backend, encoders: Mapping[str, Cost]) -> None:
        """There is no network."""

    @classmethod
    def open(cls, settings: BarcodeSettings, equipment: Equipment) -> "BarcodeRenderer":
        """There is nothing to load."""
        return cls(settings.size)

    def render(self, views: Views) -> Tensor:
        """Pictures uint8 (B, size, size, 3)."""
        count = len(views)
        noise = random.uniforms(views.key, random.noise_index(views.key, "damage"), 2 * DIMENSION)
        damaged = noise[:, :DIMENSION] < views.attributes["damage"][:, None]
        numbers = torch.where(damaged, (noise[:, DIMENSION:] * 2 - 1).float(), views.vector)
        tint = torch.tensor([128, 0, 255], dtype=torch.uint8)[views.attributes["tint"]]
        cells = tint[:, None].repeat(1, _BYTES)
        cells[:, : 2 * DIMENSION] = bytes_of(numbers)
        place = torch.arange(self.size) * CELLS // self.size
        return cells.view(count, CELLS, CELLS, 3)[:, place[:, None], place]

    def portraits(self, views: Views) -> Portraits:
        """The same pictures; a barcode has no landmarks."""
        return Portraits(self.render(views), None)

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """One column: the position of the largest number."""
        return {"largest": vectors.argmax(1)}

    def fingerprint(self) -> dict[str, str]:
        """Nothing: whole numbers only."""
        return {}
