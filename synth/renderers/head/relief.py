"""The relief of the mean face on the bare head: bumps and hollows, nose, lips, eyelids over eyeballs.

Forms are heights above the plane z = 0, as functions of (x, y); smooth maxima join them to the skin around. Everything
here is computed once, in float64. This module does not know the mesh, nor how people differ.

Shapes: any, elementwise; x and y in cm.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from synth.renderers.head import anatomy
from synth.renderers.head.loft import natural_spline

Array = NDArray[np.float64]

#: name: centre x, y | radius x, y | degrees of turn (towards the middle below) | height, cm. Mirrored where x > 0.
FORMS: Final = {
    "orbit": (3.10, 0.15, 1.90, 1.35, 0.0, -0.55),
    "orbit, inner": (1.75, 0.75, 0.70, 0.80, 0.0, -0.45),
    "brow ridge": (2.90, 2.05, 2.00, 0.60, 0.0, 0.26),
    "temple": (6.40, 3.20, 1.20, 2.20, 0.0, -0.25),
    "cheekbone": (5.00, -1.90, 1.60, 1.10, -25.0, 0.42),
    "cheek hollow": (4.90, -5.20, 1.10, 1.80, 20.0, -0.28),
    "cheek": (3.30, -3.70, 1.50, 1.50, 0.0, 0.22),
    "nasolabial fold": (2.70, -5.40, 0.42, 1.40, -28.0, -0.13),
    "mentolabial fold": (0.00, -8.45, 1.50, 0.40, 0.0, -0.16),
    "chin": (0.00, -10.10, 1.50, 0.95, 0.0, 0.35),
    "philtrum": (0.00, -5.70, 0.26, 0.55, 0.0, -0.09),
    "philtrum column": (0.46, -5.75, 0.20, 0.55, 8.0, 0.07),
    "mouth corner": (2.75, -7.00, 0.40, 0.50, 0.0, -0.18),
    "tear trough": (2.30, -1.20, 1.00, 0.40, -25.0, -0.10),
}

#: the nose on the midline: y, z of the ridge | half width of the roof | drop of the wall per cm beside the roof
RIDGE: Final = np.array(
    [
        (1.60, 8.80, 0.60, 1.2),
        (0.60, 9.20, 0.55, 1.4),
        (-0.80, 9.95, 0.50, 1.7),
        (-2.40, 10.85, 0.50, 1.9),
        (-3.60, 11.50, 0.55, 2.0),
        (-4.20, 11.62, 0.55, 2.1),
        (-4.60, 11.10, 0.50, 2.2),
        (-5.00, 10.20, 0.40, 2.2),
        (-5.40, 9.30, 0.40, 2.2),
    ]
)
#: centre x, y, z | radii x, y, z of the balls that make the tip and the wings
BALLS: Final = ((0.00, -3.95, 10.75, 0.85, 0.80, 0.98), (1.12, -4.35, 9.75, 0.64, 0.68, 0.95))
NOSTRIL: Final = (0.62, -4.80, 0.36, 0.24, -25.0, -0.75)  # like FORMS

LID_THICKNESS: Final = 0.13
#: half axes of the body over which the lids are draped: wider than the eyeball, so that it carries the corners too
EYE_BODY: Final = (1.85, 1.30, anatomy.EYEBALL_RADIUS)


def bump(x: Array, y: Array, form: tuple[float, ...]) -> Array:
    """A Gaussian bump and its mirror image: form as in `FORMS`."""
    centre_x, centre_y, radius_x, radius_y, turn, height = form
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    total = np.zeros_like(x)
    for side in (1.0, -1.0) if centre_x > 0 else (1.0,):
        dx, dy = side * x - centre_x, y - centre_y
        along, across = (cos * dx - sin * dy) / radius_x, (sin * dx + cos * dy) / radius_y
        total += height * np.exp(-(along**2) - across**2)
    return total


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
    return np.where(inside > 0, centre_z + radius_z * np.sqrt(np.maximum(inside, 0)), centre_z + 2 * inside)


def nose(x: Array, y: Array) -> Array:
    """Height of the nose, far below the face where there is none."""
    ridge, roof, wall = np.moveaxis(natural_spline(-RIDGE[:, 0], RIDGE[:, 1:], -np.clip(y, -5.4, 1.6).ravel()), -1, 0).reshape(3, *y.shape)
    beside = np.sqrt(x**2 + roof**2) - roof
    height = ridge - wall * beside - 3 * np.maximum(y - 1.6, 0) - 6 * np.maximum(-5.4 - y, 0)
    for ball in BALLS:
        height = smooth_max(height, _ball(x, y, ball), 0.35)
    return height + bump(x, y, NOSTRIL)


def lip_line(x: Array) -> Array:
    """Height y at which the lips meet."""
    u = np.clip(np.abs(x) / anatomy.MOUTH_CORNER[0], 0, 1.4)
    return anatomy.STOMION[1] + 0.10 * np.exp(-((u / 0.2) ** 2)) * -0.4 + 0.06 * u**2 - 0.10 * np.exp(-(((u - 0.55) / 0.25) ** 2)) * 0.5


def _lip_taper(x: Array) -> Array:
    return np.clip(1 - (x / anatomy.MOUTH_CORNER[0]) ** 2, 0, 1)


def upper_lip_height(x: Array) -> Array:
    """Height of the red of the upper lip over the lip line, cm: two peaks beside the dip of cupid's bow."""
    bow = 0.16 * np.exp(-((x / 0.28) ** 2))
    return (anatomy.UPPER_LIP_HEIGHT + 0.04 - bow) * _lip_taper(x) ** 0.75 + 0.03


