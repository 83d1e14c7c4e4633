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
from synth.renderers.head.camera import Camera, place_camera
from synth.renderers.head.mesh import Surface
from synth.renderers.head.traits import SHARED, Subject, Trait, trait_values

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
        m = self._modules
        self.face = m["face"].Face(self._device) if "face" in m else None
        self.skin = m["skin"].Skin(self.face) if "skin" in m and hasattr(m["skin"], "Skin") else None
        self.parts = [
            getattr(m[name], cls)(self.face)
            for name, cls in (("mouth", "Mouth"), ("hair", "Hair"), ("beard", "Beard"), ("wear", "Wear"))
            if name in m and hasattr(m[name], cls)
        ]
        self._darkroom = photo.Darkroom(self._device)
        numba = kernel == "numba" or (kernel == "auto" and self._device.type == "cpu" and importlib.util.find_spec("numba"))
        self._raster = importlib.import_module(PARTS + "raster_numba") if numba else raster

    def subject(self, views: Views) -> Subject:
        fixed, free = trait_values(views.anchor, self.traits), trait_values(views.vector, self.traits)
        values = {t.name: (fixed if t.fixed else free)[t.name] for t in self.traits}
        return Subject(values, views.attributes, views.key, _person_key(views.anchor))

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
        rgba, keys = self._draw(opaque, cam, lamps, None)
        if glass is not None:
            over, _ = self._draw(glass, cam, lamps, keys)
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

    def _draw(self, what: scene.Scene, cam: Camera, lamps: light.Lamps, behind: Tensor | None) -> tuple[Tensor, Tensor]:
        world = cam.pose(what.positions, what.follow)
        normals = what.normals + (cam.turn(what.normals) - what.normals) * what.follow[:, None]
        px = cam.project(world)
        screen = raster.Screen(
            raster.snap(px[..., 0], SAMPLES_PER_PX), raster.snap(px[..., 1], SAMPLES_PER_PX),
            raster.snap_depth(camera.NEAR_CM - world[..., 2]), what.absent, what.faces,
        )
        colours = torch.cat((light.lit(what, world, normals, lamps) * what.opacity[..., None], what.opacity[..., None]), -1)
        keys = self._raster.visible(screen, self.size * SAMPLES_PER_PX)
        if behind is not None:
            keys = torch.where(keys >> raster.TRIANGLE_BITS < behind >> raster.TRIANGLE_BITS, keys, raster.EMPTY)
        return self._raster.resolve(screen, keys, raster.snap_channels(colours)) * (1 / raster.CHANNEL_ONE), keys

    @torch.no_grad()
    def landmarks(self, views: Views) -> Tensor:
        """(B, 5, 2) px"""
        found = []
        for chunk in self._chunks(views):
            subject = self.subject(chunk)
            placed = self.face.place(subject)
            cam = place_camera(subject.attributes, placed.landmarks, self.size)
            found.append(cam.project(cam.pose(placed.landmarks)))
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
    bits = anchor.float().contiguous().view(torch.int32).long()
    odd = torch.arange(anchor.shape[1], device=anchor.device) * 0x9E3779B1 + 1
    mixed = torch.stack(((bits * odd).sum(1), (bits * (odd * 3 + 2)).sum(1)), -1)
    index = torch.cat((mixed >> 7 & 0xFFFFFFFF, torch.zeros_like(mixed[:, :1])), 1)
    return random.words(random.key_of(0, "person"), index, 2)
