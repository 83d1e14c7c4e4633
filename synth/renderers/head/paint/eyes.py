"""The eyeball in its aperture: sclera, iris, pupil, tear duct, the shadow of the lid and the wet shine.

Works in the lid coordinates of the mesh: u from -1 (inner corner) to 1 (outer corner), v from 0 (lower margin) to 1
(upper margin). The iris is found from where the vertices really are on the eyeball, so it stays round and looks where
it should while the lids slide over it. This module does not know how the lids move.

Shapes: B pictures, n vertices between the lid margins of both eyes.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal
from synth.renderers.head import anatomy
from synth.renderers.head.mesh import unit
from synth.renderers.head.paint import masks
from synth.renderers.head.paint.canvas import Canvas, constant, mix
from synth.renderers.head.paint.colours import share_below
from synth.renderers.head.paint.sitter import Sitter
from synth.renderers.head.traits import Trait

TRAITS: tuple[Trait, ...] = (
    Trait("iris_melanin", "eyes from blue to dark brown", {"ancestry_b": 0.25}, fixed=True),
    Trait("iris_size", "small or large iris", fixed=True),
)
HABITS = ("iris_green", "iris_ring", "sclera_warmth")
ATTRIBUTES: dict[str, Attribute] = {
    "gaze_x_deg": Attribute(
        "where the eyes look: positive is to the right of the picture",
        0.0,
        "degrees",
        -35.0,
        35.0,
        distribution=Normal(mean=0.0, std=7.0, low=-25.0, high=25.0),
    ),
    "gaze_y_deg": Attribute(
        "where the eyes look: positive is up",
        0.0,
        "degrees",
        -25.0,
        25.0,
        distribution=Normal(mean=-1.0, std=4.0, low=-14.0, high=12.0),
    ),
}

SCLERA = (0.38, 0.345, 0.32)
SCLERA_WARM = (0.0, -0.025, -0.07)  # relative change per standard deviation of warmth
SCLERA_RED = (0.94, 0.65, 0.64)  # factor towards the corners
TEAR_DUCT = (0.52, 0.24, 0.21)
#: Without melanin: blue, grey and green; with some and with much of it.
IRIS_COLOURS = (
    (0.115, 0.175, 0.245),
    (0.155, 0.175, 0.185),
    (0.125, 0.145, 0.075),
    (0.105, 0.052, 0.020),
    (0.028, 0.0135, 0.007),
)
#: Darkness from and up to which brown deepens, fills the inner and fills the outer iris.
BROWN_FROM, BROWN_TO = (0.45, 0.10, 0.28), (0.95, 0.38, 0.52)
#: The angles, in degrees, that eyes depend on.
ANGLES = ("gaze_x_deg", "gaze_y_deg", "light_azimuth_deg", "light_elevation_deg", "yaw_deg", "pitch_deg")
LID_SHADOW_CM = 0.19
GLINT, GLINT_RADIUS = 0.80, 0.078
CORNEA_RADIUS = 0.78
WET_GLOSS, WET_SHARPNESS = 0.08, 150.0
RADIANS = 3.14159265 / 180.0


class Lids(Protocol):
    """What eyes need of the face mesh."""

    canonical: Tensor  # (N, 3)
    eye_u: Tensor  # (N,)
    eye_v: Tensor  # (N,)
    aperture: Tensor  # (N,), 1 between the margins


class Opened(Protocol):
    """What eyes need of a placed face."""

    @property
    def positions(self) -> Tensor:
        """All vertices: (B, N, 3)."""

    @property
    def points(self) -> dict[str, Tensor]:
        """Places (B, 3) by name: eye_left and eye_right are the eyeballs' centres."""

    @property
    def openness(self) -> Tensor:
        """Of the left and right eye, 0 is shut: (B, 2)."""


def aperture_height(u: Tensor) -> Tensor:
    """Distance between the lid margins of the mean, open eye at u, cm."""
    return 2.0 * anatomy.EYE_HALF_HEIGHT * (1.0 - u.abs() * u * u.sign()).clamp(min=0.0)


