"""Brows: hair-like strokes along a curve over each eye.

The curve, its thickness and its density are traits; the strokes are noise drawn out along the way the hairs grow, which
only shows where the brow is. This module does not know how brows are raised: the mesh does that.

Shapes: B people, n touched vertices.
"""

import torch
from torch import Tensor

from synth.renderers.head import anatomy, masks
from synth.renderers.head.axes import ageing, maleness
from synth.renderers.head.canvas import Canvas, coat, column, dim
from synth.renderers.head.colours import brow_colour
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    Trait("brow_inner_height", "height of the inner end of the brows", fixed=True),
    Trait("brow_outer_height", "height of the outer end of the brows", fixed=True),
    Trait("brow_arch", "straight or arched brows", {"sex": -0.3}, fixed=True),
    Trait("brow_peak", "where along the brow its highest point lies", fixed=True),
    Trait("brow_thick_inner", "thickness of the inner half of the brows", {"sex": 0.3}, fixed=True),
    Trait("brow_thick_outer", "thickness of the outer half of the brows", {"sex": 0.2}, fixed=True),
    Trait("brow_length", "long or short brows", fixed=True),
    Trait("brow_gap", "gap between the brows", {"sex": -0.2}, fixed=True),
    Trait("brow_density", "dense or sparse brows", {"sex": 0.2, "age": -0.2}, fixed=True),
    Trait("brow_strokes", "combed or bristly brows", fixed=True),
    Trait("brow_asymmetry", "one brow higher than the other", fixed=True),
)

INNER_X, OUTER_X = 0.95, 5.15
ROOT_SLOPE = 0.35  # brow hairs lean outwards: they run this much across per unit up at the inner end, flatter outwards


class Brows:
    """Both brows on the vertices above the eyes."""

    def __init__(self, canonical: Tensor) -> None:
        self.index = masks.within(canonical, (0.15, 6.2), (0.7, 3.9))
        there = canonical[self.index]
        self.across, self.up = there[:, 0].abs(), there[:, 1]
        self.side = torch.where(there[:, 0] > 0, 1.0, -1.0)
        self.hairs = _hair_noise(there)

    def paint(self, subject: Subject, canvas: Canvas) -> None:
        """Lay the hairs over the skin."""
        cover = self._cover(subject)
        colour = brow_colour(subject)[:, None]
        coat(canvas.albedo, self.index, colour, cover)
        dim(canvas.gloss, self.index, 1.0 - 0.7 * cover)

    def _cover(self, subject: Subject) -> Tensor:
        """How much of each vertex is hair: (B, n)."""
        traits, male = subject.traits, column(maleness(subject))
        start = INNER_X + column(0.16 * traits["brow_gap"]) - 0.06 * male
        end = OUTER_X + column(0.20 * traits["brow_length"])
        along = (self.across - start) / (end - start)
        above = self.up - self._centre(subject, along, male)
        inside = along.clamp(0.0, 1.0)
        inner = (0.33 + 0.12 * male) * column(torch.exp(0.22 * traits["brow_thick_inner"]))
        outer = (0.23 + 0.13 * male) * column(torch.exp(0.24 * traits["brow_thick_outer"]))
        half = (inner + (outer - inner) * inside) * (1.0 - 0.62 * masks.smooth_step(0.55, 1.05, inside))
        body = 1.0 - masks.smooth_step(0.35, 1.3, above.abs() / half)
        body = body * masks.smooth_step(-0.07, 0.16, along) * (1.0 - masks.smooth_step(0.9, 1.06, along))
        density = column(0.86 * torch.exp(0.15 * traits["brow_density"]) * (1.0 - 0.15 * ageing(subject)))
        thin_start = 0.72 + 0.28 * masks.smooth_step(0.0, 0.3, along)
        contrast = column(0.22 * torch.exp(0.35 * traits["brow_strokes"]))
        return (body * density * thin_start * (1.0 + contrast * (self.hairs - 0.3))).clamp(0.0, 0.97)

    def _centre(self, subject: Subject, along: Tensor, male: Tensor) -> Tensor:
        """Height of the middle of the brow: (B, n)."""
        traits = subject.traits
        inner = 1.78 + column(0.15 * traits["brow_inner_height"]) - 0.12 * male
        outer = 1.80 + column(0.19 * traits["brow_outer_height"]) - 0.05 * male
        peak = (0.62 + column(0.05 * traits["brow_peak"])).clamp(0.45, 0.78)
        arch = 0.42 + column(0.17 * traits["brow_arch"]) - 0.2 * male
        before, after = along / peak, (1.0 - along) / (1.0 - peak)
        rise = torch.minimum(before, after).clamp(-0.2, 1.0)
        bend = rise * (2.0 - rise)
        uneven = column(0.07 * traits["brow_asymmetry"]) * self.side
        return inner + (outer - inner) * along.clamp(-0.1, 1.1) + arch * bend + uneven


def _hair_noise(there: Tensor) -> Tensor:
    """Noise drawn out along the hairs, about -1 to 1.5: (n,)."""
    x, y, side = there[:, 0].abs(), there[:, 1] - anatomy.BROW_Y, torch.sign(there[:, 0])
    lean = masks.smooth_step(0.9, 2.4, x)  # upright at the inner end, lying outwards from there
    across_hair = (1.0 - lean) * (x - ROOT_SLOPE * y) + lean * (y - 0.22 * (x - 3.0))
    along_hair = (1.0 - lean) * y + lean * x
    points = torch.stack((across_hair, along_hair, 50.0 * side), -1)
    fine = masks.noise(points, (0.085, 0.42, 1.0), "brow hairs")
    return (fine + 0.3 * masks.noise(points, (0.2, 0.6, 1.0), "brow tufts")).clamp(-2.0, 2.0)
