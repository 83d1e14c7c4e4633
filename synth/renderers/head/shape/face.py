"""The face: one mesh of head, ears and neck, bent for every picture by traits, expression and age.

    mean head (`template`) -> linear moves (`bend`) -> lids laid on the eyeballs (`eyelids`) -> normals

Features move with their relief, and what is painted in canonical coordinates moves along. This module does not know
colours, nor what a trait looks like.

Shapes: B pictures, N vertices, F triangles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.renderers.head import anatomy
from synth.renderers.head.shape import ears, expression, relief
from synth.renderers.head.shape.bend import Bend, Fields, left_half
from synth.renderers.head.shape.cavity import sky_seen
from synth.renderers.head.shape.expression import ATTRIBUTES
from synth.renderers.head.shape.eyelids import Eyelids
from synth.renderers.head.shape.features import SHAPE_TRAITS, TRAITS
from synth.renderers.head.shape.jaw import jaw_drop, lip_lift
from synth.renderers.head.shape.moves import displacement
from synth.renderers.head.shape.template import FAR, Template, template
from synth.renderers.head.traits import Subject

__all__ = ["ATTRIBUTES", "TRAITS", "Face", "PlacedFace"]

Array = NDArray[np.float64]

#: places on the skin, where the nearest vertex is read; those with x > 0 give a pair, NAME_left at x < 0 and NAME_right
SKIN_POINTS: Final = {
    "nasion": anatomy.NASION,
    "glabella": anatomy.GLABELLA,
    "trichion": anatomy.TRICHION,
    "vertex": anatomy.VERTEX,
    "occiput": anatomy.OCCIPUT,
    "nose_tip": anatomy.NOSE_TIP,
    "subnasale": anatomy.SUBNASALE,
    "stomion": anatomy.STOMION,
    "pogonion": anatomy.POGONION,
    "menton": anatomy.MENTON,
    "neck_front": (0.0, -15.0, 4.5),
    "neck_back": (0.0, -15.0, -7.0),
    "mouth": anatomy.MOUTH_CORNER,
    "temple": (7.0, 2.0, 3.0),
    "zygion": anatomy.ZYGION,
    "gonion": anatomy.GONION,
    "ear": (7.3, 1.1, 0.4),
    "nose_bridge": (0.9, -0.3, 9.2),
    "skull": (7.6, 3.0, -0.8),
}
LIP_POINTS: Final = ("mouth", "stomion")  # read on the line between the lips, where x fits best
#: pairs of places inside: position, the place whose moves they share, share of the jaw's drop
INNER_POINTS: Final = {
    "eye": (anatomy.EYEBALL_CENTRE, (anatomy.EYE_X, 0.0, 8.0), 0.0),
    "pupil": ((anatomy.EYE_X, 0.0, anatomy.EYE_FRONT_Z), (anatomy.EYE_X, 0.0, 8.0), 0.0),
    "upper_teeth": ((0.0, -7.1, 9.2), (0.0, -6.4, 9.5), 0.0),
    "lower_teeth": ((0.0, -7.1, 9.0), (0.0, -9.0, 9.2), 1.0),
}
INTERREFLECTION: Final = 0.3  # skin lights skin: half open hollows are lighter than the sky they see
CANAL_DARKNESS: Final = 0.7  # share of the sky that the canal of an ear hides
NOSTRIL_DARKNESS: Final = 0.8  # share of the sky that a nostril hides
LANDMARKS: Final = ("pupil_left", "pupil_right", "nose_tip", "mouth_left", "mouth_right")


@dataclass(frozen=True)
class PlacedFace:
    """B placed faces. In names of points, left is the picture's left: x < 0."""

    positions: Tensor  # float32 (B, N, 3), cm
    normals: Tensor  # float32 (B, N, 3), unit
    occlusion: Tensor  # float32 (B, N), 1 is open
    landmarks: Tensor  # float32 (B, 5, 3), in the order of `synth.renderer.TEMPLATE_PX`
    points: dict[str, Tensor]  # (B, 3) each: `SKIN_POINTS` and `INNER_POINTS`, pairs with _left and _right
    openness: Tensor  # float32 (B, 2): opening of the left and right eye as a share of the open eye's, 0 is shut


