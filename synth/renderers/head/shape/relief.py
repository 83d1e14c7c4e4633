"""The relief of the mean face on the bare head: bumps and hollows, nose, lips, eyelids over eyeballs.

Forms are heights above the plane z = 0, as functions of (x, y); smooth maxima join them to the skin around. Everything
here is computed once, in float64. This module does not know the mesh, nor how people differ.

Shapes: any, elementwise; x and y in cm.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from synth.renderers.head import anatomy
from synth.renderers.head.shape.loft import natural_spline

Array = NDArray[np.float64]

#: name: centre x, y | radius x, y | degrees of turn (towards the middle below) | height, cm. Mirrored where x > 0.
FORMS: Final = {
    "orbit": (3.10, 0.60, 1.80, 1.10, 0.0, -0.52),
    "orbit, inner": (1.75, 0.70, 0.75, 0.85, 0.0, -0.36),
    "brow ridge": (3.00, 2.10, 2.00, 0.80, 0.0, 0.14),
    "temple": (6.60, 3.00, 1.30, 2.20, 0.0, -0.30),
    "cheekbone": (5.10, -1.90, 1.50, 1.10, -20.0, 0.24),
    "cheekbone, front": (4.10, -2.20, 1.30, 0.90, -15.0, 0.18),
    "cheek, low": (4.60, -5.80, 1.60, 1.70, 0.0, 0.09),
    "cheek": (3.60, -4.20, 1.70, 1.70, 0.0, 0.30),
    "jaw corner": (5.20, -7.60, 1.10, 1.30, 0.0, 0.08),
    "nasolabial fold": (2.60, -5.50, 0.50, 1.40, -28.0, -0.14),
    "beside the mouth": (3.20, -7.60, 0.80, 1.10, 0.0, -0.06),
    "mentolabial fold": (0.00, -8.50, 1.60, 0.45, 0.0, -0.16),
    "chin": (0.00, -10.10, 1.30, 0.95, 0.0, 0.36),
    "chin, side": (1.30, -10.60, 0.80, 0.70, 0.0, 0.12),
    "philtrum": (0.00, -5.75, 0.28, 0.55, 0.0, -0.07),
    "philtrum column": (0.50, -5.80, 0.28, 0.55, 8.0, 0.05),
    "mouth corner": (2.70, -6.90, 0.45, 0.45, 0.0, -0.10),
    "tear trough": (2.20, -1.25, 1.00, 0.45, -25.0, -0.10),
    "sternomastoid": (3.30, -14.50, 0.75, 4.20, -26.0, 0.28),
    "larynx": (0.00, -14.20, 0.75, 1.30, 0.0, 0.22),
}

#: the nose on the midline: y, z of the ridge | half width of the roof | drop of the wall per cm beside the roof
RIDGE: Final = np.array(
    [
        (2.80, 8.50, 0.80, 0.7),
        (1.60, 8.90, 0.70, 0.8),
        (0.60, 9.08, 0.60, 1.1),
        (-0.80, 9.85, 0.50, 1.55),
        (-2.40, 10.76, 0.48, 1.85),
        (-3.60, 11.45, 0.56, 1.95),
        (-4.20, 11.58, 0.60, 2.00),
        (-4.60, 11.10, 0.50, 2.2),
        (-5.00, 10.20, 0.40, 2.2),
        (-5.40, 9.30, 0.40, 2.2),
    ]
)
#: centre x, y, z | radii x, y, z of the balls that make the tip and the wings
BALLS: Final = ((0.00, -3.95, 10.52, 0.94, 0.92, 1.06), (1.02, -4.38, 9.35, 0.76, 0.80, 1.00))
WALL_FOOT: Final = 1.8  # cm from the midline; farther out the walls fall steeply
BALL_BLEND: Final = 0.7  # cm over which tip and wings round into the walls
BALL_RIM: Final = 0.15  # nearer to its rim a ball goes on as a cone: walls stay open to the lattice
NOSTRIL: Final = (0.60, -4.66, 0.30, 0.20, -25.0, -0.50)  # the hollow, like FORMS
NOSTRIL_OPENING: Final = (0.64, -4.70, 0.31, 0.15, -18.0)  # the dark opening, like FORMS without height

LID_THICKNESS: Final = 0.13
LID_BLEND: Final = 0.55  # cm over which lids and nose round into the skin beside them
NOSE_BLEND: Final = 0.62
#: half axes of the body over which the lids are draped (towards the nose, outwards, up, ahead): wider than the
#: eyeball, so that it carries the corners too
EYE_BODY: Final = (1.85, 1.57, 1.30, anatomy.EYEBALL_RADIUS)
BODY_RIM: Final = 0.04  # as `BALL_RIM`


def _within(x: Array, y: Array, form: tuple[float, ...]) -> tuple[Array, Array]:
    """Coordinates along and across a form (centre x, y | radius x, y | turn | ...), 1 at its radius."""
    centre_x, centre_y, radius_x, radius_y, turn = form[:5]
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    dx, dy = x - centre_x, y - centre_y
    return (cos * dx - sin * dy) / radius_x, (sin * dx + cos * dy) / radius_y


def bump(x: Array, y: Array, form: tuple[float, ...]) -> Array:
    """A Gaussian bump and its mirror image: form as in `FORMS`."""
    total = np.zeros_like(x)
    for side in (1.0, -1.0) if form[0] > 0 else (1.0,):
        along, across = _within(side * x, y, form)
        total += form[5] * np.exp(-(along**2) - across**2)
    return total


def nostril(points: Array) -> Array:
    """How far points (..., 3) lie in the opening of a nostril: 1 inside, 0 outside."""
    x, y, z = np.moveaxis(points, -1, 0)
    along, across = _within(np.abs(x), y, NOSTRIL_OPENING)
    return np.where(z > 8, np.clip(1.5 - 0.9 * (along**2 + across**2), 0, 1), 0)


def smooth_step(value: Array) -> Array:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(value, 0, 1)
    return t * t * (3 - 2 * t)


def smooth_max(a: Array, b: Array, radius: float) -> Array:
    """The larger of two heights, rounded where they are closer than `radius` (cm)."""
    blend = lead(a, b, radius)
    return b + (a - b) * blend + radius * blend * (1 - blend)


def lead(a: Array, b: Array, radius: float) -> Array:
    """Share of the first height in `smooth_max`."""
    return np.clip(0.5 + 0.5 * (a - b) / radius, 0, 1)


def _ball(x: Array, y: Array, ball: tuple[float, ...]) -> Array:
    centre_x, centre_y, centre_z, radius_x, radius_y, radius_z = ball
    inside = 1 - ((np.abs(x) - centre_x) / radius_x) ** 2 - ((y - centre_y) / radius_y) ** 2
    root = BALL_RIM**0.5
    return centre_z + radius_z * np.where(
        inside > BALL_RIM, np.sqrt(np.maximum(inside, BALL_RIM)), root + (inside - BALL_RIM) / (2 * root)
    )


def nose(x: Array, y: Array) -> Array:
    """Height of the nose, far below the face where there is none."""
    top, foot = RIDGE[0, 0], RIDGE[-1, 0]
    along = natural_spline(-RIDGE[:, 0], RIDGE[:, 1:], -np.clip(y, foot, top).ravel())
    ridge, roof, wall = along.T.reshape(3, *y.shape)
    beside = np.sqrt(x**2 + roof**2) - roof
    beside = beside + np.maximum(np.abs(x) - WALL_FOOT, 0) ** 2
    height: Array = ridge - wall * beside - 3 * np.maximum(y - top, 0) - 6 * np.maximum(foot - y, 0)
    for ball in BALLS:
        height = smooth_max(height, _ball(x, y, ball), BALL_BLEND)
    return height + bump(x, y, NOSTRIL)


def lip_line(x: Array) -> Array:
    """Height y at which the lips meet."""
    u = np.clip(np.abs(x) / anatomy.MOUTH_CORNER[0], 0, 1.4)
    return (
        anatomy.STOMION[1] - 0.04 * np.exp(-((u / 0.2) ** 2)) + 0.19 * u**2 - 0.05 * np.exp(-(((u - 0.55) / 0.25) ** 2))
    )


def _lip_taper(x: Array) -> Array:
    return np.clip(1 - (x / anatomy.MOUTH_CORNER[0]) ** 2, 0, 1)


def upper_lip_height(x: Array) -> Array:
    """Height of the red of the upper lip over the lip line, cm: two peaks beside the dip of cupid's bow."""
    u = np.clip(np.abs(x) / anatomy.MOUTH_CORNER[0], 0, 1)
    bow = 0.15 * np.exp(-((x / 0.30) ** 2))
    return (anatomy.UPPER_LIP_HEIGHT + 0.06 - bow) * (1 - u**1.7) + 0.03


