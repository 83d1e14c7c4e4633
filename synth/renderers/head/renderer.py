"""The built-in renderer: procedural human heads from named numbers, without weights and without data of real people.

    traits and attributes -> parts place and paint their vertices -> pose -> light on every vertex -> camera
    -> rasteriser -> background -> darkroom

Everything about the looks is in the parts; here they are only put together. On a CPU pictures are made one at a time, so
a part that a picture lacks costs nothing; on a GPU many at once.

Shapes: B pictures, D traits, N vertices, H x H pixels.
"""

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from samplers import random
from samplers.attributes import Attribute
from synth.renderer import Views
from synth.renderers.head import camera, light, photo, raster, scene
from synth.renderers.head.camera import Camera, Triple, components, place_camera
from synth.renderers.head.mesh import Surface
from synth.renderers.head.traits import SHARED, Subject, Trait, TraitTable

PARTS = "synth.renderers.head."
OWNERS = ("face", "relief", "expression", "skin", "eyes", "mouth", "brows", "colours", "hair", "beard", "wear", "backdrop")


def _modules() -> dict[str, Any]:
    found = {}
    import pathlib

    for name in sorted(path.stem for path in pathlib.Path(__file__).parent.glob("*.py")):
        if name in ("renderer", "raster_numba", "camera", "light", "photo", "__init__", "traits"):
            continue
        try:
            found[name] = importlib.import_module(PARTS + name)
        except Exception as error:
            print("cannot import", name, repr(error))
    return found


SAMPLES_PER_PX: Final = 2
PICTURES_AT_ONCE_GPU: Final = 32
HIDDEN_BELOW: Final = -0.35


MODULES = _modules()
_by_name = {t.name: t for m in MODULES.values() for t in getattr(m, "TRAITS", ())}
TRAITS = tuple(Trait(name, "shared axis", fixed=True) for name in SHARED) + tuple(
    t for t in _by_name.values() if t.name not in SHARED
)
ATTRIBUTES: dict[str, Attribute] = {}
for _owner in (camera, light, photo, *MODULES.values()):
    ATTRIBUTES |= getattr(_owner, "ATTRIBUTES", {})
_TOLD = False


