"""Lids: crease, lash lines, waterline and the make-up around the eyes.

Works in the lid coordinates of the mesh, where u runs along the eye and v counts centimetres beyond the margins (1 + cm
above the upper, -cm below the lower one). Masks that nobody differs in are made once. This module does not know the
eyeball nor how the lids move.

Shapes: B people, n touched vertices.
"""

import torch
from torch import Tensor

from synth.renderers.head.paint import masks
from synth.renderers.head.paint.canvas import Canvas, constant, dim, mix, shade
from synth.renderers.head.paint.eyes import Lids
from synth.renderers.head.paint.sitter import Sitter
from synth.renderers.head.traits import Trait

TRAITS: tuple[Trait, ...] = (
    Trait("lid_crease", "from single lids to deeply creased ones", {"ancestry_b": -0.4}, fixed=True),
    Trait("lash_density", "thin or thick lashes", {"sex": -0.3}, fixed=True),
)
HABITS = ("crease_height", "lid_redness", "eye_shadow")

LASH_COLOUR = (0.014, 0.010, 0.008)
WATERLINE = (0.36, 0.19, 0.165)
SHADOW_COLD, SHADOW_WARM = (0.10, 0.12, 0.22), (0.20, 0.085, 0.06)
CREASE_RGB = (0.55, 0.70, 0.70)  # share of the crease that is in the colour, not only in the light
REACH_ABOVE_CM, REACH_BELOW_CM = 1.2, 0.35  # nothing is painted farther from the margins


class LidPaint:
    """What is painted on the lids of both eyes."""

    def __init__(self, face: Lids) -> None:
        near = (face.eye_v > -REACH_BELOW_CM) & (face.eye_v < 1.0 + REACH_ABOVE_CM) & (face.eye_u.abs() < 1.45)
        self.index = near.nonzero()[:, 0]
        self.side = (face.canonical[self.index, 0] > 0).long()
        u, v = face.eye_u[self.index], face.eye_v[self.index]
        above, below = v - 1.0, -v  # cm beyond the margins, negative on the other side
        outward = masks.smooth_step(-1.0, 0.6, u)
        across = 1.0 - masks.smooth_step(0.93, 1.12, u.abs())
        wing = 1.0 - masks.smooth_step(1.0, 1.28, u) - masks.smooth_step(-0.9, -1.0, u)
        outside = above.clamp(min=0.0)
        inside = (-above).clamp(min=0.0) * 0.9
        self.upper_lash = torch.exp(-outside / 0.135 - inside / 0.13) * wing.clamp(min=0.0) * (0.62 + 0.38 * outward)
        lower_edge = torch.exp(-((below - 0.10) / 0.075).square())
        self.lower_lash = lower_edge * across * (0.25 + 0.75 * masks.smooth_step(-0.3, 0.8, u))
        self.waterline = torch.exp(-((below - 0.02) / 0.055).square()) * across
        creased = (above > 0.0) & (u.abs() < 1.3)
        self.crease_index, self.crease_above = self.index[creased], above[creased]
        self.crease_arch = (1.0 - 0.55 * u.square()).clamp(min=0.1)[creased]
        self.crease_ends = (1.0 - masks.smooth_step(0.85, 1.3, u.abs()))[creased]
        shadow_top = masks.smooth_step(1.15, 0.1, above) * masks.smooth_step(-0.1, 0.0, above)
        self.shadow = shadow_top * (1.0 - masks.smooth_step(0.9, 1.45, u.abs()))
        self.liner = torch.exp(-outside / 0.13 - inside / 0.06) * wing.clamp(min=0.0)

    def paint(self, sitter: Sitter, openness: Tensor, canvas: Canvas) -> None:
        """Paint crease, waterline, make-up and lashes, in this order.

        `openness` (B, 2) is that of the left and right eye: the waterline hides in a shut eye.
        """
        self._crease(sitter, canvas)
        device = openness.device
        opened = openness.clamp(0.0, 1.0)
        wet = (0.55 + 0.1 * sitter.trait("lid_redness") - 0.16 * sitter.melanin).clamp(min=0.05) * opened
        cold, warm = constant(SHADOW_COLD, device), constant(SHADOW_WARM, device)
        powder = mix(cold, warm, 0.5 + 0.5 * torch.tanh(sitter.trait("eye_shadow") + 0.5))
        powder = powder * torch.exp(-0.4 * sitter.melanin)
        lashes = torch.exp(0.36 * sitter.trait("lash_density")) * (0.96 - 0.12 * sitter.male)
        below = 0.30 * lashes + 0.45 * sitter.made_up
        laid = (lashes * (1.8 - 0.8 * opened))[:, self.side]  # the lashes of a shut eye lie side by side
        dark = (laid * self.upper_lash + 0.9 * sitter.made_up * self.liner + below * self.lower_lash).clamp(max=0.96)
        albedo = canvas.albedo.index_select(1, self.index)
        albedo = mix(albedo, constant(WATERLINE, device), (self.waterline * wet[:, self.side])[..., None])
        albedo = mix(albedo, powder[:, None], (0.6 * sitter.made_up * self.shadow)[..., None])
        albedo = mix(albedo, constant(LASH_COLOUR, device), dark[..., None])
        canvas.albedo.index_copy_(1, self.index, albedo)
        dim(canvas.gloss, self.index, 1.0 - dark)

    def _crease(self, sitter: Sitter, canvas: Canvas) -> None:
        """The fold above the upper lid, and the soft shade of the socket around it."""
        off = self.crease_above - (0.36 + 0.10 * sitter.trait("crease_height")) * self.crease_arch
        depth = (0.62 + 0.58 * sitter.trait("lid_crease") + 0.2 * sitter.old).clamp(0.0, 1.5)
        line, fold = off * (1 / 0.085), off * (1 / 0.26) - 0.85
        darkness = (0.50 * torch.exp(-line * line) + 0.13 * torch.exp(-fold * fold)) * (self.crease_ends * depth)
        dim(canvas.occlusion, self.crease_index, 1.0 - darkness)
        shade(canvas, self.crease_index, darkness, CREASE_RGB)
