"""The bare head as a loft: rings of skin from the crown down to the foot of the neck, and the lattice that dices it.

A ring is drawn by three points (front, side, back) and runs like a modeller's edge loop: the lower ones follow the jaw
line and then the neck. Between rings the points follow cubic splines. What lies on top (nose, lips, lids, ...) is in
`relief`; this module knows only the large forms. Everything here is computed once, in float64.

Shapes: R rows from crown to neck, C columns from the back over the left side of the picture (-x), the face and +x to
the back again.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: front y, front z | side x, y, z | back y, z | leanness of the front curve: how far it lies inside an ellipse
RINGS: Final = np.array(
    [
        (11.20, -0.50, 0.00, 11.20, -0.50, 11.20, -0.50, 0.00),  # crown
        (10.75, 3.60, 3.90, 10.30, -0.70, 10.40, -4.60, 0.00),
        (9.40, 6.20, 6.00, 8.70, -0.80, 8.40, -7.60, 0.00),
        (7.00, 8.05, 6.95, 6.40, -0.90, 5.60, -9.10, -0.03),  # hairline
        (4.80, 9.05, 7.40, 4.20, -0.90, 3.00, -9.60, -0.03),
        (2.60, 9.45, 7.32, 2.20, -0.80, 1.00, -9.50, -0.03),  # brow
        (0.60, 9.15, 7.12, 0.30, -0.60, -1.00, -9.10, -0.05),  # eyes
        (-2.00, 8.98, 6.95, -2.00, -0.40, -3.40, -8.30, -0.04),  # cheekbones
        (-5.10, 9.55, 6.72, -4.50, 0.00, -5.80, -7.40, -0.03),  # foot of the nose
        (-6.90, 9.60, 6.30, -6.00, 0.20, -7.20, -6.90, -0.01),  # mouth
        (-8.40, 9.15, 5.70, -7.20, 0.50, -8.40, -6.60, 0.04),
        (-10.00, 9.30, 4.95, -8.40, 0.80, -9.60, -6.30, 0.10),  # chin
        (-11.15, 8.60, 4.35, -9.50, 0.50, -10.60, -6.20, 0.12),  # jaw line
        (-11.60, 7.10, 4.35, -10.60, -0.20, -11.60, -6.10, 0.05),  # under the jaw
        (-12.20, 5.10, 4.65, -12.40, -0.90, -12.80, -6.20, 0.00),  # throat
        (-14.80, 4.40, 5.05, -14.80, -1.30, -15.00, -6.60, 0.00),
        (-19.00, 3.60, 6.00, -18.60, -1.60, -18.60, -7.50, 0.00),  # foot of the neck
    ]
)

#: distance between rows along the front profile, cm, by ring
ROW_SPACING: Final = (
    (0.0, 1.40), (2.0, 0.90), (3.0, 0.50), (4.0, 0.33), (4.7, 0.17), (5.3, 0.13), (5.65, 0.10), (6.0, 0.075),
    (6.35, 0.075), (6.6, 0.15), (7.0, 0.20), (7.7, 0.13), (8.0, 0.11), (8.3, 0.14), (8.6, 0.11), (9.0, 0.085),
    (9.5, 0.12), (10.0, 0.18), (11.0, 0.24), (12.0, 0.30), (13.0, 0.60), (14.0, 0.90), (16.0, 1.30),
)  # fmt: skip

#: distance between columns, as an angle in degrees, by angle from the front
COLUMN_SPACING: Final = (
    (0.0, 0.95), (9.0, 0.95), (13.0, 0.86), (38.0, 0.86), (45.0, 1.3), (60.0, 3.2), (90.0, 7.5), (120.0, 11.0),
    (180.0, 14.0),
)  # fmt: skip


@dataclass(frozen=True)
class Lattice:
    """Where the rows and columns of the head's grid lie."""

    ring: Array  # (R,) ring number, fractional
    angle: Array  # (C,) radians from the front, -pi to pi

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.ring), len(self.angle)


def natural_spline(knots: Array, values: Array, at: Array) -> Array:
    """The natural cubic spline through values (n, ...) at knots (n,), evaluated at (m,): (m, ...)."""
    step = np.diff(knots).reshape(-1, *[1] * (values.ndim - 1))
    slope = np.diff(values, axis=0) / step
    bend = np.zeros_like(values)
    diagonal, right = np.ones_like(knots), np.zeros_like(values)
    for i in range(1, len(knots) - 1):  # Thomas algorithm, unrolled over the few knots
        below, above = step[i - 1].flat[0], step[i].flat[0]
        ratio = below / diagonal[i - 1] if i > 1 else 0.0
        diagonal[i] = 2 * (below + above) - ratio * (below if i > 1 else 0.0)
        right[i] = 6 * (slope[i] - slope[i - 1]) - ratio * right[i - 1]
    for i in range(len(knots) - 2, 0, -1):
        bend[i] = (right[i] - step[i].flat[0] * bend[i + 1]) / diagonal[i]
    k = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    h, t = step[k], (at - knots[k]).reshape(-1, *[1] * (values.ndim - 1))
    return (
        values[k]
        + t * (slope[k] - h * (2 * bend[k] + bend[k + 1]) / 6)
        + t * t * bend[k] / 2
        + t**3 * (bend[k + 1] - bend[k]) / (6 * h)
    )


def _spread(position: Array, spacing: Array) -> Array:
    """Positions such that neighbours lie `spacing` apart, given both on a fine scale; ends are kept."""
    middle = 0.5 * (1 / spacing[1:] + 1 / spacing[:-1])
    count = np.concatenate(([0.0], np.cumsum(middle * np.diff(position))))
    return np.interp(np.linspace(0, count[-1], round(count[-1]) + 1), count, position)


def lattice() -> Lattice:
    """The rows and columns of the head."""
    fine = np.linspace(0, len(RINGS) - 1, 4001)
    front = natural_spline(np.arange(float(len(RINGS))), RINGS[:, :2], fine)
    length = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(front, axis=0).T))))
    knots, spacing = np.array(ROW_SPACING).T
    ring = np.interp(_spread(length, np.interp(fine, knots, spacing)), length, fine)
    degrees = np.linspace(0, 180, 3601)
    knots, spacing = np.array(COLUMN_SPACING).T
    half = np.radians(_spread(degrees, np.interp(degrees, knots, spacing)))
    return Lattice(ring, np.concatenate((-half[:0:-1], half)))


def loft(ring: Array, angle: Array) -> tuple[Array, Array]:
    """Points of the bare head at ring numbers (R,) and angles (C,), cm, and level unit vectors outwards: (R, C, 3)."""
    row = natural_spline(np.arange(float(len(RINGS))), RINGS, ring)[:, None]
    front_y, front_z, side_x, side_y, side_z, back_y, back_z, lean = np.moveaxis(row, -1, 0)
    sin, cos = np.sin(angle), np.cos(angle)
    ahead = cos > 0
    reach = np.where(ahead, (front_z - side_z) * (1 - lean * 4 * sin**2 * (1 - sin**2)), side_z - back_z)
    y = np.where(ahead, front_y, back_y)
    points = np.stack((side_x * sin, y + (side_y - y) * sin**2, side_z + reach * cos), -1)
    outwards = np.stack((reach * sin, 0 * reach, side_x * cos), -1)
    return points, outwards / np.sqrt(np.sum(outwards**2, -1, keepdims=True) + 1e-12)
