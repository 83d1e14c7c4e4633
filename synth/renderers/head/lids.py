"""Lids: crease, lash lines, waterline and the make-up around the eyes.

Works in the lid coordinates of the mesh, where u runs along the eye and v counts centimetres beyond the margins (1 + cm
above the upper, -cm below the lower one). Masks that nobody differs in are made once. This module does not know the
eyeball nor how the lids move.

Shapes: B people, n touched vertices.
"""

import torch
from torch import Tensor

from synth.renderers.head import masks
from synth.renderers.head.axes import ageing, maleness
from synth.renderers.head.canvas import Canvas, coat, column, dim
from synth.renderers.head.colours import skin_melanin
from synth.renderers.head.eyes import Lids
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    Trait("lid_crease", "from single lids to deeply creased ones", {"ancestry_b": -0.4}, fixed=True),
    Trait("crease_height", "height of the lid crease", fixed=True),
    Trait("lash_density", "thin or thick lashes", {"sex": -0.3}, fixed=True),
    Trait("lid_redness", "red or pale margins of the lids", fixed=True),
)

LASH_COLOUR = (0.014, 0.010, 0.008)
WATERLINE = (0.50, 0.29, 0.25)
SHADOW_COLD, SHADOW_WARM = (0.10, 0.12, 0.22), (0.20, 0.085, 0.06)
REACH_CM = 1.5  # nothing is painted farther from the margins


class LidPaint:
    """What is painted on the lids of both eyes."""

    def __init__(self, face: Lids) -> None:
        near = (face.eye_v > -REACH_CM) & (face.eye_v < 1.0 + REACH_CM) & (face.eye_u.abs() < 1.6)
        self.index = near.nonzero()[:, 0]
        self.side = (face.canonical[self.index, 0] > 0).long()
        self.u, v = face.eye_u[self.index], face.eye_v[self.index]
        self.above, below = v - 1.0, -v  # cm beyond the margins, negative on the other side
        outward = masks.smooth_step(-1.0, 0.6, self.u)
        across = 1.0 - masks.smooth_step(0.93, 1.12, self.u.abs())
        wing = 1.0 - masks.smooth_step(1.0, 1.28, self.u) - masks.smooth_step(-0.9, -1.0, self.u)
        outside = self.above.clamp(min=0.0)
        inside = (-self.above).clamp(min=0.0) * 0.9
        self.upper_lash = torch.exp(-outside / 0.105 - inside / 0.12) * wing.clamp(min=0.0) * (0.55 + 0.45 * outward)
        lower_edge = torch.exp(-((below - 0.10) / 0.075).square())
        self.lower_lash = lower_edge * across * (0.25 + 0.75 * masks.smooth_step(-0.3, 0.8, self.u))
        self.waterline = torch.exp(-((below - 0.02) / 0.055).square()) * across
        self.crease_arch = (1.0 - 0.55 * self.u.square()).clamp(min=0.1)
        self.crease_ends = 1.0 - masks.smooth_step(0.85, 1.3, self.u.abs())
        shadow_top = masks.smooth_step(1.15, 0.1, self.above) * masks.smooth_step(-0.1, 0.0, self.above)
        self.shadow = shadow_top * (1.0 - masks.smooth_step(0.9, 1.45, self.u.abs()))
        self.liner = torch.exp(-outside / 0.13 - inside / 0.06) * wing.clamp(min=0.0)

    def paint(self, subject: Subject, openness: Tensor, taste: Tensor, canvas: Canvas) -> None:
        """Paint crease, waterline, make-up and lashes, in this order.

        `openness` (B, 2) of the left and right eye: the waterline hides in a shut eye. `taste` (B, 1): colour of the eye shadow.
        """
        traits = subject.traits
        made_up = column(subject.attributes["make_up"] * (1.0 - 0.9 * maleness(subject)))
        device = made_up.device
        self._crease(subject, canvas)
        water = self.waterline * openness[:, self.side].clamp(0.0, 1.0) * column(0.55 + 0.1 * traits["lid_redness"] - 0.12 * skin_melanin(subject))
        coat(canvas.albedo, self.index, torch.tensor(WATERLINE, device=device), water)
        warm = (0.5 + 0.5 * torch.tanh(taste + 0.5))[..., None]
        cold_colour, warm_colour = torch.tensor(SHADOW_COLD, device=device), torch.tensor(SHADOW_WARM, device=device)
        shade = cold_colour + (warm_colour - cold_colour) * warm
        coat(canvas.albedo, self.index, shade, 0.6 * made_up * self.shadow)
        lashes = column(torch.exp(0.22 * traits["lash_density"]) * (0.86 - 0.26 * maleness(subject)))
        upper = lashes * self.upper_lash + 0.9 * made_up * self.liner
        dark = (upper + (0.30 * lashes + 0.45 * made_up) * self.lower_lash).clamp(max=0.96)
        coat(canvas.albedo, self.index, torch.tensor(LASH_COLOUR, device=device), dark)
        dim(canvas.gloss, self.index, 1.0 - dark)

    def _crease(self, subject: Subject, canvas: Canvas) -> None:
        """The fold above the upper lid, and the soft shade of the socket around it."""
        traits = subject.traits
        height = 0.36 + column(0.09 * traits["crease_height"])
        off = self.above - height * self.crease_arch
        depth = column((0.62 + 0.34 * traits["lid_crease"] + 0.2 * ageing(subject)).clamp(0.0, 1.1))
        line = torch.exp(-(off / 0.085).square()) * self.crease_ends * depth
        fold = torch.exp(-((off - 0.22) / 0.26).square()) * self.crease_ends * depth
        shade = 1.0 - 0.50 * line - 0.13 * fold
        dim(canvas.occlusion, self.index, shade)
        dim(canvas.albedo, self.index, torch.stack((0.45 + 0.55 * shade, 0.3 + 0.7 * shade, 0.3 + 0.7 * shade), -1))
