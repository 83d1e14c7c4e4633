"""The renderer contract: what turns identity vectors and attributes into pictures.

A renderer is built once per worker process, with its weights, and then called for every micro-batch. This module knows
the contract and the names of the implementations; it does not import any of them until one is chosen.

Shapes: B pictures, D dimensions of the identity vector, H x W pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from samplers.attributes import Attribute
from samplers.errors import RecipeError

TEMPLATE_SIZE_PX = 112
#: Five points of the ArcFace alignment template in a 112 x 112 picture (x, y in pixels): the eye on the picture's left,
#: the eye on its right, nose tip, mouth corner on the left, on the right (insightface, `face_align.py`).
TEMPLATE_PX = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


@dataclass(frozen=True)
class Views:
    """B pictures to render: who, in which variation, and the key of each picture's own noise."""

    identity: Tensor  # int64 (B,)
    anchor: Tensor  # float32 (B, D), unit length: the person
    vector: Tensor  # float32 (B, D), unit length: the person in this view
    attributes: dict[str, Tensor]  # (B,) each: float32 numbers, int64 positions among the choices
    key: Tensor  # int64 (B, 2), two 32-bit words (samplers.random)

    def __len__(self) -> int:
        return len(self.identity)

    def select(self, rows: Tensor | slice) -> "Views":
        """The same record for some of the pictures."""
        return Views(
            self.identity[rows],
            self.anchor[rows],
            self.vector[rows],
            {name: values[rows] for name, values in self.attributes.items()},
            self.key[rows],
        )

    def to(self, device: torch.device | str) -> "Views":
        """The same record on another device."""
        return Views(
            self.identity.to(device),
            self.anchor.to(device),
            self.vector.to(device),
            {name: values.to(device) for name, values in self.attributes.items()},
            self.key.to(device),
        )


@dataclass(frozen=True)
class Portraits:
    """B pictures, and where their features lie."""

    images: Tensor  # uint8 (B, H, W, 3), RGB
    landmarks: Tensor | None  # float32 (B, 5, 2), x and y in pixels, in the order of `TEMPLATE_PX`; None if not known


class Renderer(Protocol):
    """What the engine asks of a renderer. `dimension` and `attributes` can be read from the class."""

    dimension: ClassVar[int]
    attributes: ClassVar[Mapping[str, Attribute]]

    def __init__(self, size: int, device: str = "cpu") -> None:
        """Load everything; `size` is the side of the pictures in pixels."""

    def render(self, views: Views) -> Tensor:
        """Pictures: uint8 (B, H, W, 3), RGB, aligned to the ArcFace template scaled to H = W.

        Each picture depends on its own row of `views` alone, never on the other rows or their number.
        """
        ...

    def portraits(self, views: Views) -> Portraits:
        """The same pictures with what else is known of them, at no more cost than one rendering."""
        ...

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """What identity vectors (I, D) say of the people: named columns of length I, numbers or words."""
        ...

    def fingerprint(self) -> dict[str, str]:
        """What, besides library versions and device, may change the last bits: kernels chosen, weights loaded."""
        ...


def _head() -> type[Renderer]:
    from synth.renderers.head import HeadRenderer

    return HeadRenderer


def _barcode() -> type[Renderer]:
    from synth.renderers.barcode import BarcodeRenderer

    return BarcodeRenderer


RENDERERS: dict[str, Callable[[], type[Renderer]]] = {"barcode": _barcode, "head": _head}


def renderer_class(kind: str) -> type[Renderer]:
    """The renderer of that kind, imported but not built: its `dimension` and `attributes` can be read.

    Raises RecipeError for an unknown kind.
    """
    if kind not in RENDERERS:
        raise RecipeError(f"unknown renderer {kind!r}; there are: {', '.join(RENDERERS)}")
    return RENDERERS[kind]()