class Face:
    """The mesh of the head and how it bends. All tensors are constant after construction.

    `canonical` (N, 3) is the mean face: paint and masks are functions of it. `faces` (F, 3) and `follow` (N,) are as in
    `Surface`. `eye_u` is -1 at the inner and +1 at the outer corner of the eye; `eye_v` is 0 on the lower and 1 on the
    upper lid margin, centimetres beyond them outside; `aperture` is 1 where the eyeball shows. `lip_u` is 1 at the
    mouth's corner;
    `lip_v` is 0 where the lips meet, +-1 on the border of the upper and lower red; `lip_side` tells the two copies of
    the lip line apart. All of these are 99 (`FAR`) far away. `nostril` is 1 in the
    openings of the nose. `scalp`, `beard`, `ears` are index tensors.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        mean = template()

        def real(values: NDArray[np.generic]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self.canonical, self.faces = real(mean.points), torch.tensor(mean.faces, device=device)
        self.follow = real(relief.smooth_step((mean.points[:, 1] + 18.5) / 6.0))
        self.eye_u, self.eye_v, self.aperture = real(mean.eye_u), real(mean.eye_v), real(mean.aperture)
        self.lip_u, self.lip_v, self.lip_side = real(mean.lip_u), real(mean.lip_v), real(mean.lip_side)
        self.scalp, self.beard, self.ears = (torch.tensor(part, device=device) for part in _regions(mean))
        self._neighbours = [torch.tensor(row, device=device) for row in mean.neighbours]
        pairs = np.array([position for position, _, _ in INNER_POINTS.values()])
        self._bend = Bend(mean, pairs, *_fields(mean), device)
        self._eyelids = Eyelids(mean, device)
        nearest = _nearest(mean)
        self._skin_point_names, self._skin_point = tuple(nearest), torch.tensor(list(nearest.values()), device=device)
        self._landmark_bend = self._bend.few(self._landmark_points())
        normals = self._normals(self.canonical.T[None])[0].T.double().cpu().numpy()
        nostril = relief.nostril(mean.points)
        self.nostril = real(nostril)
        self.occlusion = real(_occlusion(mean, normals, nostril))

    def place(self, subject: Subject) -> PlacedFace:
        """Place the faces of B pictures."""
        moved = self._bend.place(subject.traits | expression.coefficients(subject))
        skin, further = moved[:, :, : len(self.canonical)], moved[:, :, len(self.canonical) :]
        points = self._points(skin, further)
        upper, lower = expression.lids_closing(subject)
        eyes = torch.stack((points["eye_left"], points["eye_right"]), 2)
        skin = self._eyelids.lay(skin, eyes, upper, lower)
        openness = (1 - upper - lower).clamp(0.0, 1.2)
        return PlacedFace(
            positions=skin.transpose(1, 2).contiguous(),
            normals=self._normals(skin).transpose(1, 2).contiguous(),
            occlusion=self.occlusion.expand(len(skin), -1),
            landmarks=torch.stack([points[name] for name in LANDMARKS], 1),
            points=points,
            openness=torch.stack((openness, openness), 1),
        )

    def landmarks(self, subject: Subject) -> Tensor:
        """The landmarks (B, 5, 3) that `place` gives, the same bits, without the face around them."""
        moved = self._landmark_bend.place(subject.traits | expression.coefficients(subject))
        return moved.transpose(1, 2).contiguous()

    def _landmark_points(self) -> Tensor:
        """Where `Bend.place` has the landmarks, none of which moves with the lids: int64 (5,)."""
        every = torch.arange(len(self.canonical) + 2 * len(INNER_POINTS), device=self.canonical.device)
        places = self._points(*every.expand(1, 3, -1).tensor_split([len(self.canonical)], 2))
        return torch.stack([places[name][0, 0] for name in LANDMARKS])

    def _points(self, skin: Tensor, further: Tensor) -> dict[str, Tensor]:
        pairs = [f"{name}{side}" for side in ("_left", "_right") for name in INNER_POINTS]
        places = (*skin[:, :, self._skin_point].unbind(2), *further.unbind(2))
        return dict(zip((*self._skin_point_names, *pairs), places, strict=True))

    def _normals(self, planar: Tensor) -> Tensor:
        """Unit normals (B, 3, N) from the neighbours on the skin of vertices (B, 3, N)."""
        right, left, up, down = (planar[:, :, index] for index in self._neighbours)
        (ax, ay, az), (bx, by, bz) = (right - left).unbind(1), (up - down).unbind(1)
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        return torch.stack((x, y, z), 1) / (x * x + y * y + z * z + 1e-20).sqrt()[:, None]


def _regions(mean: Template) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Vertices of the scalp, of the beard's area with a wide margin, and of the ears."""
    _, y, z = mean.points.T
    ear = np.arange(len(y)) >= mean.ear_start
    hairline = 6.2 + 0.25 * np.minimum(z, 0)
    scalp = ~ear & (((y > hairline) & (z > 0)) | ((z <= 1.5) & (y > -6.5)))
    beard = ~ear & (y < -1.0) & (y > -13.5) & (z > 0.5)
    return np.flatnonzero(scalp), np.flatnonzero(beard), np.flatnonzero(ear)


