"""Lips: the vermilion, its outline, folds, shine and lipstick.

The outline is a curve in canonical coordinates, where the mean lips lie; the mesh deforms underneath. This module does
not know how the lips open or what lies behind them.

Shapes: B people, n touched vertices.
"""

import torch
from torch import Tensor

from synth.renderers.head import anatomy, masks
from synth.renderers.head.axes import ageing, maleness
from synth.renderers.head.canvas import Canvas, coat, column, dim, mix
from synth.renderers.head.colours import absorb, skin_melanin
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    Trait("lip_blood", "pale or red lips", {"sex": -0.2}, fixed=True),
    Trait("lip_melanin", "light or brown lips", {"ancestry_a": 0.3}, fixed=True),
    Trait("lip_contrast", "sharp or blurred outline of the lips", {"age": -0.3}, fixed=True),
    Trait("lip_bow", "deep or shallow cupid's bow", {"sex": -0.15}),
    Trait("lip_outline", "how far the red of the lips reaches", {"ancestry_a": 0.2}),
    Trait("lipstick_red", "lipstick from brown to red", fixed=True),
    Trait("lipstick_dark", "light or dark lipstick", fixed=True),
)

LIP_TISSUE = (0.72, 0.53, 0.48)
LIP_BLOOD_ABSORPTION = (0.10, 0.62, 0.50)
LIP_MELANIN_ABSORPTION = (0.70, 0.95, 1.10)
SOFT_EDGE_CM = 0.16


class Lips:
    """The vermilion on the vertices around the mouth."""

    def __init__(self, canonical: Tensor) -> None:
        self.index = masks.within(canonical, (0.0, 3.2), (-8.7, -5.4))
        there = canonical[self.index]
        self.across = there[:, 0].abs()
        self.up = there[:, 1] - anatomy.STOMION[1]
        share = (self.across / anatomy.MOUTH_CORNER[0]).clamp(max=1.0)
        self.taper = (1.0 - share * share).clamp(min=0.0).sqrt() * (1.0 - 0.25 * share * share)
        self.peak = torch.exp(-((self.across - 0.6) / 0.45).square()) - 0.9 * torch.exp(-(self.across / 0.32).square())
        self.lower_middle = 0.92 + 0.08 * torch.exp(-(self.across / 0.9).square())
        self.past_corner = masks.smooth_step(2.3, 2.75, self.across)
        self.folds = masks.noise(there * torch.tensor([1.0, 0.12, 0.2]), 0.19, "lip folds")

    def paint(self, subject: Subject, canvas: Canvas) -> None:
        """Paint the red of the lips, its shine, and the dark line between the lips."""
        traits = subject.traits
        reach = column(1.0 + 0.055 * traits["lip_outline"])
        bow = column(0.085 * (1.0 + 0.45 * traits["lip_bow"]))
        top = (anatomy.UPPER_LIP_HEIGHT - 0.06) * self.taper * reach + bow * self.peak
        bottom = -anatomy.LOWER_LIP_HEIGHT * self.taper * self.lower_middle * reach
        edge = column(SOFT_EDGE_CM * torch.exp(-0.3 * traits["lip_contrast"]) * (1.0 + 0.5 * ageing(subject)))
        inside = torch.minimum(top - self.up, self.up - bottom)
        red = masks.smooth_step(-edge, edge, inside) * (1.0 - self.past_corner)
        colour, shine = self._colour(subject)
        upper = torch.where(self.up > 0, 0.86, 1.0)
        value = colour[:, None] * (upper * (1.0 + 0.06 * self.folds))[None, :, None]
        coat(canvas.albedo, self.index, value, red * column(0.72 + 0.28 * self._made_up(subject)))
        coat(canvas.gloss, self.index, shine, red)
        coat(canvas.sharpness, self.index, torch.full_like(shine, 34.0), red)
        line = torch.exp(-(self.up / 0.085).square()) * (1.0 - masks.smooth_step(2.5, 2.95, self.across))
        dim(canvas.albedo, self.index, (1.0 - 0.62 * line)[None])
        below = torch.exp(-((self.up - bottom + 0.12) / 0.16).square()) * (1.0 - self.past_corner)
        dim(canvas.occlusion, self.index, 1.0 - 0.16 * below)

    @staticmethod
    def _made_up(subject: Subject) -> Tensor:
        return subject.attributes["make_up"] * (1.0 - 0.8 * maleness(subject))

    def _colour(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Colour of the lips (B, 3), with lipstick, and their gloss (B, 1)."""
        traits = subject.traits
        blood = 0.85 * torch.exp(0.28 * traits["lip_blood"]) * (1.0 - 0.35 * ageing(subject))
        melanin = (0.12 + 0.62 * skin_melanin(subject)) * torch.exp(0.22 * traits["lip_melanin"])
        bare = absorb(LIP_TISSUE, (blood, LIP_BLOOD_ABSORPTION), (melanin, LIP_MELANIN_ABSORPTION))
        dark = 0.55 * torch.exp(-0.42 * traits["lipstick_dark"]) * torch.exp(-0.25 * skin_melanin(subject))
        warm = 0.5 + 0.5 * torch.tanh(traits["lipstick_red"])
        stick = torch.stack((dark, dark * (0.36 - 0.22 * warm), dark * (0.34 - 0.14 * warm)), -1)
        made_up = self._made_up(subject)
        return mix(bare, stick, 0.75 * made_up[:, None]), column(0.55 + 0.5 * made_up)
