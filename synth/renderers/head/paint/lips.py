"""Lips: the vermilion, its folds, shine and lipstick.

Works in the lip coordinates of the mesh, where v is 0 on the line between the lips and +-1 on the border of the red, so
that paint and relief agree whatever the shape. This module does not know how the lips open or what lies behind them.

Shapes: B people, n touched vertices.
"""

from typing import Protocol

import torch
from torch import Tensor

from synth.renderers.head import anatomy
from synth.renderers.head.paint import masks
from synth.renderers.head.paint.canvas import Canvas, coat, dim, mix
from synth.renderers.head.paint.colours import absorb
from synth.renderers.head.paint.sitter import Sitter
from synth.renderers.head.traits import Trait

TRAITS: tuple[Trait, ...] = (
    Trait("lip_blood", "pale or red lips", {"sex": -0.2}, fixed=True),
    Trait("lip_melanin", "light or brown lips", {"ancestry_a": 0.3}, fixed=True),
    Trait("lip_two_tone", "upper lip darker or lighter than the lower", fixed=True),
)

HABITS = ("lip_border", "lipstick_dark", "lipstick_pure")

LIP_TISSUE = (0.68, 0.47, 0.41)
LIP_BLOOD_ABSORPTION = (0.16, 0.78, 0.66)
LIP_MELANIN_ABSORPTION = (0.78, 0.99, 1.10)
STICK_LIGHTNESS = 0.40  # red channel of a lipstick of mean darkness
LIP_SHARPNESS = 34.0
LIP_FOLD_CM = (0.19, 1.6, 0.95)  # folds run up and down
LINE_CM = 0.075  # half width of the shade between closed lips


class Mouthed(Protocol):
    """What lips need of the face mesh."""

    canonical: Tensor  # (N, 3)
    lip_u: Tensor  # (N,), 1 at the corners of the mouth
    lip_v: Tensor  # (N,), +-1 on the border of the red


class Lips:
    """The vermilion on the vertices around the mouth."""

    def __init__(self, face: Mouthed) -> None:
        self.index = ((face.lip_u < 1.25) & (face.lip_v.abs() < 2.2)).nonzero()[:, 0]
        there = face.canonical[self.index]
        u, v = face.lip_u[self.index], face.lip_v[self.index]
        self.beyond, self.upper = v.abs() - 1.0, v > 0
        self.not_corner = 1.0 - masks.smooth_step(0.90, 1.04, u)
        apart = v.abs() * torch.where(self.upper, anatomy.UPPER_LIP_HEIGHT, anatomy.LOWER_LIP_HEIGHT)
        line = torch.exp(-(apart / LINE_CM).square()) * (1.0 - masks.smooth_step(1.0, 1.14, u))
        under = torch.exp(-((v + 1.12) / 0.17).square()) * (1.0 - masks.smooth_step(0.5, 0.9, u))
        self.under = (1.0 - 0.20 * under)[None]
        roll = torch.exp(-((v - 1.08) / 0.12).square()) * (1.0 - masks.smooth_step(0.35, 0.8, u))
        self.border = ((1.0 - 0.66 * line) * (1.0 + 0.07 * roll))[None]  # dark between the lips, light above them
        self.folds = 1.0 + 0.07 * masks.noise(there, LIP_FOLD_CM, "lip folds")

    def paint(self, sitter: Sitter, canvas: Canvas) -> None:
        """Paint the red of the lips and its shine, then the shades between and under them."""
        soft = 0.15 * torch.exp(0.35 * sitter.trait("lip_border")) * (1.0 + 0.5 * sitter.old)
        red = (1.0 - masks.smooth_step(-soft, 0.6 * soft, self.beyond)) * self.not_corner
        tone = 0.20 * sitter.trait("lip_two_tone")
        tones = self.folds * torch.where(self.upper, 0.84 - tone, 0.96 + 0.4 * tone)
        cover = red * (0.80 + 0.2 * sitter.made_up)
        coat(canvas.albedo, self.index, _colour(sitter)[:, None] * tones[..., None], cover)
        dim(canvas.albedo, self.index, self.border)
        coat(canvas.gloss, self.index, 0.55 + 0.6 * sitter.made_up, red)
        coat(canvas.sharpness, self.index, LIP_SHARPNESS, red)
        dim(canvas.occlusion, self.index, self.under)


def _colour(sitter: Sitter) -> Tensor:
    """Colour of the lips with their lipstick: (B, 3)."""
    blood = torch.exp(0.30 * sitter.trait("lip_blood")) * (1.25 - 0.44 * sitter.old) * (1.0 - 0.15 * sitter.male)
    melanin = (0.16 + 1.06 * sitter.melanin) * torch.exp(0.20 * sitter.trait("lip_melanin"))
    bare = absorb(LIP_TISSUE, (blood[:, 0], LIP_BLOOD_ABSORPTION), (melanin[:, 0], LIP_MELANIN_ABSORPTION))
    darkness, purity = sitter.trait("lipstick_dark"), sitter.trait("lipstick_pure")
    light = STICK_LIGHTNESS * torch.exp(-0.32 * darkness - 0.50 * sitter.melanin)
    pure = 0.5 + 0.5 * torch.tanh(purity)
    stick = torch.cat((light, light * (0.40 - 0.28 * pure), light * (0.36 - 0.20 * pure)), 1)
    return mix(bare, stick, 0.75 * sitter.made_up)
