"""Where hair grows on the scalp, and how densely: the hairline and its traits.

The hairline is the graph of a height over the azimuth about the skull's axis, drawn once for the mean head and moved
by traits through bumps in azimuth. It is evaluated at fixed canonical points, so it follows the geometry of every
head by itself. The skin tints its scalp by `cover`; the strands grow where `cover` is high. This module does not know
how hair looks.

Shapes: B pictures, N canonical points, K bumps. Heights in cm, azimuths in degrees from straight ahead.
"""

import math
from typing import Final

import torch
from torch import Tensor

from samplers.random import normals
from synth.renderers.head.exact import exact_product, quantise_basis
from synth.renderers.head.hair.stylist import Style
from synth.renderers.head.traits import Subject, Trait

#: The mean hairline: (azimuth, height). Forehead, corner, temple, sideburn, around the ear, nape.
HAIRLINE: Final = (
    (0.0, 6.9),
    (12.0, 6.95),
    (24.0, 7.05),
    (34.0, 6.9),
    (42.0, 6.1),
    (48.0, 4.9),
    (53.0, 3.7),
    (58.0, 2.7),
    (62.0, 1.2),
    (66.0, -0.4),
    (70.0, -1.4),
    (76.0, -1.5),
    (82.0, 0.9),
    (90.0, 2.4),
    (98.0, 2.6),
    (106.0, 1.6),
    (114.0, -1.5),
    (124.0, -4.5),
    (140.0, -6.5),
    (180.0, -7.2),
)

#: How traits move the line: (trait, azimuth of the bump, its width, cm per unit, side: 0 both alike, 1 odd in x).
LINE_BUMPS: Final = (
    ("hairline_height", 0.0, 48.0, 0.42, 0),
    ("hairline_corners", 33.0, 11.0, 0.55, 0),
    ("hairline_peak", 0.0, 8.0, -0.38, 0),
    ("hairline_temples", 51.0, 9.0, 0.75, 0),
    ("hairline_skew", 26.0, 16.0, 0.30, 1),
    ("sideburns", 72.0, 7.0, -0.9, 0),
)

TRAITS: Final = (
    Trait("hairline_height", "how high the hairline stands over the forehead", {"sex": 0.2}, fixed=True),
    Trait("hairline_corners", "how far the hairline draws back at its corners", {"sex": 0.35, "age": 0.2}, fixed=True),
    Trait("hairline_peak", "how far the hairline dips in the middle", fixed=True),
    Trait("hairline_temples", "how far the temples are bare", fixed=True),
    Trait("hairline_skew", "how much higher the hairline stands on one side", fixed=True),
    Trait("hairline_edge", "how soft and irregular the hairline is", fixed=True),
    Trait("sideburns", "how far hair grows down before the ear", {"sex": 0.3}, fixed=True),
)

AXIS_Z: Final = 0.0  # the vertical axis the azimuth is measured about
NOISE_WAVES: Final = 12  # sine waves that make the hairline irregular
CM_PER_DEGREE: Final = 0.12  # on the scalp
LOWEST_HAIR_CM: Final = 1.6  # how far below the mean line hair may reach
CROWN_Y: Final = 7.2  # above this height (and behind the forehead) the bald top lies


def near_scalp(points: Tensor) -> Tensor:
    """Which canonical points (N, 3) may bear hair on some person: bool (N,)."""
    above, nearness, _ = _mean_line(points)
    return above * nearness > -LOWEST_HAIR_CM


def _mean_line(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Height above the mean hairline, what turns it to a distance, and the azimuth in degrees: float64 (N,) each."""
    x, y, z = points.double().unbind(-1)
    azimuth = torch.atan2(x.abs(), z - AXIS_Z) * (180 / math.pi)
    knots = torch.tensor(HAIRLINE, dtype=torch.float64, device=points.device)
    place = torch.searchsorted(knots[:, 0].contiguous(), azimuth.contiguous()).clamp(1, len(knots) - 1)
    (a0, h0), (a1, h1) = knots[place - 1].unbind(-1), knots[place].unbind(-1)
    height = h0 + (h1 - h0) * (azimuth - a0) / (a1 - a0)
    slope = (h1 - h0) / ((a1 - a0) * CM_PER_DEGREE)
    return y - height, 1 / (1 + slope * slope).sqrt(), azimuth


def _waves(points: Tensor) -> list[Tensor]:
    """Three smooth random fields over canonical points (N, 3), of size about one: float64 (N,) each."""
    wave = (
        normals((7, 11), torch.zeros(1, 3, dtype=torch.int64), 4 * NOISE_WAVES)
        .double()
        .view(4, NOISE_WAVES)
        .to(points.device)
    )
    x, y, z = points.double()[..., None].unbind(1)
    turn = 2.2 * (x * wave[0] + y * wave[1] + z * wave[2]) + wave[3]
    fields = []
    for first in range(3):
        field = torch.zeros_like(turn[:, 0])
        for k in range(first, NOISE_WAVES, 3):
            field = field + torch.sin(turn[:, k])
        fields.append(field / 2.4)
    return fields


class Hairline:
    """The hairline at fixed canonical points."""

    def __init__(self, points: Tensor) -> None:
        """Takes canonical points (N, 3), cm."""
        above, nearness, azimuth = _mean_line(points)
        x, y = points.double()[:, 0], points.double()[:, 1]
        bumps = [torch.exp(-(((azimuth - at) / width) ** 2)) * -size for _, at, width, size, _ in LINE_BUMPS]
        odd = [torch.tanh(x / 1.5) if side else torch.ones_like(x) for *_, side in LINE_BUMPS]
        front = torch.exp(-((azimuth / 52.0) ** 4))  # what recedes
        line = [above.clamp(-12, 12), *(bump * sign for bump, sign in zip(bumps, odd, strict=True)), -front]
        self._basis = quantise_basis(torch.stack([part * nearness for part in line] + _waves(points)))
        self._crown = (((y - CROWN_Y) / 2.5).clamp(0, 1) * torch.exp(-((x / 6.5) ** 4))).float()

    def depth(self, subject: Subject, style: Style) -> Tensor:
        """How far inside the hair each point lies, in cm, negative on bare skin: float32 (B, N)."""
        traits = subject.traits
        irregular = 0.16 + 0.05 * traits["hairline_edge"]
        # Traits of which nobody thinks as phases make the irregularity everybody's own.
        own = [irregular * (0.6 * traits[name]).clamp(-1, 1) for name in ("hairline_peak", "sideburns")]
        moved = [traits[name] for name, *_ in LINE_BUMPS]
        amounts = [torch.ones_like(irregular), *moved, style.recession[:, 0], irregular, *own]
        return exact_product(torch.stack(amounts, 1), self._basis)

    def cover(self, subject: Subject, style: Style) -> Tensor:
        """How much of the scalp's skin is hidden by hair, 0 to 1: float32 (B, N)."""
        feather = 0.42 + 0.1 * subject.traits["hairline_edge"][:, None]
        inside = (self.depth(subject, style) * (0.45 / feather) + 0.25).clamp(0, 1)
        inside = inside * inside * (3.0 - 2.0 * inside)
        return inside * (style.scalp_cover * (1 - style.bald_crown * self._crown))
