"""The eyeball in its aperture: sclera, iris, pupil, tear duct, the shadow of the lid and the wet shine.

Works in the lid coordinates of the mesh: u from -1 (inner corner) to 1 (outer corner), v from 0 (lower margin) to 1
(upper margin). The iris is found from where the vertices really are on the eyeball, so it stays round and looks where it
should while the lids slide over it. This module does not know how the lids move.

Shapes: B pictures, n vertices between the lid margins of both eyes.
"""

from typing import Protocol

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal
from synth.renderers.head import anatomy, masks
from synth.renderers.head.axes import ageing
from synth.renderers.head.canvas import Canvas, column, mix
from synth.renderers.head.colours import share_below, skin_melanin
from synth.renderers.head.mesh import unit
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    Trait("iris_melanin", "eyes from blue to dark brown", {"ancestry_b": 0.25}, fixed=True),
    Trait("iris_green", "green or grey in light eyes", fixed=True),
    Trait("iris_size", "small or large iris", fixed=True),
    Trait("iris_ring", "dark ring around the iris", {"age": -0.2}, fixed=True),
    Trait("sclera_warmth", "white or yellowish eyeballs", {"age": 0.2}, fixed=True),
)
ATTRIBUTES: dict[str, Attribute] = {
    "gaze_x_deg": Attribute(
        "where the eyes look: positive is to the right of the picture", 0.0, "degrees", -35.0, 35.0,
        distribution=Normal(mean=0.0, std=7.0, low=-25.0, high=25.0),
    ),
    "gaze_y_deg": Attribute(
        "where the eyes look: positive is up", 0.0, "degrees", -25.0, 25.0,
        distribution=Normal(mean=-1.0, std=4.0, low=-14.0, high=12.0),
    ),
}

SCLERA = (0.47, 0.43, 0.40)
SCLERA_RED = (0.44, 0.28, 0.255)  # towards the corners
TEAR_DUCT = (0.52, 0.24, 0.21)
STROMA_BLUE, STROMA_GREY, STROMA_GREEN = (0.145, 0.225, 0.31), (0.20, 0.225, 0.235), (0.17, 0.20, 0.095)
BROWN_LIGHT, BROWN_DARK = (0.165, 0.078, 0.026), (0.028, 0.0135, 0.007)
PUPIL_RADIUS = 0.19
LID_SHADOW_CM = 0.17
GLINT, GLINT_RADIUS = 0.80, 0.078
CORNEA_RADIUS = 0.78
WET_GLOSS, WET_SHARPNESS = 0.25, 150.0
RADIANS = 3.14159265 / 180.0


class Lids(Protocol):
    """What eyes need of the face mesh."""

    canonical: Tensor  # (N, 3)
    eye_u: Tensor  # (N,)
    eye_v: Tensor  # (N,)
    aperture: Tensor  # (N,), 1 between the margins


class Opened(Protocol):
    """What eyes need of a placed face."""

    positions: Tensor  # (B, N, 3)
    points: dict[str, Tensor]  # (B, 3) each: eye_left and eye_right are the eyeballs' centres
    openness: Tensor  # (B, 2), left and right eye: 0 is shut


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
        shadow = 0.72 * torch.exp(-below_lid / LID_SHADOW_CM) + 0.22 * torch.exp(-above_lid / 0.07)
        corner = masks.smooth_step(0.55, 1.0, u.abs())
        self.light = (1.0 - shadow) * (1.0 - 0.35 * corner)
        self.red = (0.12 + 0.75 * masks.smooth_step(0.5, 1.0, u.abs())).clamp(max=1.0)
        self.duct = masks.smooth_step(-0.80, -0.93, u)

    def paint(self, subject: Subject, placed: Opened, canvas: Canvas) -> None:
        """Paint the eyeballs where they lie between the lids; nearly shut eyes are dark."""
        centres = torch.stack((placed.points["eye_left"], placed.points["eye_right"]), 1)
        outward = unit(placed.positions.index_select(1, self.index) - centres[:, self.side])
        open_share = masks.smooth_step(0.03, 0.30, placed.openness)[:, self.side]
        light = self.light * open_share
        gaze = _gaze(subject)
        off_x, off_y, off_z = ((outward - gaze[:, None]) * anatomy.EYEBALL_RADIUS).unbind(-1)
        radius = (off_x * off_x + off_y * off_y + off_z * off_z + 1e-8).sqrt()
        iris_radius = column(anatomy.IRIS_RADIUS * (1.0 + 0.045 * subject.traits["iris_size"]))
        share = radius / iris_radius
        iris = 1.0 - masks.smooth_step(0.93, 1.06, share)
        colour = mix(self._sclera(subject), self._iris(subject, share, off_x / radius), iris[..., None])
        colour = colour * light[..., None]
        glint = _glint(subject.attributes, gaze, off_x, off_y) * light
        colour = mix(colour, GLINT, glint[..., None])
        canvas.albedo.index_copy_(1, self.index, colour)
        canvas.normals.index_copy_(1, self.index, outward)
        canvas.gloss.index_copy_(1, self.index, WET_GLOSS * open_share)
        canvas.sharpness.index_fill_(1, self.index, WET_SHARPNESS)
        canvas.occlusion.index_copy_(1, self.index, 0.35 + 0.65 * light)

    def _sclera(self, subject: Subject) -> Tensor:
        """White of the eye, red at the corners, pink at the tear duct: (B, n, 3)."""
        warmth = (0.6 + subject.traits["sclera_warmth"] + 0.8 * ageing(subject)).clamp(min=-0.6)[:, None]
        tint = torch.tensor((0.0, -0.015, -0.04), device=warmth.device)
        white = torch.tensor(SCLERA, device=warmth.device) + warmth * tint - 0.05 * skin_melanin(subject)[:, None]
        red = white * torch.tensor([r / w for r, w in zip(SCLERA_RED, SCLERA, strict=True)], device=warmth.device)
        colour = mix(white[:, None], red[:, None], self.red[None, :, None])
        return mix(colour, torch.tensor(TEAR_DUCT, device=warmth.device), self.duct[None, :, None])

    @staticmethod
    def _iris(subject: Subject, share: Tensor, cosine: Tensor) -> Tensor:
        """Iris with pupil, fibres and dark ring, by distance from its centre in shares of its radius: (B, n, 3)."""
        inner, outer = _iris_colours(subject)
        colour = mix(inner[:, None], outer[:, None], masks.smooth_step(0.35, 0.75, share)[..., None])
        fibres = _twelve_fold(cosine)
        ring = column(0.62 + 0.18 * subject.traits["iris_ring"].clamp(-2.0, 2.0))
        tone = (1.0 + 0.16 * fibres) * (1.0 - ring * masks.smooth_step(0.72, 1.0, share))
        pupil = masks.smooth_step(0.28, 0.38, share)
        return colour * (tone * pupil)[..., None] + 0.006


