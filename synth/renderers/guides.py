"""Guides: posed heads of the procedural renderer as conditions for other renderers.

Two forms, for two networks. *Landmark pictures* are what the pose network of Vec2Face+ reads: five coloured dots on
black. They need no more of a head than five points, so that a thousand take a second. *Normal maps* are what the
ControlNet of Arc2Face reads: the bare head, without hair or shoulders, in the square of the FFHQ pictures.

The identity vectors of another renderer mean nothing to our head. So each person has a head shape of their own, drawn
from the person's key, the same in all views; or all have the mean head. Pose and expression come from the views'
attributes as far as they are there, the neutral value stands for what is not; the picture's own noise never enters.

Neither network was trained on our head: Vec2Face+ saw what a detector finds in photographs, Arc2Face what EMOCA makes
of photographs (FLAME heads). This module does not know the networks, nor what their pictures make of its conditions.

Shapes: B pictures, H x H pixels.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from samplers import random
from samplers.attributes import Attribute, Normal, neutral_attributes
from samplers.sphere import normalise
from synth.renderer import TEMPLATE_SIZE_PX, Views
from synth.renderers.head.catalogue import TRAITS
from synth.renderers.head.mesh import Surface
from synth.renderers.head.shape import expression
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.studio import camera
from synth.renderers.head.studio.drawing import Drawing, kernel_named, normal_map
from synth.renderers.head.studio.scene import join
from synth.renderers.head.traits import Subject, TraitTable

Shape = Literal["person", "mean"]
Frame = Literal["arcface", "ffhq"]

#: Turn, nod and tilt of the head, as the head renderer means them. A guide shows no texture that could tear, so the
#: ranges reach as far as its points make sense. Yaw and pitch are drawn as for DigiFace-1M (Bae et al., WACV 2023):
#: normal, with a thousandth of the density at 90 and at 30 degrees that there is at 0.
POSE: Final[Mapping[str, Attribute]] = {
    "yaw_deg": Attribute(
        "Turn of the head; positive looks to the picture's right.",
        0.0, "deg", -90, 90, distribution=Normal(std=24.2, low=-90, high=90),
    ),
    "pitch_deg": Attribute(
        "Nod of the head; positive looks up.", 0.0, "deg", -60, 60, distribution=Normal(std=8.1, low=-30, high=30)
    ),
    "roll_deg": Attribute(
        "Tilt of the head before it nods and turns; alignment undoes it where the head looks ahead.",
        0.0, "deg", -40, 40, distribution=Normal(std=6, low=-25, high=25),
    ),
}  # fmt: skip

#: The head renderer's expressions, without what is no expression: ageing.
EXPRESSION: Final[Mapping[str, Attribute]] = {
    name: attribute for name, attribute in expression.ATTRIBUTES.items() if name != "age_shift_years"
}

#: The dots of Vec2Face+, measured in the two landmark pictures that its repository publishes (112 px, landmarks/images,
#: each the other's mirror image): discs of 29 pixels, 1, 5, 5, 7, 5, 5 and 1 in a row, around whole pixels, on black;
#: both eyes red, the nose green, both mouth corners blue. Drawn so and stored as JPEG of quality 95, 2758_1.jpg comes
#: out pixel for pixel.
DOT_RADIUS_PX: Final = 3.0
DOT_COLOURS: Final = ((slice(0, 2), (255, 0, 0)), (slice(2, 3), (0, 255, 0)), (slice(3, 5), (0, 0, 255)))
PICTURES_AT_ONCE_GPU: Final = 32  # of normal maps

#: All that decides where a head's points lie, beside its shape.
CAMERA_AND_EXPRESSION: Final[Mapping[str, Attribute]] = {**camera.ATTRIBUTES, **expression.ATTRIBUTES}
#: How a frame crops, and what else of the camera it decides: EMOCA looks at heads in parallel projection, to which a
#: long lens comes near.
_FRAMES: Final[Mapping[Frame, tuple[camera.Framing, Mapping[str, float]]]] = {
    "arcface": (camera.template_crop, {}),
    "ffhq": (camera.ffhq_crop, {"focal_length_mm": 200.0}),
}


class Guide:
    """Poses heads for the people of other renderers' views; see the module.

    Results lie on the guide's device. Each row depends on its own row of the views alone. Of the views, only `person`
    and the attributes named by `reads` are read.
    """

    def __init__(
        self,
        size_px: int,
        device: str,
        *,
        shape: Shape = "person",
        frame: Frame = "arcface",
        reads: Collection[str] = (*POSE, *EXPRESSION),
    ) -> None:
        """`size_px` is H. Shapes of one's own are the default, as detected landmarks are a person's own, too.

        The frame "arcface" fits the five points to the template; "ffhq" is the wider square of the FFHQ pictures.
        `reads` may name all of the head renderer's camera and expressions.
        """
        self._size, self._device, self._shape, self._reads = size_px, torch.device(device), shape, reads
        self._framing, self._fixed = _FRAMES[frame]
        self._face = Face(self._device)
        self._traits = TraitTable(TRAITS, self._device)
        self._disc = _disc(DOT_RADIUS_PX * size_px / TEMPLATE_SIZE_PX).to(self._device)
        _, self._kernel = kernel_named("auto", self._device)

    def landmarks(self, views: Views) -> Tensor:
        """Where the five points lie: float32 (B, 5, 2), x and y in pixels, in the order of `TEMPLATE_PX`.

        Points on the far side of a turned head are given where they are, though the head hides them.
        """
        with torch.inference_mode():
            subject = self._subject(views)
            points = self._face.landmarks(subject)
            seen = camera.seen(points, camera.place_camera(subject.attributes, points, self._size, self._framing))
        return seen.clone()  # an ordinary tensor again

    def landmark_pictures(self, views: Views) -> Tensor:
        """The five points as Vec2Face+ draws them: uint8 (B, H, H, 3), RGB. See `DOT_COLOURS`."""
        return _as_in_jpeg(_dots(self.landmarks(views), self._disc, self._size))

    def normals(self, views: Views) -> Tensor:
        """Unit normals (right, up, to the camera) of the bare head: float32 (B, H, H, 3); 0 where there is no head.

        The condition of Arc2Face is 0.5 n + 0.5 of these, in the frame "ffhq" at 512 px. Its background so is grey, as
        in the published pictures (127 of 255), which show the bald head with ears and neck in one rigid piece. An open
        mouth shows the inside of the head, normals pointing away: EMOCA's rasteriser does not cull, either.
        """
        with torch.inference_mode():
            maps = torch.cat([self._normals(rows) for rows in self._chunks(views)])
        return maps.clone()

    def _chunks(self, views: Views) -> Iterator[Views]:
        at_once = 1 if self._device.type == "cpu" else PICTURES_AT_ONCE_GPU
        for start in range(0, len(views), at_once):
            yield views.select(slice(start, start + at_once))

    def _normals(self, views: Views) -> Tensor:
        subject = self._subject(views)
        placed = self._face.place(subject)
        sight = camera.place_camera(subject.attributes, placed.landmarks, self._size, self._framing)
        return normal_map(Drawing(self._kernel, join([_bare(self._face, placed)]), sight, self._size))

    def _subject(self, views: Views) -> Subject:
        person = views.person.to(self._device)
        given = {name: views.attributes[name] for name in self._reads if name in views.attributes}
        fixed = {name: torch.full((len(views),), value) for name, value in self._fixed.items()}
        attributes = {**neutral_attributes(CAMERA_AND_EXPRESSION, len(views)), **given, **fixed}
        attributes = {name: values.to(self._device) for name, values in attributes.items()}
        heads = _heads(person) if self._shape == "person" else torch.zeros(len(views), len(TRAITS), device=self._device)
        return Subject(self._traits.named(heads, heads), attributes, person, person)


def dotted(points: Tensor, size_px: int) -> Tensor:
    """Points (B, 5, 2) as Vec2Face+ draws them, but without the traces of JPEG: uint8 (B, H, H, 3), RGB."""
    return _dots(points, _disc(DOT_RADIUS_PX * size_px / TEMPLATE_SIZE_PX).to(points.device), size_px)


def _heads(person: Tensor) -> Tensor:
    """A head for each person's key (B, 2), uniform among all: float32 (B, D), unit length."""
    return normalise(random.normals(person, random.noise_index(person, "guide/head"), len(TRAITS)))