class Eyes:
    """Both eyeballs, as far as the lids leave them open."""

    def __init__(self, face: Lids) -> None:
        self.index = (face.aperture > 0.5).nonzero()[:, 0]
        u, v = face.eye_u[self.index], face.eye_v[self.index].clamp(0.0, 1.0)
        self.side = (face.canonical[self.index, 0] > 0).long()  # 1 on the right of the picture
        height = aperture_height(u)
        below_lid, above_lid = (1.0 - v) * height, v * height
        shadow = 0.78 * torch.exp(-below_lid / LID_SHADOW_CM) + 0.22 * torch.exp(-above_lid / 0.07)
        corner = masks.smooth_step(0.55, 1.0, u.abs())
        self.light = (1.0 - shadow) * (1.0 - 0.35 * corner)
        red = (0.12 + 0.75 * masks.smooth_step(0.5, 1.0, u.abs()))[:, None]
        duct = masks.smooth_step(-0.80, -0.93, u)[:, None]
        self.tint = mix(1.0, torch.tensor(SCLERA_RED, device=u.device), red) * (1.0 - duct)
        self.duct = torch.tensor(TEAR_DUCT, device=u.device) * duct

    def paint(self, sitter: Sitter, placed: Opened, canvas: Canvas) -> None:
        """Paint the eyeballs where they lie between the lids; nearly shut eyes are dark."""
        centres = torch.stack((placed.points["eye_left"], placed.points["eye_right"]), 1)
        outward = unit(placed.positions.index_select(1, self.index) - centres[:, self.side])
        open_share = masks.smooth_step(0.03, 0.30, placed.openness)[:, self.side]
        light = self.light * open_share
        towards = _directions(sitter)
        gaze = torch.cat(towards.gaze, 1)[:, None]
        off_x, off_y, off_z = ((outward - gaze) * anatomy.EYEBALL_RADIUS).unbind(-1)
        radius = (off_x * off_x + off_y * off_y + off_z * off_z + 1e-8).sqrt()
        share = radius / (anatomy.IRIS_RADIUS * (1.0 + 0.085 * sitter.trait("iris_size").clamp(-2.0, 2.0)))
        iris = 1.0 - masks.smooth_step(0.93, 1.06, share)
        colour = mix(self._sclera(sitter), _iris(sitter, share, off_x / radius), iris[..., None])
        colour = mix(colour * light[..., None], GLINT, (_glint(sitter, towards, off_x, off_y) * light)[..., None])
        canvas.albedo.index_copy_(1, self.index, colour)
        canvas.normals.index_copy_(1, self.index, outward)
        canvas.gloss.index_copy_(1, self.index, WET_GLOSS * open_share)
        canvas.sharpness.index_fill_(1, self.index, WET_SHARPNESS)
        canvas.occlusion.index_copy_(1, self.index, 0.35 + 0.65 * light)

    def _sclera(self, sitter: Sitter) -> Tensor:
        """White of the eye, red at the corners, pink at the tear duct: (B, n, 3)."""
        device = self.light.device
        warmth = (0.6 + sitter.trait("sclera_warmth") + 0.8 * sitter.old).clamp(min=-0.6)
        tint = (1.0 + warmth * constant(SCLERA_WARM, device)) * (1.0 - 0.14 * sitter.melanin)
        white = constant(SCLERA, device) * tint
        return white[:, None] * self.tint + self.duct


def _iris(sitter: Sitter, share: Tensor, cosine: Tensor) -> Tensor:
    """Iris with pupil, fibres and dark ring, by distance from its centre in shares of its radius: (B, n, 3)."""
    inner, outer = _iris_colours(sitter)
    colour = mix(inner, outer, masks.smooth_step(0.35, 0.75, share)[..., None])
    ring = 0.62 + 0.18 * sitter.trait("iris_ring").clamp(-2.0, 2.0)
    tone = (1.0 + 0.16 * _twelve_fold(cosine)) * (1.0 - ring * masks.smooth_step(0.72, 1.0, share))
    return colour * (tone * masks.smooth_step(0.28, 0.38, share))[..., None] + 0.006


@dataclass(frozen=True)
class _Directions:
    """Where the eyes look and which way faces the lamp's image, as seen from the head; (B, 1) each."""

    gaze: tuple[Tensor, Tensor, Tensor]
    half_x: Tensor
    half_y: Tensor


def _directions(sitter: Sitter) -> _Directions:
    """Where the eyes look, and the normal halfway from lamp to camera with the head's pose roughly undone."""
    angles = sitter.attributes(ANGLES) * RADIANS
    right, up, azimuth, elevation, yaw, pitch = angles.sin().chunk(6, 1)
    right_cos, up_cos, azimuth_cos, elevation_cos, yaw_cos, pitch_cos = angles.cos().chunk(6, 1)
    half = unit(torch.cat((azimuth * elevation_cos, elevation, azimuth_cos * elevation_cos + 1.0), 1))
    x, y, z = half.chunk(3, 1)
    return _Directions((right * up_cos, up, right_cos * up_cos), x * yaw_cos - z * yaw, y * pitch_cos - z * pitch)


def _glint(sitter: Sitter, towards: _Directions, off_x: Tensor, off_y: Tensor) -> Tensor:
    """The lamp's image on the cornea, (B, n), at offsets (B, n) from the middle of the iris.

    The image never leaves the iris: a lamp too far aside is replaced by the brightest part of the room.
    """
    x = (CORNEA_RADIUS * (towards.half_x - 0.9 * towards.gaze[0])).clamp(-0.34, 0.34)
    y = (CORNEA_RADIUS * (towards.half_y - 0.9 * towards.gaze[1])).clamp(0.10, 0.32)
    sharp = 1.0 / (0.8 * GLINT_RADIUS + 0.4 * GLINT_RADIUS * sitter.attribute("light_softness"))
    across, up = (off_x - x) * sharp, (off_y - y) * sharp
    return torch.exp(-(across * across + up * up))


def _twelve_fold(cosine: Tensor) -> Tensor:
    """cos(12 angle) from the angle's cosine: spokes without an arc tangent."""
    square = cosine * cosine
    four = 8.0 * square * (square - 1.0) + 1.0
    return four * (4.0 * four * four - 3.0)


def _iris_colours(sitter: Sitter) -> tuple[Tensor, Tensor]:
    """Colours of the inner and the outer iris, (B, 1, 3) each: brown spreads outwards as melanin grows."""
    dark = share_below(0.8 * sitter.trait("iris_melanin") + 3.4 * sitter.tan - 0.9)
    green = 2.0 * share_below(sitter.trait("iris_green"))
    low, high, *colours = (constant(row, green.device) for row in (BROWN_FROM, BROWN_TO, *IRIS_COLOURS))
    blue, grey, leaf, light, deep = colours
    stroma = mix(mix(blue, grey, green.clamp(max=1.0)), leaf, (green - 1.0).clamp(min=0.0)) * (1.0 - 0.35 * sitter.tan)
    depth, inner, outer = masks.smooth_step(low, high, dark).chunk(3, 1)
    brown = mix(light * (1.0 - 0.4 * sitter.tan), deep, depth)
    return mix(stroma, brown, inner)[:, None], mix(stroma, brown, outer)[:, None]
