"""The face: one mesh of head, ears and neck, bent for every picture by traits, expression and age.

    mean head + linear moves (traits, expression, age) -> lids slide over the eyeballs -> normals

All linear moves come from one exact matrix product per group of coefficients; features move with their relief, and what
is painted in canonical coordinates moves along. This module does not know colours.

Shapes: B pictures, N vertices, M points of the half at x <= 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.renderers.head import anatomy, expression
from synth.renderers.head.cavity import sky_seen
from synth.renderers.head.exact import PRODUCT_STEP, quantise_basis, quantise_coefficients
from synth.renderers.head.expression import ATTRIBUTES
from synth.renderers.head.jaw import jaw_drop, lip_lift
from synth.renderers.head.moves import displacement
from synth.renderers.head.relief import EYE_BODY, LID_THICKNESS
from synth.renderers.head.shape import SHAPE_TRAITS, TRAITS
from synth.renderers.head.template import FAR, Template, smooth_step, template
from synth.renderers.head.traits import Subject

__all__ = ["ATTRIBUTES", "TRAITS", "Face", "PlacedFace"]

Array = NDArray[np.float64]

#: places on the skin: the nearest vertex is read; those with x > 0 give a pair, NAME_left at x < 0 and NAME_right
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
#: places inside: position, where on the skin they move with, jaw (1: with the lower jaw)
INNER_POINTS: Final = {
    "eye": (anatomy.EYEBALL_CENTRE, (anatomy.EYE_X, 0.0, 8.0), 0.0),
    "pupil": ((anatomy.EYE_X, 0.0, anatomy.EYE_FRONT_Z), (anatomy.EYE_X, 0.0, 8.0), 0.0),
    "upper_teeth": ((0.0, -7.1, 9.2), (0.0, -6.4, 9.5), 0.0),
    "lower_teeth": ((0.0, -7.1, 9.0), (0.0, -9.0, 9.2), 1.0),
}
PATCH_CM: Final = 3.0  # height of a patch of points that share a basis
NEGLIGIBLE_CM: Final = 1e-3  # displacement per unit of a coefficient that is left out
LANDMARKS: Final = ("pupil_left", "pupil_right", "nose_tip", "mouth_left", "mouth_right")


@dataclass(frozen=True)
class PlacedFace:
    """B placed faces. In names of points, left is the picture's left: x < 0."""

    positions: Tensor  # float32 (B, N, 3), cm
    normals: Tensor  # float32 (B, N, 3), unit
    occlusion: Tensor  # float32 (B, N), 1 is open
    landmarks: Tensor  # float32 (B, 5, 3), in the order of `synth.renderer.TEMPLATE_PX`
    points: dict[str, Tensor]  # (B, 3) each: `SKIN_POINTS` and `INNER_POINTS`, pairs with _left and _right
    openness: Tensor  # float32 (B, 2): opening of the eye on the left and right as a share of the open eye's, 0 shut


class _Patch:
    """Neighbouring points and the few coefficients that move any of them, as one quantised basis."""

    def __init__(self, fields: Array, points: NDArray[np.int64], device: torch.device | str) -> None:
        """`fields` (K, M, 3), `points` (n,) among the M."""
        here = np.where(np.abs(fields[:, points]) < NEGLIGIBLE_CM, 0, fields[:, points])
        moving = np.abs(here).max((1, 2)) > 0
        moving[0] = True  # never empty
        active = np.flatnonzero(moving)
        self.active = torch.tensor(active, device=device)
        self.basis = quantise_basis(torch.tensor(here[active].transpose(0, 2, 1).reshape(len(active), -1))).to(device)


def _displaced(patches: Sequence[_Patch], coefficients: Tensor) -> Tensor:
    """Displacements (B, 3, M) of all patches' points, in the order of the patches, for coefficients (B, K).

    Exact like `exact.exact_product`, one small product per patch.
    """
    whole = quantise_coefficients(coefficients)
    pieces = [(whole[:, patch.active] @ patch.basis).unflatten(1, (3, -1)) for patch in patches]
    return (torch.cat(pieces, 2) * PRODUCT_STEP).float()


