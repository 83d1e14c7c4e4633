"""Brows: hair-like strokes along a curve over each eye.

The curve, its thickness and its density are traits; the strokes are noise drawn out along the way the hairs grow, which
only shows where the brow is. This module does not know how brows are raised: the mesh does that.

Shapes: B people, n touched vertices.
"""

import torch
from torch import Tensor

from synth.renderers.head import anatomy, masks
from synth.renderers.head.canvas import Canvas, coat, constant, dim
from synth.renderers.head.colours import brow_hair_colour
from synth.renderers.head.sitter import Sitter
from synth.renderers.head.traits import Trait

TRAITS: tuple[Trait, ...] = (
    Trait("brow_inner_height", "height of the inner end of the brows", fixed=True),
    Trait("brow_outer_height", "height of the outer end of the brows", fixed=True),
    Trait("brow_arch", "straight or arched brows", {"sex": -0.3}, fixed=True),
    Trait("brow_thick_inner", "thickness of the inner half of the brows", {"sex": 0.3}, fixed=True),
    Trait("brow_thick_outer", "thickness of the outer half of the brows", {"sex": 0.2}, fixed=True),
    Trait("brow_length", "long or short brows", fixed=True),
    Trait("brow_gap", "gap between the brows", {"sex": -0.2}, fixed=True),
    Trait("brow_density", "dense or sparse brows", {"sex": 0.2, "age": -0.2}, fixed=True),
    Trait("brow_asymmetry", "one brow higher than the other", fixed=True),
)
HABITS = ("brow_peak", "brow_strokes")

#: Traits that scale something: change of its logarithm per standard deviation.
SCALES = {"brow_thick_inner": 0.22, "brow_thick_outer": 0.30, "brow_density": 0.15, "brow_strokes": 0.35}
BRISTLE = 0.22  # contrast of the mean brow's hairs
INNER_X, OUTER_X = 0.98, 5.15
LEAST_X = 0.45  # brows hardly ever meet
ROOT_SLOPE = 0.35  # brow hairs lean outwards: they run this much across per unit up at the inner end, flatter outwards


class Brows:
    """Both brows on the vertices above the eyes."""

    def __init__(self, canonical: Tensor) -> None:
        self.index = masks.within(canonical, (0.15, 6.2), (0.7, 3.9))
        there = canonical[self.index]
        self.across, self.up = there[:, 0].abs(), there[:, 1]
        self.side = torch.where(there[:, 0] > 0, 1.0, -1.0)
        self.hairs = BRISTLE * (_hair_noise(there) - 0.3)  # gaps between hairs are wider than hairs

    def paint(self, sitter: Sitter, canvas: Canvas) -> None:
        """Lay the hairs over the skin."""
        cover = self._cover(sitter)
        coat(canvas.albedo, self.index, brow_hair_colour(sitter.hair)[:, None], cover)
        dim(canvas.gloss, self.index, 1.0 - 0.7 * cover)

    def _cover(self, sitter: Sitter) -> Tensor:
        """How much of each vertex is hair: (B, n)."""
        male = sitter.male
        start = (INNER_X + 0.25 * sitter.trait("brow_gap") - 0.06 * male).clamp(min=LEAST_X)
        end = OUTER_X + 0.40 * sitter.trait("brow_length")
        along = (self.across - start) / (end - start)
        above = self.up - self._centre(sitter, along)
        inside = along.clamp(0.0, 1.0)
        scales = torch.exp(sitter.traits(tuple(SCALES)) * constant(tuple(SCALES.values()), male.device))
        thick_inner, thick_outer, thick, bristly = scales.chunk(4, 1)
        inner, outer = (0.33 + 0.12 * male) * thick_inner, (0.23 + 0.13 * male) * thick_outer
        half = (inner + (outer - inner) * inside) * (1.0 - 0.62 * masks.smooth_step(0.55, 1.05, inside))
        body = 1.0 - masks.smooth_step(0.35, 1.3, above.abs() / half)
        ends = masks.smooth_step(-0.07, 0.16, along) * (1.0 - masks.smooth_step(0.9, 1.06, along))
        density = thick * (0.86 - 0.13 * sitter.old)
        dense = density * (0.72 + 0.28 * masks.smooth_step(0.0, 0.3, along))
        return (body * ends * dense * (1.0 + bristly * self.hairs)).clamp(0.0, 0.97)

    def _centre(self, sitter: Sitter, along: Tensor) -> Tensor:
        """Height of the middle of the brow: (B, n)."""
        inner = 1.78 + 0.15 * sitter.trait("brow_inner_height") - 0.12 * sitter.male
        outer = 1.80 + 0.19 * sitter.trait("brow_outer_height") - 0.05 * sitter.male
        peak = (0.62 + 0.05 * sitter.trait("brow_peak")).clamp(0.45, 0.78)
        arch = 0.42 + 0.17 * sitter.trait("brow_arch") - 0.2 * sitter.male
        rise = torch.minimum(along / peak, (1.0 - along) / (1.0 - peak)).clamp(-0.2, 1.0)
        uneven = 0.07 * sitter.trait("brow_asymmetry") * self.side
        return inner + (outer - inner) * along.clamp(-0.1, 1.1) + arch * rise * (2.0 - rise) + uneven


def _hair_noise(there: Tensor) -> Tensor:
    """Noise drawn out along the hairs, about -1 to 1.5: (n,)."""
    x, y, side = there[:, 0].abs(), there[:, 1] - anatomy.BROW_Y, torch.sign(there[:, 0])
    lean = masks.smooth_step(0.9, 2.4, x)  # upright at the inner end, lying outwards from there
    across_hair = (1.0 - lean) * (x - ROOT_SLOPE * y) + lean * (y - 0.22 * (x - 3.0))
    along_hair = (1.0 - lean) * y + lean * x
    points = torch.stack((across_hair, along_hair, 50.0 * side), -1)
    fine = masks.noise(points, (0.085, 0.42, 1.0), "brow hairs")
    return (fine + 0.3 * masks.noise(points, (0.2, 0.6, 1.0), "brow tufts")).clamp(-2.0, 2.0)
