"""The opening mouth: how the lower face swings about the jaw joints, and how the upper lip bares the teeth.

Both part the lips along their line, so they know the two copies of it apart, which the moves of `moves` do not.

Computed once, in float64. Shapes: M points.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from synth.renderers.head import anatomy
from synth.renderers.head.shape import relief

Array = NDArray[np.float64]

JOINT_Y: Final = -2.0
JOINT_Z: Final = 0.8
OPENING: Final = 0.26  # radians at full opening
GLIDE: Final = 0.55  # the joint glides forwards: share of the swing's way back that is left
THROAT_Y: Final = (-12.2, -14.7)  # skin under the first goes less with the jaw, under the second not at all
CORNER_SHARE: Final = 0.42  # of the jaw's drop at the corners of the mouth
LIFT_CM: Final = 0.36  # of the middle of the upper lip in a broad smile
LIFT_FADE_CM: Final = 1.3
FADE_Z: Final = (2.0, 6.5)  # the skin behind the first stays, in front of the second it goes with the jaw


def jaw_drop(points: Array, lip_side: Array) -> Array:
    """Displacement (M, 3) at full opening; `lip_side` (M,) is above 0 over the line between the lips."""
    x, y, z = points.T
    over = y - relief.lip_line(x)
    below = np.where(np.abs(x) < anatomy.MOUTH_CORNER[0], lip_side, over) < 0
    u = np.clip(np.abs(x) / anatomy.MOUTH_CORNER[0], 0, 1)
    arch = np.sqrt(1 - u**2)
    fade = 1.7 + 1.3 * np.maximum(np.abs(x) - anatomy.MOUTH_CORNER[0], 0)
    upper = CORNER_SHARE * (1 - arch) * (1 - relief.smooth_step(over / fade))
    lower = 1 - (1 - CORNER_SHARE - (1 - CORNER_SHARE) * arch) * (1 - relief.smooth_step(-over / fade))
    share = np.where(below, lower, upper) * relief.smooth_step((z - FADE_Z[0]) / (FADE_Z[1] - FADE_Z[0]))
    share = share * (1 - relief.smooth_step((THROAT_Y[0] - y) / (THROAT_Y[0] - THROAT_Y[1])))
    swing = np.stack((0 * x, -(z - JOINT_Z), GLIDE * (y - JOINT_Y)), 1)
    drop: Array = share[:, None] * OPENING * swing
    return drop


def lip_lift(points: Array, lip_side: Array) -> Array:
    """Displacement (M, 3) of the upper lip as it is drawn up from the teeth; `lip_side` as for `jaw_drop`."""
    x, y, z = points.T
    over = y - relief.lip_line(x)
    u = np.clip(np.abs(x) / anatomy.MOUTH_CORNER[0], 0, 1)
    upper = (lip_side > 0) & (over > -0.1) & (z > FADE_Z[1])
    share = upper * (1 - u**2.5) * (1 - relief.smooth_step(over / LIFT_FADE_CM))
    lift: Array = share[:, None] * np.array((0.0, LIFT_CM, -0.10))
    return lift