def lower_lip_height(x: Array) -> Array:
    """Height of the red of the lower lip under the lip line, cm."""
    return anatomy.LOWER_LIP_HEIGHT * _lip_taper(x) ** 0.9 + 0.03


def lips(x: Array, y: Array) -> Array:
    """Swelling of the lips, cm: rolled in at the line between them, a soft ridge at their border."""
    v = y - lip_line(x)
    upper = v > 0
    share = np.abs(v) / np.where(upper, upper_lip_height(x), lower_lip_height(x))
    swell = np.where(upper, 0.35, 0.43) * np.sin(np.pi * np.clip(0.18 + 0.62 * share, 0, 1))
    beyond = np.where(upper, 0.24, 0.20) * np.exp(-np.maximum(share - 1, 0) / 0.6)
    join = np.clip(1.6 - share, 0, 1) ** 2 / (
        (np.clip(1.6 - share, 0, 1)) ** 2 + np.clip(share - 0.55, 0, 1) ** 2 + 1e-9
    )
    return (swell * join + beyond * (1 - join)) * _lip_taper(x)


def lid_curve(dx: Array, upper: bool) -> Array:
    """Height of a lid's margin above the pupil; dx is measured from the pupil, outwards."""
    u = np.clip(dx / anatomy.EYE_HALF_WIDTH, -1, 1)
    tilt = 0.07 * u
    if upper:
        return tilt + 0.94 * anatomy.EYE_HALF_HEIGHT * (1 - np.abs(u) ** 2.3) * (1 - 0.15 * u)
    return tilt - 0.96 * anatomy.EYE_HALF_HEIGHT * (1 - np.abs(u) ** 2.2) * (1 + 0.12 * u)