def _occlusion(mean: Template, normals: Array, nostril: Array) -> Array:
    """Share of the sky (N,) that reaches the mean face, with the openings of nose and ears darkened."""
    seen = sky_seen(mean.points, normals, mean.faces)
    lifted: Array = seen + INTERREFLECTION * seen * (1 - seen)
    return lifted * (1 - NOSTRIL_DARKNESS * nostril) * (1 - CANAL_DARKNESS * ears.canal(mean.points))


def _nearest(mean: Template) -> Mapping[str, int]:
    """The vertex of the head at each of `SKIN_POINTS`."""
    skin, off_line = mean.points[: mean.ear_start], (mean.lip_v != 0)[: mean.ear_start]
    found = {}
    for name, place in SKIN_POINTS.items():
        for suffix, side in (("_left", -1), ("_right", 1)) if place[0] else (("", 1),):
            away = (skin - np.array(place) * (side, 1, 1)) ** 2
            unfit = away[:, 0] + FAR * off_line if name in LIP_POINTS else np.sum(away, 1)
            found[name + suffix] = int(np.argmin(unfit))
    return found


def _fields(mean: Template) -> tuple[Fields, Fields]:
    """Even and odd displacements per unit of every coefficient, of the left half and of `INNER_POINTS`."""
    half = left_half(mean)
    skin, side = mean.points[half], mean.lip_side[half]
    inner = np.array([along for _, along, _ in INNER_POINTS.values()]) * (-1, 1, 1)
    with_jaw = np.array([share for _, _, share in INNER_POINTS.values()])[:, None]
    points = np.concatenate((skin, inner))
    drop = np.concatenate((jaw_drop(skin, side), with_jaw * jaw_drop(inner, np.full(len(inner), -1.0))))
    lift = np.concatenate((lip_lift(skin, side), np.zeros_like(inner)))
    even: Fields = {"jaw": drop, "lip_lift": lift}
    odd: Fields = {}
    for name, moves in [*((trait.name, trait.moves) for trait in SHAPE_TRAITS), *expression.CHANGES.items()]:
        for fields, field in zip((even, odd), displacement(moves, points), strict=True):
            if np.abs(field).max() > 0:
                fields[name] = field
    return even, odd
