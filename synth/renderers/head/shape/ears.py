"""The mean ear: a polar patch from the bowl of the ear over its ridges to the rim and back to the skull.

Radii and heights come from profiles at three places of the rim (back, front, lobe), blended around the ear. This module
makes one ear, the one at x > 0; it does not know how ears differ.

Shapes: V profile steps from the middle out, U steps around.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

AROUND: Final = 30
MIDDLE: Final = (7.46, -1.55, -0.45)  # of the bowl, cm
FLARE: Final = 19.0  # degrees by which the rear edge stands off the skull
LEAN: Final = 9.0  # degrees backwards
CANAL_AHEAD: Final = 0.25  # the ear canal opens in front of the middle
CANAL_RADIUS: Final = 0.5
#: reach from the middle to the rim, cm: degrees around (0 forwards, 90 up), reach
OUTLINE: Final = np.array(
    [(0, 1.05), (35, 1.55), (65, 2.75), (95, 3.20), (125, 3.05), (155, 2.45), (185, 2.05), (215, 1.95), (245, 2.35),
     (270, 2.85), (292, 2.65), (315, 1.75), (340, 1.15), (360, 1.05)]
)  # fmt: skip
#: share of the reach, height over the ear's plane (cm): from the bowl to the rim and behind it
BACK: Final = np.array(
    [(0.00, -0.42), (0.16, -0.40), (0.30, -0.34), (0.42, -0.05), (0.52, 0.16), (0.62, 0.08), (0.74, -0.12),
     (0.84, -0.02), (0.92, 0.22), (1.00, 0.16), (1.01, -0.08), (0.92, -0.35), (0.74, -0.90), (0.60, -1.40)]
)  # fmt: skip
FRONT: Final = np.array(
    [(0.00, -0.42), (0.14, -0.40), (0.26, -0.34), (0.36, -0.22), (0.46, -0.10), (0.56, 0.10), (0.66, 0.12),
     (0.76, 0.06), (0.86, -0.02), (0.98, -0.08), (1.10, -0.14), (1.20, -0.20), (1.28, -0.30), (1.34, -0.60)]
)  # fmt: skip
LOBE: Final = np.array(
    [(0.00, -0.42), (0.14, -0.40), (0.24, -0.30), (0.32, -0.10), (0.42, 0.08), (0.54, 0.06), (0.66, 0.04), (0.78, 0.06),
     (0.90, 0.05), (0.98, -0.02), (1.00, -0.14), (0.92, -0.26), (0.76, -0.45), (0.60, -0.80)]
)  # fmt: skip


def canal(points: Array) -> Array:
    """How far points (..., 3) of either side lie at the mouth of the ear canal: 1 there, 0 outside."""
    x, y, z = np.moveaxis(points, -1, 0)
    square = (y - MIDDLE[1]) ** 2 + (z - MIDDLE[2] - CANAL_AHEAD) ** 2
    dark: Array = np.where(np.abs(x) < MIDDLE[0], np.exp(-square / CANAL_RADIUS**2), 0.0)
    return dark


def _near(degrees: Array, centre: float, width: float) -> Array:
    """A weight of 1 at an angle, falling to 0 `width` degrees away."""
    away = np.abs((degrees - centre + 180) % 360 - 180)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(away / width, 0, 1))


def ear() -> Array:
    """The ear at x > 0: (V, U, 3) cm; the last step around repeats the first."""
    degrees = np.linspace(0, 360, AROUND + 1)[None, :, None]
    front, lobe = _near(degrees, -12.0, 62.0), _near(degrees, 272.0, 62.0)
    total = np.maximum(front + lobe, 1.0)
    front, lobe = front / total, lobe / total
    profile = front * FRONT[:, None] + lobe * LOBE[:, None] + (1 - front - lobe) * BACK[:, None]
    degrees = degrees[..., 0]
    reach = np.interp(degrees, *OUTLINE.T)
    reach = (np.roll(reach[:, :-1], 1, 1) + 2 * reach[:, :-1] + np.roll(reach[:, :-1], -1, 1)) / 4
    reach = np.concatenate((reach, reach[:, :1]), 1) * profile[..., 0]
    turn = np.radians(degrees + LEAN)
    ahead, up, out = reach * np.cos(turn), reach * np.sin(turn), profile[..., 1]
    flare = np.radians(FLARE)
    x = MIDDLE[0] - ahead * np.sin(flare) + out * np.cos(flare)
    z = MIDDLE[2] + ahead * np.cos(flare) + out * np.sin(flare)
    return np.stack((x, MIDDLE[1] + up, z), -1)