def _bare(face: Face, placed: PlacedFace) -> Surface:
    """The head without paint, which normals do not show."""
    plain = placed.occlusion
    return Surface(
        faces=face.faces,
        positions=placed.positions,
        normals=placed.normals,
        albedo=placed.positions,
        gloss=plain,
        sharpness=plain,
        occlusion=plain,
    )


def _disc(radius: float) -> Tensor:
    """The pixels of a disc around a pixel: int64 (n, 2), x and y."""
    reach = torch.arange(-int(radius), int(radius) + 1)
    x, y = torch.meshgrid(reach, reach, indexing="xy")
    return torch.stack((x, y), -1)[x * x + y * y <= radius * radius]


def _dots(points: Tensor, disc: Tensor, size: int) -> Tensor:
    """Dots around points (B, 5, 2), rounded to whole pixels; what lies outside is cut off: uint8 (B, H, H, 3)."""
    pixels = points.round().long()[:, :, None] + disc  # (B, 5, n, 2)
    inside = ((pixels >= 0) & (pixels < size)).all(-1)
    picture = torch.arange(len(points), device=points.device)[:, None, None]
    place = (picture * size + pixels[..., 1]) * size + pixels[..., 0]
    drawn = points.new_zeros(len(points) * size * size, 3, dtype=torch.uint8)
    for which, colour in DOT_COLOURS:  # one colour after the other: where dots meet, the later one shows
        drawn[place[:, which][inside[:, which]]] = drawn.new_tensor(colour)
    return drawn.view(len(points), size, size, 3)


