"""The renderer contract: what turns identity vectors and attributes into pictures.

A renderer is built once per worker process, with its weights, and then called for every micro-batch. This module knows
the contract and the names of the implementations; it does not import any of them until one is chosen.

Shapes: B pictures, D dimensions of the identity vector, H x W pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from samplers.attributes import Attribute
from samplers.errors import RecipeError, RenderError
from synth.backend import Backend
from synth.cost import Cost
from synth.encoder import Encoder
from synth.renderers.settings import RendererSettings

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
    norm: Tensor  # float32 (B,), the length of the person's feature before it was scaled to one
    attributes: dict[str, Tensor]  # (B,) each: float32 numbers, int64 positions among the choices
    key: Tensor  # int64 (B, 2), two 32-bit words (samplers.random): each picture's own noise
    person: Tensor  # int64 (B, 2), likewise: what stays with a person, whatever the view

    def __len__(self) -> int:
        return len(self.identity)

    def select(self, rows: Tensor | slice) -> "Views":
        """The same record for some of the pictures."""
        return Views(
            self.identity[rows],
            self.anchor[rows],
            self.vector[rows],
            self.norm[rows],
            {name: values[rows] for name, values in self.attributes.items()},
            self.key[rows],
            self.person[rows],
        )

    def to(self, device: torch.device | str) -> "Views":
        """The same record on another device."""
        return Views(
            self.identity.to(device),
            self.anchor.to(device),
            self.vector.to(device),
            self.norm.to(device),
            {name: values.to(device) for name, values in self.attributes.items()},
            self.key.to(device),
            self.person.to(device),
        )


@dataclass(frozen=True)
class Portraits:
    """B pictures, and where their features lie."""

    images: Tensor  # uint8 (B, H, W, 3), RGB
    landmarks: Tensor | None  # float32 (B, 5, 2), x and y in pixels, in the order of `TEMPLATE_PX`; None if not known
    findings: Mapping[str, Tensor] = field(default_factory=dict)  # numbers (B,) that the renderer reports of pictures


def checked_portraits(portraits: Portraits, count: int, size: int) -> Portraits:
    """What a renderer gave, on the CPU. Raises RenderError unless it is `count` pictures of `size` pixels."""
    images, landmarks = portraits.images, portraits.landmarks
    if images.is_floating_point() and not bool(images.isfinite().all()):
        raise RenderError("the renderer gave NaN or infinite pixels")
    if images.dtype != torch.uint8 or images.shape != (count, size, size, 3):
        given = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        raise RenderError(f"the renderer gave {given} where uint8 ({count}, {size}, {size}, 3) was due")
    if landmarks is not None and (landmarks.shape != (count, 5, 2) or not bool(landmarks.isfinite().all())):
        raise RenderError(f"the renderer gave landmarks {tuple(landmarks.shape)} that are misshapen or not finite")
    findings = {name: values.cpu() for name, values in portraits.findings.items()}
    return Portraits(images.cpu(), None if landmarks is None else landmarks.cpu(), findings)


def refuse_overflow(pixels: Tensor, kind: str) -> None:
    """Raises RenderError where a network's pixels are not finite, which whole numbers would hide."""
    if not bool(pixels.isfinite().all()):
        raise RenderError(f"{kind} drew NaN: a number overflowed; use backend.dtype bfloat16 or float32")


@dataclass(frozen=True)
class Equipment:
    """What a renderer finds in the process where it is opened."""

    backend: Backend
    encoders: Mapping[str, Encoder]  # by the names of the recipe, opened


class Renderer(Protocol):
    """What the engine asks of a renderer. What stands before `open` can be asked of the class, without weights."""

    attributes: ClassVar[Mapping[str, Attribute]]  # all that are known, whatever the settings
    revision: ClassVar[int]  # raised whenever the same views give other pictures: builds must not go on across it

    @staticmethod
    def vector_dimension(settings: Any) -> int:
        """D: how many numbers the vectors have that it draws people from.

        Where only a file says it, raises as `preflight`.
        """
        ...

    @staticmethod
    def vector_encoder(settings: Any) -> str | None:
        """The sha256 of the encoder whose embeddings these vectors are like; None where no file says so.

        Raises as `vector_dimension`.
        """
        ...

    @staticmethod
    def declare(settings: Any) -> Mapping[str, Attribute]:
        """The attributes that a renderer with these settings takes."""
        ...

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """What identity vectors (I, D) say of the people: named columns of length I, numbers or words."""
        ...

    @staticmethod
    def preflight(settings: Any) -> None:
        """Look at the files that the settings name, on the CPU, quickly.

        Raises StorageError, DatasetError or RecipeError for anything that would keep `open` from succeeding.
        """
        ...

    @classmethod
    def cost(cls, settings: Any, backend: Backend, encoders: Mapping[str, Cost]) -> Cost | None:
        """What the networks take for one micro-batch, found without weights and without a device; None: there are none.

        `encoders`: what each that the renderer uses takes for one micro-batch, gradients included, by the recipe's
        names; those whose cost is not known are left out. Their weights are counted elsewhere.
        """
        ...

    @classmethod
    def open(cls, settings: Any, equipment: Equipment) -> Self:
        """Load everything. Raises as `preflight` does, and MissingPackageError."""
        ...

    def render(self, views: Views) -> Tensor:
        """Pictures: uint8 (B, H, W, 3), RGB, aligned to the ArcFace template scaled to H = W.

        Each picture depends on its own row of `views` alone, never on the other rows or their number.
        """
        ...

    def portraits(self, views: Views) -> Portraits:
        """The same pictures with what else is known of them, at no more cost than one rendering."""
        ...

    def fingerprint(self) -> dict[str, str]:
        """What, besides library versions and device, may change the last bits: kernels chosen, weights loaded."""
        ...


def _arc2face() -> type[Renderer]:
    from synth.renderers.arc2face import Arc2FaceRenderer

    return Arc2FaceRenderer


def _head() -> type[Renderer]:
    from synth.renderers.head import HeadRenderer

    return HeadRenderer


def _barcode() -> type[Renderer]:
    from synth.renderers.barcode import BarcodeRenderer

    return BarcodeRenderer


def _diffusion() -> type[Renderer]:
    from synth.renderers.diffusion import DiffusionRenderer

    return DiffusionRenderer


def _vec2face() -> type[Renderer]:
    from synth.renderers.vec2face import Vec2FaceRenderer

    return Vec2FaceRenderer


def _vec2face_plus() -> type[Renderer]:
    from synth.renderers.vec2face import Vec2FacePlusRenderer

    return Vec2FacePlusRenderer


def _vec2face_trained() -> type[Renderer]:
    from synth.renderers.vec2face import Vec2FaceTrainedRenderer

    return Vec2FaceTrainedRenderer


RENDERERS: dict[str, Callable[[], type[Renderer]]] = {
    "arc2face": _arc2face,
    "barcode": _barcode,
    "diffusion": _diffusion,
    "head": _head,
    "vec2face": _vec2face,
    "vec2face_plus": _vec2face_plus,
    "vec2face_trained": _vec2face_trained,
}


def renderer_class(kind: str) -> type[Renderer]:
    """The renderer of that kind, imported but not opened.

    Raises RecipeError for an unknown kind.
    """
    if kind not in RENDERERS:
        raise RecipeError(f"unknown renderer {kind!r}; there are: {', '.join(RENDERERS)}")
    return RENDERERS[kind]()


def open_renderer(settings: RendererSettings, equipment: Equipment) -> Renderer:
    """The renderer of a recipe's section, with its weights."""
    return renderer_class(settings.kind).open(settings, equipment)