class HeadRenderer:
    """Renders heads; see the module."""

    traits: ClassVar[tuple[Trait, ...]] = TRAITS
    dimension: ClassVar[int] = len(TRAITS)
    attributes: ClassVar[Mapping[str, Attribute]] = ATTRIBUTES

    def __init__(self, size: int = 112, device: str = "cpu", kernel: str = "auto") -> None:
        self.size = size
        self._device = torch.device(device)
        self._modules = MODULES
        self._table = TraitTable(TRAITS, self._device)
        m = self._modules
        self.face = m["face"].Face(self._device) if "face" in m else None
        def build(name: str, cls: str) -> Any:
            try:
                return getattr(m[name], cls)(self.face)
            except Exception as error:
                print("cannot build", name, repr(error))

        self.skin = build("skin", "Skin")
        parts = (build(n, c) for n, c in (("mouth", "Mouth"), ("hair", "Hair"), ("beard", "Beard"), ("wear", "Wear")))
        self.parts = [part for part in parts if part is not None]
        self._darkroom = photo.Darkroom(self._device)
        numba = kernel == "numba" or (kernel == "auto" and self._device.type == "cpu" and importlib.util.find_spec("numba"))
        self._raster = importlib.import_module(PARTS + "raster_numba") if numba else raster

    def subject(self, views: Views) -> Subject:
        traits = self._table.named(views.anchor, views.vector)
        return Subject(traits, views.attributes, views.key, _person_key(views.anchor))

    @torch.no_grad()
    def render(self, views: Views) -> Tensor:
        return torch.cat([self._pictures(chunk) for chunk in self._chunks(views)])

    def _chunks(self, views: Views) -> Iterator[Views]:
        step = 1 if self._device.type == "cpu" else PICTURES_AT_ONCE_GPU
        for start in range(0, len(views), step):
            yield views.select(slice(start, start + step)).to(self._device)

    def _pictures(self, views: Views) -> Tensor:
        subject = self.subject(views)
        placed = self.face.place(subject)
        cam = place_camera(subject.attributes, placed.landmarks, self.size)
        lamps = light.set_lamps(subject.attributes)
        surfaces = self._surfaces(subject, placed)
        opaque = scene.join([s for s in surfaces if s.opacity is None])
        glass = scene.join([s for s in surfaces if s.opacity is not None])
        world = cam.pose(components(opaque.positions), opaque.follow)
        shadows = light.shadow_map(world, opaque.absent, lamps)
        rgba, keys = self._draw(opaque, world, cam, lamps, shadows, None)
        if glass is not None:
            world = cam.pose(components(glass.positions), glass.follow)
            over, _ = self._draw(glass, world, cam, lamps, shadows, keys)
            rgba = over + rgba * (1 - over[..., 3:])
        rgba = _average(rgba, SAMPLES_PER_PX)
        if "backdrop" in self._modules and hasattr(self._modules["backdrop"], "backdrop"):
            back = self._modules["backdrop"].backdrop(subject, self.size)
        else:
            back = rgba.new_full((), 0.25)
        lightness = rgba[..., :3] + back * (1 - rgba[..., 3:])
        return self._darkroom.develop(lightness, subject.attributes, subject.key)

    def _surfaces(self, subject: Subject, placed: Any) -> list[Surface]:
        if self.skin is not None:
            skin = self.skin.surface(subject, placed)
        else:
            grey = torch.ones_like(placed.occlusion)
            skin = Surface(
                self.face.faces, placed.positions, placed.normals, grey[..., None].expand(-1, -1, 3) * 0.45, grey * 0.3,
                grey * 20, placed.occlusion, 1.0, self.face.follow,
            )
        surfaces = [skin]
        for part in self.parts:
            try:
                surfaces += part.surfaces(subject, placed)
            except Exception as error:
                import traceback
                global _TOLD
                if not _TOLD:
                    traceback.print_exc()
                    _TOLD = True
        return [s for s in surfaces if s.present is None or bool(s.present.any())]

    def _draw(
        self, what: scene.Scene, world: Triple, cam: Camera, lamps: light.Lamps, shadows: Tensor, behind: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        x, y = cam.project(world)
        screen = raster.Screen(
            raster.snap(x, SAMPLES_PER_PX), raster.snap(y, SAMPLES_PER_PX),
            raster.snap_depth(camera.NEAR_CM - world[2]), what.absent, what.faces,
        )
        keys = self._raster.visible(screen, self.size * SAMPLES_PER_PX)
        if behind is not None:
            keys = torch.where(keys >> raster.TRIANGLE_BITS < behind >> raster.TRIANGLE_BITS, keys, raster.EMPTY)
        seen = self._raster.seen(screen, keys)
        matter = what.select(seen)
        normals = cam.turn(components(matter.normals), matter.follow)
        at = (world[0][:, seen], world[1][:, seen], world[2][:, seen])
        colours = light.lit(matter, at, normals, lamps, shadows) * matter.opacity[..., None]
        channels = torch.empty(*what.gloss.shape, 4, dtype=torch.int32, device=seen.device)
        channels[:, seen] = raster.snap_channels(torch.cat((colours, matter.opacity[..., None]), -1))
        return self._raster.resolve(screen, keys, channels) * (1 / raster.CHANNEL_ONE), keys

    @torch.no_grad()
    def landmarks(self, views: Views) -> Tensor:
        """(B, 5, 2) px"""
        found = []
        for chunk in self._chunks(views):
            subject = self.subject(chunk)
            placed = self.face.place(subject)
            cam = place_camera(subject.attributes, placed.landmarks, self.size)
            world = cam.pose(components(placed.landmarks), torch.ones_like(placed.landmarks[0, :, 0]))
            found.append(torch.stack(cam.project(world), -1))
        return torch.cat(found)


def _average(samples: Tensor, n: int) -> Tensor:
    total = None
    for row in range(n):
        for column in range(n):
            part = samples[:, row::n, column::n]
            total = part if total is None else total + part
    return total * (1 / (n * n))


def _person_key(anchor: Tensor) -> Tensor:
    """A key made from the person's vector alone: int64 (B, 2)."""
    bits = anchor.contiguous().view(torch.int32).long()
    place = torch.arange(1, anchor.shape[1] + 1, device=anchor.device)
    # Sums of whole numbers that wrap around: the same in any order. Two of them, each stirred once more.
    mixed = torch.stack([(bits * (place * odd)).sum(1) for odd in (0x9E3779B97F4A7C15 - (1 << 64), 0x2545F4914F6CDD1D)], -1)
    mixed = (mixed ^ (mixed >> 29)) * 0x369DEA0F31A53F85
    return (mixed >> 24) & 0xFFFFFFFF
