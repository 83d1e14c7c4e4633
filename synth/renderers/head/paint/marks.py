"""Marks on the skin: freckles, age spots and moles, which belong to a person and never move.

Freckles and age spots are noise above a threshold; the person's random mixture of a few noise maps makes the pattern,
a trait makes its density and strength. Moles are single spots placed by habits. This module does not know the colour of
the skin: it adds melanin to it.

Shapes: B people, N vertices, n of them touched.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from synth.renderers.head.paint import masks
from synth.renderers.head.paint.canvas import mix
from synth.renderers.head.paint.colours import share_below
from synth.renderers.head.paint.masks import Spot
from synth.renderers.head.paint.sitter import Sitter
from synth.renderers.head.traits import Trait


@dataclass(frozen=True)
class MolePlace:
    """Where a mole may lie: its mean place and how far its traits move it, cm."""

    name: str
    x: float
    y: float
    reach_x: float
    reach_y: float


# Few enough to be told apart, and each in a part of the face of its own.
MOLES: tuple[MolePlace, ...] = (
    MolePlace("left_cheek", -3.6, -3.4, 0.8, 1.0),
    MolePlace("right_cheek", 3.4, -5.2, 0.9, 1.0),
    MolePlace("chin", -0.8, -8.9, 1.3, 0.5),
)
MOLE_REACH_STD = 2.2  # traits beyond this many standard deviations move a mole no farther
MOLE_MELANIN = 1.9

TRAITS: tuple[Trait, ...] = (Trait("freckles", "how freckled", {"ancestry_a": -0.2}, fixed=True),)
FRECKLE_HABITS, AGE_SPOT_HABITS = ("freckles_0", "freckles_1"), ("age_spots_0", "age_spots_1")
HABITS = (
    "freckle_size",
    "age_spots",
    *FRECKLE_HABITS,
    *AGE_SPOT_HABITS,
    *(f"mole_{place.name}_{what}" for place in MOLES for what in ("x", "y", "size")),
)

FRECKLE_AREA = (Spot(2.6, -1.9, 2.6, 1.7), Spot(0.0, -2.2, 1.6, 1.9, mirrored=False), Spot(2.0, 4.0, 3.2, 1.9))
AGE_SPOT_AREA = (Spot(5.2, 0.8, 1.8, 2.6), Spot(3.0, 5.2, 3.0, 1.8), Spot(4.8, -3.0, 1.8, 1.8))
FINE_CM, COARSE_CM, AGE_SPOT_CM = 0.17, 0.25, 0.6
PATTERNS = 2  # noise maps that a person mixes
EDGE = 0.18  # areas end where their soft spots have fallen to this


class Marks:
    """Freckles, age spots and moles over the vertices of the face."""

    def __init__(self, canonical: Tensor) -> None:
        self.freckle_index, self.freckle_area = _area(canonical, FRECKLE_AREA)
        there = canonical[self.freckle_index]
        self.fine = torch.stack([masks.noise(there, FINE_CM, f"fine freckles {i}") for i in range(PATTERNS)])
        self.coarse = torch.stack([masks.noise(there, COARSE_CM, f"coarse freckles {i}") for i in range(PATTERNS)])
        self.spot_index, self.spot_area = _area(canonical, AGE_SPOT_AREA)
        there = canonical[self.spot_index]
        self.spots = torch.stack([masks.noise(there, AGE_SPOT_CM, f"age spots {i}") for i in range(PATTERNS)])
        self.moles = _Moles(canonical)

    def add(self, sitter: Sitter, melanin: Tensor) -> None:
        """Add the melanin of all marks to (B, N), in place."""
        melanin.index_add_(1, self.freckle_index, self._freckles(sitter))
        melanin.index_add_(1, self.spot_index, self._age_spots(sitter))
        melanin.index_add_(1, self.moles.index, self.moles.melanin(sitter))

    def _freckles(self, sitter: Sitter) -> Tensor:
        own, amount = sitter.traits(FRECKLE_HABITS), sitter.trait("freckles")
        coarse = share_below(1.4 * sitter.trait("freckle_size"))
        pattern = mix(_mixture(own, self.fine), _mixture(own, self.coarse), coarse)
        threshold = 1.65 - 0.45 * amount
        light = (1.0 - 1.4 * sitter.tan).clamp(min=0.0)
        strength = light * (0.12 + 0.9 * share_below(1.5 * amount - 1.35))
        return masks.smooth_step(threshold, threshold + 0.7, pattern) * (self.freckle_area * strength)

    def _age_spots(self, sitter: Sitter) -> Tensor:
        amount = sitter.trait("age_spots")
        threshold = 1.7 - 0.35 * amount
        strength = (sitter.old - 0.25).clamp(min=0.0) * torch.exp(0.5 * amount) * 0.5
        pattern = _mixture(sitter.traits(AGE_SPOT_HABITS), self.spots)
        return masks.smooth_step(threshold, threshold + 0.6, pattern) * (self.spot_area * strength)


class _Moles:
    """All moles and the vertices they may lie on; vertices that two moles may reach are listed for both."""

    def __init__(self, canonical: Tensor) -> None:
        far, device = MOLE_REACH_STD, canonical.device
        reached = []
        for place in MOLES:
            x = (place.x - far * place.reach_x - 0.4, place.x + far * place.reach_x + 0.4)
            y = (place.y - far * place.reach_y - 0.4, place.y + far * place.reach_y + 0.4)
            reached.append(masks.within(canonical, x, y, mirrored=False))
        self.index = torch.cat(reached)
        self.number = torch.cat([torch.full_like(index, i) for i, index in enumerate(reached)])
        self.x, self.y = canonical[self.index, 0], canonical[self.index, 1]
        self.mean = torch.tensor([m.x for m in MOLES] + [m.y for m in MOLES], device=device)
        self.reach = torch.tensor([m.reach_x for m in MOLES] + [m.reach_y for m in MOLES], device=device)
        self.places = [f"mole_{place.name}_{axis}" for axis in "xy" for place in MOLES]
        self.sizes = [f"mole_{place.name}_size" for place in MOLES]

    def melanin(self, sitter: Sitter) -> Tensor:
        """Melanin on the moles' vertices: (B, n). Below a certain size there is hardly any mole."""
        far = MOLE_REACH_STD
        x, y = (self.mean + self.reach * sitter.traits(self.places).clamp(-far, far)).chunk(2, 1)
        size = sitter.traits(self.sizes)
        radius = 0.10 + 0.06 * size.clamp(min=0.0)
        strength = MOLE_MELANIN * share_below(2.5 * size - 2.5)
        x, y, steep, strength = (each[:, self.number] for each in (x, y, -1.0 / (radius * radius), strength))
        dx, dy = self.x - x, self.y - y
        return torch.exp((dx * dx + dy * dy) * steep) * strength


def _area(canonical: Tensor, spots: tuple[Spot, ...]) -> tuple[Tensor, Tensor]:
    """The vertices of an area, (n,), and how much each belongs to it, (n,)."""
    area = ((masks.spots_mask(canonical, spots) - EDGE) * (1 / (1.0 - EDGE))).clamp(min=0.0)
    index = (area > 0.0).nonzero()[:, 0]
    return index, area[index]


def _mixture(weights: Tensor, maps: Tensor) -> Tensor:
    """Two maps (2, n) added by a person's weights (B, 2), with unit variance: (B, n)."""
    a, b = weights[:, :1], weights[:, 1:]
    length = (a * a + b * b + 1e-6).sqrt()
    return (a / length) * maps[0] + (b / length) * maps[1]