def _as_in_jpeg(pictures: Tensor) -> Tensor:
    """Pictures uint8 (B, H, H, 3) as JPEG keeps them, but for its quantisation: colours at a coarser grain than luma.

    Vec2Face+ reads its landmark pictures from JPEG files. There, differences of blue and red to luma (ITU T.871) are
    means of 2 x 2 pixels, spread again between neighbours by libjpeg's triangle filter, so that the rims of dots are
    pale. Against 2758_1.jpg errors of at most 14 levels are left, where pure colours would be off by up to 142. Whole
    numbers throughout.
    """
    size = pictures.shape[1]
    red, green, blue = pictures.int().unbind(-1)
    luma = (19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16  # shares in 1 / 2^16
    to_red, to_blue = (_spread(_halved(colour - luma))[:, :size, :size] for colour in (red, blue))
    to_green = -((19595 * to_red + 7471 * to_blue) // 38470)  # the three differences cancel in luma
    differences = torch.stack((to_red, to_green, to_blue), -1)
    return (luma[..., None] + ((differences + 8) >> 4)).clamp(0, 255).to(torch.uint8)


def _halved(values: Tensor) -> Tensor:
    """Means of 2 x 2 pixels, int32 (B, h, h) from (B, H, H), h = H / 2 rounded up; beyond the edge there is 0."""
    odd = values.shape[1] % 2
    values = functional.pad(values, (0, odd, 0, odd))
    return (values[:, ::2, ::2] + values[:, 1::2, ::2] + values[:, ::2, 1::2] + values[:, 1::2, 1::2] + 2) >> 2


def _spread(values: Tensor) -> Tensor:
    """Twice as many pixels each way, three parts of the nearest and one of the next: 16 times int32 (B, 2 h, 2 h)."""
    for along in (1, 2):
        first, last = values.narrow(along, 0, 1), values.narrow(along, values.shape[along] - 1, 1)
        before = torch.cat((first, values.narrow(along, 0, values.shape[along] - 1)), along)
        after = torch.cat((values.narrow(along, 1, values.shape[along] - 1), last), along)
        values = torch.stack((3 * values + before, 3 * values + after), along + 1).flatten(along, along + 1)
    return values