def lower_lip_height(x: Array) -> Array:
    """Height of the red of the lower lip under the lip line, cm."""
    return anatomy.LOWER_LIP_HEIGHT * _lip_taper(x) ** 0.8 + 0.03


def lips(x: Array, y: Array) -> Array:
    """Swelling of the lips, cm."""
    v = y - lip_line(x)
    taper = _lip_taper(x)
    share = np.where(v > 0, v / upper_lip_height(x), -v / lower_lip_height(x))
    fall = np.where(share < 1, 1 - (2 * share - 1) ** 2 * np.where(share < 0.5, 0.8, 0.6), 0.4 * np.exp(-((share - 1) / 0.5)))
    return fall * taper**0.6 * np.where(v > 0, 0.42, 0.45)


def lid_curve(dx: Array, upper: bool) -> Array:
    """Height of a lid's margin above the pupil; dx is measured from the pupil, outwards."""
    u = np.clip(dx / anatomy.EYE_HALF_WIDTH, -1, 1)
    tilt = 0.07 * u
    if upper:
        return tilt + anatomy.EYE_HALF_HEIGHT * (1 - np.abs(u) ** 2.3) * (1 - 0.15 * u)
    return tilt - anatomy.EYE_HALF_HEIGHT * (1 - np.abs(u) ** 2.2) * (1 + 0.12 * u)


def eye_body(dx: Array, dy: Array, thickness: Array) -> Array:
    """Height z of the body under the lids, swollen by `thickness`; far below outside of it."""
    inside = 1 - (dx / (EYE_BODY[0] + thickness)) ** 2 - (dy / (EYE_BODY[1] + thickness)) ** 2
    depth = EYE_BODY[2] + thickness
    return anatomy.EYEBALL_CENTRE[2] + depth * np.where(inside > 0.04, np.sqrt(np.maximum(inside, 0.04)), 0.2 + 2.5 * (inside - 0.04))


def lid_thickness(dx: Array) -> Array:
    """Thickness of the lids, cm: none at the corners of the eye."""
    return LID_THICKNESS * np.clip(1 - (dx / anatomy.EYE_HALF_WIDTH) ** 4, 0, 1)


def face_relief(points: Array, aperture: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Heights z of the mean face over the bare head's points (..., 3), and how far each vertex lies on an eyeball's body.

    Inside the apertures the height is the eyeball's.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    front = np.clip((z - 0.5) / 2.5, 0, 1)
    dx = np.abs(x) - anatomy.EYE_X
    skin = z + front * sum((bump(x, y, form) for form in FORMS.values()), np.zeros_like(x)) + front * lips(x, y)
    lids, ahead = eye_body(dx, y, lid_thickness(dx)), front > 0.9
    drape = np.where(ahead, lead(lids, skin, 0.35), 0)
    height = np.where(ahead, smooth_max(lids, skin, 0.35), skin)
    ridge = nose(x, y)
    drape = drape * (1 - np.where(ahead, lead(ridge, height, 0.45), 0))
    height = np.where(ahead, smooth_max(ridge, height, 0.45), height)
    return np.where(aperture, eye_body(dx, y, np.zeros_like(x)), height), np.where(aperture, 1.0, drape)