class Face:
    """The mesh of the head and how it bends. All tensors are constant after construction.

    `canonical` (N, 3) is the mean face: paint and masks are functions of it. `faces` (F, 3). `follow` (N,).
    `eye_u` is -1 at the inner and +1 at the outer corner of the eye; `eye_v` is 0 on the lower and 1 on the upper lid
    margin, centimetres beyond them outside; `aperture` is 1 where the eyeball shows. `lip_u` is 1 at the mouth's corner;
    `lip_v` is 0 where the lips meet, +-1 on the border of the upper and lower red; `lip_side` tells the two copies of the
    lip line apart. All of these are 99 (`FAR`) far away. `scalp`, `beard`, `ears` are index tensors.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        mean = template()
        self.device = device
        self.canonical = self._tensor(mean.points)
        self.faces = torch.tensor(mean.faces, device=device)
        self.follow = self._tensor(smooth_step((mean.points[:, 1] + 18.5) / 6.0))
        self.eye_u, self.eye_v = self._tensor(mean.eye_u), self._tensor(mean.eye_v)
        self.aperture = self._tensor(mean.aperture)
        self.lip_u, self.lip_v, self.lip_side = (self._tensor(v) for v in (mean.lip_u, mean.lip_v, mean.lip_side))
        self._neighbours = [torch.tensor(row, device=device) for row in mean.neighbours]
        self._base = self.canonical.T.contiguous()
        self._set_regions(mean)
        self._set_moves(mean)
        self._set_lids(mean)
        normals = self._normals(self._base[None])[0].T.double().cpu().numpy()
        self.occlusion = self._tensor(sky_seen(mean.points, normals, mean.faces))

    def _tensor(self, values: Any) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32, device=self.device)

    def _set_regions(self, mean: Template) -> None:
        x, y, z = np.abs(mean.points.T[0]), mean.points.T[1], mean.points.T[2]
        index = np.arange(len(x))
        ear = index >= mean.ear_start
        scalp = ~ear & ((y > 6.2 + 0.25 * np.minimum(z, 0)) & (z > 0) | (z <= 1.5) & (y > -6.5))
        beard = ~ear & (y < -1.0) & (y > -13.5) & (z > 0.5) & (x + 0.5 * np.abs(y + 7) > 0)
        self.ears, self.scalp, self.beard = (torch.tensor(index[m], device=self.device) for m in (ear, scalp, beard))

    def _set_moves(self, mean: Template) -> None:
        """Bases of all linear moves on the half at x <= 0, and how the whole is put together from halves."""
        count, columns = mean.ear_start, mean.columns
        column = np.arange(count) % columns
        ear_size = (len(mean.points) - count) // 2
        half = np.concatenate((np.flatnonzero(column <= columns // 2), count + np.arange(ear_size)))
        inner = np.array([along for _, along, _ in INNER_POINTS.values()]) * (-1, 1, 1)
        points = np.concatenate((mean.points[half], inner))
        fields = self._fields(mean, points, half)
        patch = np.unique(np.floor(points[:, 1] / PATCH_CM), return_inverse=True)[1]
        self._even, self._odd = (
            [
                _Patch(np.stack(list(kind.values())), np.flatnonzero(patch == i), self.device)
                for i in range(patch.max() + 1)
            ]
            for kind in fields
        )
        self._names = [list(kind) for kind in fields]
        place = np.empty(len(points), np.int64)
        place[np.argsort(patch, kind="stable")] = np.arange(len(points))
        position = np.full(len(mean.points), -1)
        position[half] = place[: len(half)]
        whole = np.where(position >= 0, position, position[mean.mirror] + len(points))
        pairs = place[len(half) :]
        self._whole = torch.tensor(np.concatenate((whole, pairs, pairs + len(points))), device=self.device)
        self._base_all = self._tensor(np.concatenate((mean.points, *self._inner_positions())).T)
        self._skin_points = self._nearest(mean)

    def _inner_positions(self) -> tuple[Array, Array]:
        right = np.array([position for position, _, _ in INNER_POINTS.values()])
        return right * (-1, 1, 1), right

    def _fields(
        self, mean: Template, points: Array, half: NDArray[np.int64]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Even and odd displacements of every coefficient at the points: {name: (M, 3)}."""
        on_skin = len(half)
        jaw = jaw_drop(points[:on_skin], mean.lip_side[half])
        inner = [
            share * jaw_drop(points[on_skin + i :][:1], np.array([-1.0]))
            for i, (*_, share) in enumerate(INNER_POINTS.values())
        ]
        lift = np.concatenate((lip_lift(points[:on_skin], mean.lip_side[half]), np.zeros((len(inner), 3))))
        even: dict[str, Array] = {"jaw": np.concatenate((jaw, *inner)), "lip_lift": lift}
        odd: dict[str, Array] = {}
        for name, moves in [(t.name, t.moves) for t in SHAPE_TRAITS] + list(expression.CHANGES.items()):
            for kind, field in zip((even, odd), displacement(moves, points), strict=True):
                if np.abs(field).max() > 0:
                    kind[name] = field
        return even, odd

    def _nearest(self, mean: Template) -> dict[str, int]:
        """The vertex of the head at each of `SKIN_POINTS`; of the mouth, on the line between the lips."""
        found = {}
        skin = mean.points[: mean.ear_start]
        off_line = (mean.lip_v != 0)[: mean.ear_start]
        for name, place in SKIN_POINTS.items():
            for suffix, side in (("_left", -1), ("_right", 1)) if place[0] else (("", 1),):
                away = (skin - np.array(place) * (side, 1, 1)) ** 2
                on_lips = name in ("mouth", "stomion")
                found[name + suffix] = int(np.argmin(away[:, 0] + FAR * off_line if on_lips else np.sum(away, 1)))
        return found

    def _set_lids(self, mean: Template) -> None:
        """Vertices around the eyes, how they follow the lids, and where they lie on the eyeball's body."""
        x, y, _ = mean.points.T
        near = np.flatnonzero((np.abs(mean.eye_u) < 1.7) & (np.abs(y) < 2.2))
        u, v = np.abs(mean.eye_u[near]), mean.eye_v[near]
        corner = 1 - smooth_step((u - 1) / 0.3)
        self._lids = torch.tensor(near, device=self.device)
        self._lid_margins = torch.tensor(mean.margins[:, near], device=self.device)
        self._with_upper = self._tensor(corner * np.where(v > 1, 1 - smooth_step((v - 1) / 1.1), np.clip(v, 0, 1)))
        self._with_lower = self._tensor(corner * np.where(v < 0, 1 - smooth_step(-v / 0.9), np.clip(1 - v, 0, 1)))
        self._lid_side = self._tensor(np.where(x[near] > 0, 1.0, -1.0))
        self._lid_eye = torch.tensor((x[near] > 0).astype(np.int64), device=self.device)
        dx = np.abs(x[near]) - anatomy.EYE_X
        thick = LID_THICKNESS * np.clip(1 - (dx / anatomy.EYE_HALF_WIDTH) ** 4, 0, 1)
        self._thickness = self._tensor(np.where(mean.aperture[near], 0, thick))
        self._drape, self._shown = self._tensor(mean.drape[near]), self._tensor(mean.aperture[near])
        self._body_start = self._body(self._tensor(dx), self._tensor(y[near]))

    def _body(self, dx: Tensor, dy: Tensor) -> Tensor:
        """Height of the body under the lids over the eyeball's centre, as `relief.eye_body`."""
        inwards, outwards, upwards, ahead = EYE_BODY
        across = dx / (torch.where(dx > 0, outwards, inwards) + self._thickness)
        up = dy / (upwards + self._thickness)
        inside = 1 - across * across - up * up
        height = torch.where(inside > 0.04, inside.clamp(min=0.04).sqrt(), 0.2 + 2.5 * (inside - 0.04))
        return height * (ahead + self._thickness)

    def place(self, subject: Subject) -> PlacedFace:
        """Place the faces of B pictures."""
        moved = self._moved(subject)
        count = self.canonical.shape[0]
        inner = moved[:, :, count:]
        planar = moved[:, :, :count]
        names = len(INNER_POINTS)
        points = {name: planar[:, :, vertex] for name, vertex in self._skin_points.items()}
        for i, name in enumerate(INNER_POINTS):
            points[f"{name}_left"], points[f"{name}_right"] = inner[:, :, i], inner[:, :, names + i]
        planar, openness = self._draped(planar, points, subject)
        normals = self._normals(planar)
        positions = planar.transpose(1, 2).contiguous()
        return PlacedFace(
            positions=positions,
            normals=normals.transpose(1, 2).contiguous(),
            occlusion=self.occlusion.expand(len(positions), -1),
            landmarks=torch.stack([points[name] for name in LANDMARKS], 1),
            points=points,
            openness=openness,
        )

    def _moved(self, subject: Subject) -> Tensor:
        """All vertices and inner points after the linear moves: (B, 3, N + 2 * inner points)."""
        coefficients = subject.traits | expression.coefficients(subject)
        even, odd = (
            _displaced(patches, torch.stack([coefficients[name] for name in names], 1))
            for patches, names in zip((self._even, self._odd), self._names, strict=True)
        )
        mirror = even.new_tensor((-1.0, 1.0, 1.0))[:, None]
        both = torch.cat((even + odd, (even - odd) * mirror), 2)
        return both[:, :, self._whole] + self._base_all

    def _draped(self, planar: Tensor, points: dict[str, Tensor], subject: Subject) -> tuple[Tensor, Tensor]:
        """Close the lids as far as the expression says and lay them over the eyeballs."""
        centre = torch.stack((points["eye_left"], points["eye_right"]), 2)[:, :, self._lid_eye]
        x, y, z = planar[:, :, self._lids].unbind(1)
        bottom, top = planar[:, 1, self._lid_margins[0]], planar[:, 1, self._lid_margins[1]]
        gap = top - bottom
        y = torch.where(self._shown > 0, bottom + gap * self._with_upper, y)
        upper, lower = expression.lids_closing(subject)
        y = y - gap * (upper[:, None] * self._with_upper - lower[:, None] * self._with_lower)
        body = self._body((x - centre[:, 0]) * self._lid_side, y - centre[:, 1])
        draped = z + self._drape * (body - self._body_start)
        z = torch.where(self._shown > 0, centre[:, 2] + body, draped)
        planar = planar.index_copy(2, self._lids, torch.stack((x, y, z), 1))
        openness = (1 - upper - lower).clamp(0.0, 1.2)
        return planar, torch.stack((openness, openness), 1)

    def _normals(self, planar: Tensor) -> Tensor:
        """Unit normals (B, 3, N) from neighbours on the skin."""
        right, left, up, down = (planar[:, :, index] for index in self._neighbours)
        (ax, ay, az), (bx, by, bz) = (right - left).unbind(1), (up - down).unbind(1)
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        return torch.stack((x, y, z), 1) / (x * x + y * y + z * z + 1e-20).sqrt()[:, None]
