"""The built-in renderer: procedural human heads from named numbers, without weights and without data of real people.

    traits and attributes -> parts place and paint their vertices -> camera -> rasteriser -> light on what shows
    -> background -> darkroom

Everything about the looks is in the parts; here they are only put together. On a CPU pictures are made one at a time,
so that a part which a picture lacks costs nothing; on a GPU many at once.

Shapes: B pictures, D traits, H x H pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from samplers.attributes import Attribute
from synth.backend import Backend
from synth.cost import Cost
from synth.renderer import Equipment, Portraits, Views
from synth.renderers.head import catalogue
from synth.renderers.head.catalogue import ATTRIBUTES, TRAITS
from synth.renderers.head.hair.beard import Beard
from synth.renderers.head.hair.growth import Hair
from synth.renderers.head.mesh import Surface
from synth.renderers.head.paint.mouth import Mouth
from synth.renderers.head.paint.skin import Skin
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.studio import light
from synth.renderers.head.studio.backdrop import backdrop
from synth.renderers.head.studio.camera import Camera, place_camera, seen
from synth.renderers.head.studio.drawing import Drawing, kernel_named, normal_map, pixels
from synth.renderers.head.studio.photo import Darkroom
from synth.renderers.head.studio.raster import CHANNEL_ONE
from synth.renderers.head.studio.scene import join
from synth.renderers.head.traits import Subject, TraitTable
from synth.renderers.head.wear.outfit import Wear
from synth.renderers.settings import HeadSettings

PICTURES_AT_ONCE_GPU: Final = 32


@dataclass(frozen=True)
class _Sitting:
    """B people placed and painted in front of their cameras."""

    subject: Subject
    camera: Camera
    surfaces: list[Surface]
    landmarks: Tensor  # float32 (B, 5, 3), cm


class HeadRenderer:
    """Renders heads; see the module."""

    dimension: ClassVar[int] = len(TRAITS)
    revision: ClassVar[int] = 1
    attributes: ClassVar[Mapping[str, Attribute]] = ATTRIBUTES

    def __init__(self, size: int = 112, device: str = "cpu", kernel: str = "auto") -> None:
        self._size = size
        self._device = torch.device(device)
        self._at_once = 1 if self._device.type == "cpu" else PICTURES_AT_ONCE_GPU
        self._kernel_name, self._kernel = kernel_named(kernel, self._device)
        self._table = TraitTable(TRAITS, self._device)
        self._darkroom = Darkroom(size, self._device)
        self._face = Face(self._device)
        self._skin = Skin(self._face)
        self._parts = (Mouth(self._face), Hair(self._face), Beard(self._face), Wear(self._face))

    @staticmethod
    def vector_dimension(settings: HeadSettings) -> int:
        """Always the same."""
        return len(TRAITS)

    @staticmethod
    def vector_encoder(settings: HeadSettings) -> str | None:
        """None: vectors are traits, not embeddings."""
        return None

    @staticmethod
    def declare(settings: HeadSettings) -> Mapping[str, Attribute]:
        """All of `ATTRIBUTES`, whatever the settings."""
        return ATTRIBUTES

    @staticmethod
    def preflight(settings: HeadSettings) -> None:
        """No files: nothing can go wrong."""

    @classmethod
    def cost(cls, settings: HeadSettings, backend: Backend, encoders: Mapping[str, Cost]) -> None:
        """There is no network."""

    @classmethod
    def open(cls, settings: HeadSettings, equipment: Equipment) -> "HeadRenderer":
        """Build all parts of the head."""
        return cls(settings.size, equipment.backend.device, settings.kernel)

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """What identity vectors (I, D) say of the people: numbers and words, each column of length I."""
        return catalogue.describe(TraitTable(TRAITS, vectors.device).named(vectors, vectors))

    def render(self, views: Views) -> Tensor:
        """Pictures uint8 (B, H, H, 3), RGB, aligned to the template."""
        return self.portraits(views).images

    def portraits(self, views: Views) -> Portraits:
        """The pictures and their landmarks."""
        images, landmarks = self._in_chunks(self._portrait, views)
        return Portraits(images, landmarks)

    def landmarks(self, views: Views) -> Tensor:
        """The five points in the order of `TEMPLATE_PX`, in pixels: float32 (B, 5, 2); quicker without the pictures."""
        return self._in_chunks(self._landmarks, views)[0]

    def normals(self, views: Views) -> Tensor:
        """Unit normals (right, up, to the camera): float32 (B, H, H, 3); 0 where the background shows."""
        return self._in_chunks(self._normals, views)[0]

    def fingerprint(self) -> dict[str, str]:
        """The rasteriser in use; both give the same integers."""
        return {"rasteriser": self._kernel_name}

    def _in_chunks(self, work: Callable[[Views], tuple[Tensor, ...]], views: Views) -> list[Tensor]:
        with torch.inference_mode():  # a tenth quicker than no_grad
            done = [torch.cat(parts) for parts in zip(*(work(chunk) for chunk in self._chunks(views)), strict=True)]
        return [tensor.clone() for tensor in done]  # ordinary tensors again

    def _chunks(self, views: Views) -> Iterator[Views]:
        for start in range(0, len(views), self._at_once):
            yield views.select(slice(start, start + self._at_once)).to(self._device)

    def _subject(self, views: Views) -> Subject:
        return Subject(self._table.named(views.anchor, views.vector), views.attributes, views.key, views.person)

    def _landmarks(self, views: Views) -> tuple[Tensor]:
        subject = self._subject(views)
        landmarks = self._face.landmarks(subject)
        return (seen(landmarks, place_camera(subject.attributes, landmarks, self._size)),)

    def _sit(self, views: Views) -> _Sitting:
        subject = self._subject(views)
        placed = self._face.place(subject)
        camera = place_camera(subject.attributes, placed.landmarks, self._size)
        return _Sitting(subject, camera, self._surfaces(subject, placed), placed.landmarks)

    def _surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        surfaces = [self._skin.surface(subject, placed)]
        for part in self._parts:
            surfaces += part.surfaces(subject, placed)
        return [surface for surface in surfaces if surface.present is None or bool(surface.present.any())]

    def _portrait(self, views: Views) -> tuple[Tensor, Tensor]:
        sitting = self._sit(views)
        subject = sitting.subject
        back = backdrop(subject, self._size)
        root = self._photograph(sitting, light.set_lamps(subject.attributes, back))
        together = root[..., :3] + back.sqrt() * (1 - root[..., 3:])
        image = self._darkroom.develop(together, subject.attributes, subject.key)
        return image, seen(sitting.landmarks, sitting.camera)

    def _photograph(self, sitting: _Sitting, lamps: light.Lamps) -> Tensor:
        """The sitter before a black background: premultiplied roots of linear RGB, and coverage, float32 (B, H, H, 4).

        Samples are averaged as square roots of light, which are near to what the eye sees: averaged as light, the edge
        of a dark head before a bright wall would look as jagged as without any averaging.
        """
        solid = Drawing(self._kernel, join(_solid(sitting.surfaces)), sitting.camera, self._size)
        shadows = light.cast_shadows(solid.scene, solid.world, lamps)
        colours, opacity = _lit(solid, lamps, shadows)
        samples = solid.samples([*(colour.sqrt() for colour in colours), opacity])
        panes = [surface for surface in sitting.surfaces if surface.opacity is not None]
        if not panes:
            return pixels(samples)
        glass = Drawing(self._kernel, join(panes), sitting.camera, self._size, nearer_than=solid.keys)
        colours, opacity = _lit(glass, lamps, shadows)
        return pixels(_over(glass.samples([*colours, opacity]), samples))

    def _normals(self, views: Views) -> tuple[Tensor]:
        sitting = self._sit(views)
        drawing = Drawing(self._kernel, join(_solid(sitting.surfaces)), sitting.camera, self._size)
        return (normal_map(drawing),)


def _solid(surfaces: list[Surface]) -> list[Surface]:
    return [surface for surface in surfaces if surface.opacity is None]


def _lit(drawing: Drawing, lamps: light.Lamps, shadows: light.Shadows) -> tuple[list[Tensor], Tensor]:
    """Light from the vertices that show, linear red, green and blue, and their opacity: float32 (B, M) each."""
    matter = drawing.matter()
    return light.lit(matter, drawing.place(), drawing.normals(), lamps, shadows), matter.opacity


def _over(glass: Tensor, behind: Tensor) -> Tensor:
    """Samples of glass, as light, over those behind it, as roots of light: roots again, float32, in the same steps."""
    glass, behind = glass * (1 / CHANNEL_ONE), behind * (1 / CHANNEL_ONE)
    through = 1 - glass[..., 3:]
    colour = (glass[..., :3] + behind[..., :3] * behind[..., :3] * through).sqrt()
    return torch.cat((colour, 1 - (1 - behind[..., 3:]) * through), -1) * CHANNEL_ONE
