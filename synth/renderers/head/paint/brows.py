"""Brows: hair-like strokes along a curve over each eye.

The curve, its thickness and its density are traits; the strokes are noise drawn out along the way the hairs grow, which
only shows where the brow is. This module does not know how brows are raised: the mesh does that.

Shapes: B people, n touched vertices.
"""

import torch
from torch import Tensor

from synth.renderers.head import anatomy
from synth.renderers.head.paint import masks
from synth.renderers.head.paint.canvas import Canvas, coat, dim
from synth.renderers.head.paint.colours import brow_hair_colour
from synth.renderers.head.paint.sitter import Sitter
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

#: The curve: trait, mean value, its change on the male side and per standard deviation. Heights and places in cm.
CURVE = (
    ("brow_gap", 0.98, -0.06, 0.25),  # where the brow begins, from the midline
    ("brow_length", 5.15, 0.00, 0.46),  # where it ends
    ("brow_inner_height", 1.78, -0.12, 0.15),
    ("brow_outer_height", 1.80, -0.05, 0.19),
    ("brow_peak", 0.62, 0.00, 0.05),  # share of the way at which it is highest
    ("brow_arch", 0.42, -0.20, 0.17),  # how much higher it is there
    ("brow_asymmetry", 0.00, 0.00, 0.07),
)
#: The hairs: trait, mean value, its change on the male side, change of its logarithm per standard deviation.
HAIRS = (
    ("brow_thick_inner", 0.33, 0.12, 0.30),  # half the thickness
    ("brow_thick_outer", 0.23, 0.13, 0.40),
    ("brow_density", 0.86, 0.00, 0.15),
    ("brow_strokes", 0.22, 0.00, 0.35),  # contrast
)
#: Places along the brow, as shares of its length, between which it fills up, ends, grows denser and tapers.
RAMP_FROM, RAMP_TO = (-0.07, 0.90, 0.00, 0.55), (0.16, 1.06, 0.30, 1.05)
LEAST_X = 0.45  # brows hardly ever meet
ROOT_SLOPE = 0.35  # brow hairs lean outwards: they run this much across per unit up at the inner end, flatter outwards


class Brows:
    """Both brows on the vertices above the eyes."""

    def __init__(self, canonical: Tensor) -> None:
        self.index = masks.within(canonical, (0.15, 6.2), (0.7, 3.9))
        there = canonical[self.index]
        self.across, self.up = there[:, 0].abs(), there[:, 1]
        self.side = torch.where(there[:, 0] > 0, 1.0, -1.0)
        self.hairs = _hair_noise(there) - 0.3  # gaps between hairs are wider than hairs
        device = canonical.device
        self.ramp_from, self.ramp_to = (torch.tensor(edge, device=device)[:, None] for edge in (RAMP_FROM, RAMP_TO))
        self.curve, self.curve_male, self.curve_gain = torch.tensor([row[1:] for row in CURVE], device=device).unbind(1)
        self.hair, self.hair_male, self.hair_gain = torch.tensor([row[1:] for row in HAIRS], device=device).unbind(1)

    def paint(self, sitter: Sitter, canvas: Canvas) -> None:
        """Lay the hairs over the skin."""
        cover = self._cover(sitter)
        coat(canvas.albedo, self.index, brow_hair_colour(sitter.hair)[:, None], cover)
        dim(canvas.gloss, self.index, 1.0 - 0.7 * cover)

    def _cover(self, sitter: Sitter) -> Tensor:
        """How much of each vertex is hair: (B, n)."""
        growth = torch.exp(self.hair_gain * sitter.traits([name for name, *_ in HAIRS]))
        inner, outer, density, contrast = ((self.hair + self.hair_male * sitter.male) * growth).chunk(4, 1)
        along, above = self._along(sitter)
        begun, ended, denser, taper = masks.smooth_step(self.ramp_from, self.ramp_to, along[:, None]).unbind(1)
        half = (inner + (outer - inner) * along.clamp(0.0, 1.0)) * (1.0 - 0.62 * taper)
        body = 1.0 - masks.smooth_step(0.35, 1.3, above.abs() / half)
        dense = density * (1.0 - 0.15 * sitter.old) * (0.72 + 0.28 * denser)
        return (body * begun * (1.0 - ended) * dense * (1.0 + contrast * self.hairs)).clamp(0.0, 0.97)

    def _along(self, sitter: Sitter) -> tuple[Tensor, Tensor]:
        """Way along the brow, 0 to 1 from its inner end, and height above its middle in cm: (B, n) each."""
        shape = (
            self.curve + self.curve_male * sitter.male + self.curve_gain * sitter.traits([name for name, *_ in CURVE])
        )
        start, end, inner, outer, peak, arch, uneven = shape.chunk(len(CURVE), 1)
        start, peak = start.clamp(min=LEAST_X), peak.clamp(0.45, 0.78)
        along = (self.across - start) / (end - start)
        rise = torch.minimum(along / peak, (1.0 - along) / (1.0 - peak)).clamp(-0.2, 1.0)
        middle = inner + (outer - inner) * along.clamp(-0.1, 1.1) + arch * rise * (2.0 - rise) + uneven * self.side
        return along, self.up - middle


def _hair_noise(there: Tensor) -> Tensor:
    """Noise drawn out along the hairs, about -1 to 1.5: (n,)."""
    x, y, side = there[:, 0].abs(), there[:, 1] - anatomy.BROW_Y, torch.sign(there[:, 0])
    lean = masks.smooth_step(0.9, 2.4, x)  # upright at the inner end, lying outwards from there
    across_hair = (1.0 - lean) * (x - ROOT_SLOPE * y) + lean * (y - 0.22 * (x - 3.0))
    along_hair = (1.0 - lean) * y + lean * x
    points = torch.stack((across_hair, along_hair, 50.0 * side), -1)
    fine = masks.noise(points, (0.085, 0.42, 1.0), "brow hairs")
    return (fine + 0.3 * masks.noise(points, (0.2, 0.6, 1.0), "brow tufts")).clamp(-2.0, 2.0)