def eye_body(dx: Array, dy: Array, thickness: Array) -> Array:
    """Height z of the body under the lids, swollen by `thickness`; far below outside of it."""
    inwards, outwards, up, ahead = EYE_BODY
    inside = 1 - (dx / (np.where(dx > 0, outwards, inwards) + thickness)) ** 2 - (dy / (up + thickness)) ** 2
    cone = BODY_RIM**0.5 + (inside - BODY_RIM) / (2 * BODY_RIM**0.5)
    height = np.where(inside > BODY_RIM, np.sqrt(np.maximum(inside, BODY_RIM)), cone)
    return anatomy.EYEBALL_CENTRE[2] + (ahead + thickness) * height


def lid_thickness(dx: Array) -> Array:
    """Thickness of the lids, cm: none at the corners of the eye."""
    return LID_THICKNESS * np.clip(1 - (dx / anatomy.EYE_HALF_WIDTH) ** 4, 0, 1)


def forms(points: Array, outwards: Array) -> Array:
    """Displacement (..., 3) of the bare head's points (..., 3) by the soft forms, along the unit vectors `outwards`.

    Near the middle of the face it goes straight ahead, so that eyes and mouth keep their width.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    height = np.clip((z + 0.5) / 2.5, 0, 1) * sum((bump(x, y, form) for form in FORMS.values()), np.zeros_like(x))
    level = np.clip((np.abs(x) - 4.2) / 1.5, 0, 1)[..., None]
    direction = level * outwards + (1 - level) * np.array((0.0, 0.0, 1.0))
    moved: Array = height[..., None] * direction
    return moved


def face_relief(points: Array, aperture: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Heights z of the mean face over the bare head's points (..., 3), and how far each lies on an eyeball's body.

    Inside the apertures the height is the eyeball's.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    dx = np.abs(x) - anatomy.EYE_X
    skin = z + np.clip((z - 0.5) / 2.5, 0, 1) * lips(x, y)
    lids, ahead = eye_body(dx, y, lid_thickness(dx)), z > 2.8
    drape = np.where(ahead, lead(lids, skin, LID_BLEND), 0)
    height = np.where(ahead, smooth_max(lids, skin, LID_BLEND), skin)
    ridge = nose(x, y)
    drape = drape * (1 - np.where(ahead, lead(ridge, height, NOSE_BLEND), 0))
    height = np.where(ahead, smooth_max(ridge, height, NOSE_BLEND), height)
    return np.where(aperture, eye_body(dx, y, np.zeros_like(x)), height), np.where(aperture, 1.0, drape)