def _gaze(subject: Subject) -> Tensor:
    """Unit vectors along which the eyes look: (B, 3)."""
    right, up = subject.attributes["gaze_x_deg"] * RADIANS, subject.attributes["gaze_y_deg"] * RADIANS
    return torch.stack((right.sin() * up.cos(), up.sin(), right.cos() * up.cos()), -1)


def _glint(attributes: dict[str, Tensor], gaze: Tensor, off_x: Tensor, off_y: Tensor) -> Tensor:
    """The lamp's image on the cornea, (B, n), at offsets (B, n) from the middle of the iris; `gaze` is (B, 3).

    The cornea mirrors the lamp where its normal halves the way from lamp to camera. The head's pose is undone roughly, and
    the image never leaves the iris: a lamp too far aside is replaced by the brightest part of the room.
    """
    azimuth, elevation = attributes["light_azimuth_deg"] * RADIANS, attributes["light_elevation_deg"] * RADIANS
    level = elevation.cos()
    half = unit(torch.stack((azimuth.sin() * level, elevation.sin(), azimuth.cos() * level + 1.0), -1))
    yaw, pitch = attributes["yaw_deg"] * RADIANS, attributes["pitch_deg"] * RADIANS
    x = half[:, 0] * yaw.cos() - half[:, 2] * yaw.sin()
    y = half[:, 1] * pitch.cos() - half[:, 2] * pitch.sin()
    x = (CORNEA_RADIUS * (x - 0.9 * gaze[:, 0])).clamp(-0.34, 0.34)
    y = (CORNEA_RADIUS * (y - 0.9 * gaze[:, 1])).clamp(0.10, 0.32)
    size = GLINT_RADIUS * (0.8 + 0.4 * attributes["light_softness"])
    across, up = (off_x - column(x)) / column(size), (off_y - column(y)) / column(size)
    return torch.exp(-across * across - up * up)


def _twelve_fold(cosine: Tensor) -> Tensor:
    """cos(12 angle) from the angle's cosine: spokes without an arc tangent."""
    square = cosine * cosine
    four = 8.0 * square * (square - 1.0) + 1.0
    return four * (4.0 * four * four - 3.0)


def _iris_colours(subject: Subject) -> tuple[Tensor, Tensor]:
    """Colours of the inner and the outer iris, (B, 3) each: brown spreads outwards as melanin grows."""
    traits = subject.traits
    dark = share_below(0.8 * traits["iris_melanin"] + 2.4 * share_below(traits["skin_melanin"]) - 0.7)
    green = share_below(traits["iris_green"])[:, None]
    device = green.device
    blue, grey, leaf, light, deep = (
        torch.tensor(c, device=device) for c in (STROMA_BLUE, STROMA_GREY, STROMA_GREEN, BROWN_LIGHT, BROWN_DARK)
    )
    stroma = mix(mix(blue, grey, (2.0 * green).clamp(max=1.0)), leaf, (2.0 * green - 1.0).clamp(min=0.0))
    brown = mix(light, deep, masks.smooth_step(0.45, 0.95, dark)[:, None])
    inner = mix(stroma, brown, masks.smooth_step(0.10, 0.38, dark)[:, None])
    outer = mix(stroma, brown, masks.smooth_step(0.28, 0.52, dark)[:, None])
    return inner, outer
