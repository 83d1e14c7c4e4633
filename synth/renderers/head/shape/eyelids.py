"""Eyelids: they slide over the eyeballs and lie on them, wherever traits have moved either.

Closing is not a linear move: an upper lid travels the whole opening, however large a person's is, and every skin point
on the way rests on the eyeball. This module does not know what makes the eyes close.

Shapes: B pictures, N vertices, n of them around the eyes.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.renderers.head import anatomy
from synth.renderers.head.shape import relief
from synth.renderers.head.shape.relief import smooth_step
from synth.renderers.head.shape.template import Template

Array = NDArray[np.float64]

REACH_U: Final = 1.7  # how far from the pupil lids are laid on the eyeball: half widths of the eye, cm
REACH_CM: Final = 2.2
UPPER_SKIN_CM: Final = 1.1  # skin that follows the upper lid lies within this distance of its margin
LOWER_SKIN_CM: Final = 0.9


class Eyelids:
    """The vertices around the eyes and how they follow the lids."""

    def __init__(self, mean: Template, device: torch.device | str) -> None:
        """Fix what does not change from picture to picture."""
        x, y, _ = mean.points.T
        near = np.flatnonzero((np.abs(mean.eye_u) < REACH_U) & (np.abs(y) < REACH_CM))
        shown = mean.aperture[near]

        def real(values: Array) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        u, v = np.abs(mean.eye_u[near]), mean.eye_v[near]
        corner = 1 - smooth_step((u - 1) / 0.3)
        self._near = torch.tensor(near, device=device)
        self._margins = torch.tensor(mean.margins[:, near], device=device)
        self._with_upper = real(corner * np.where(v > 1, 1 - smooth_step((v - 1) / UPPER_SKIN_CM), np.clip(v, 0, 1)))
        self._with_lower = real(corner * np.where(v < 0, 1 - smooth_step(-v / LOWER_SKIN_CM), np.clip(1 - v, 0, 1)))
        self._eye = torch.tensor((x[near] > 0).astype(np.int64), device=device)
        self._side = real(np.sign(x[near]))
        self._shown = torch.tensor(shown, device=device)
        self._drape = real(mean.drape[near])
        dx = np.abs(x[near]) - anatomy.EYE_X
        thickness = np.where(shown, 0, relief.lid_thickness(dx))
        inwards, outwards, up, ahead = (axis + thickness for axis in relief.EYE_BODY)
        self._inwards, self._outwards, self._up, self._ahead = real(inwards), real(outwards), real(up), real(ahead)
        self._body_start = self._body(real(dx), real(y[near]))

    def _body(self, dx: Tensor, dy: Tensor) -> Tensor:
        """Height of the body under the lids over the eyeball's centre, as `relief.eye_body`: (B, n)."""
        across, up = dx / torch.where(dx > 0, self._outwards, self._inwards), dy / self._up
        inside = 1 - across * across - up * up
        rim = relief.BODY_RIM
        cone = (inside - rim) * (0.5 / rim**0.5) + rim**0.5
        return torch.where(inside > rim, inside.clamp(min=rim).sqrt(), cone) * self._ahead

    def lay(self, planar: Tensor, eyes: Tensor, upper: Tensor, lower: Tensor) -> Tensor:
        """Vertices (B, 3, N) with lids closed and laid on the eyeballs.

        `eyes` (B, 3, 2) are the eyeballs' centres, first the one at x < 0; `upper` and `lower` (B,) are how far the
        lids come down and up, as shares of the opening.
        """
        x, y, z = planar[:, :, self._near].unbind(1)
        floor, ceiling = planar[:, 1, self._margins[0]], planar[:, 1, self._margins[1]]
        gap = ceiling - floor
        y = torch.where(self._shown, floor + gap * self._with_upper, y)
        y = y - gap * (upper[:, None] * self._with_upper - lower[:, None] * self._with_lower)
        centre_x, centre_y, centre_z = eyes[:, :, self._eye].unbind(1)
        body = self._body((x - centre_x) * self._side, y - centre_y)
        z = torch.where(self._shown, centre_z + body, z + self._drape * (body - self._body_start))
        return planar.index_copy(2, self._near, torch.stack((x, y, z), 1))
