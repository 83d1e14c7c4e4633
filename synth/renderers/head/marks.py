"""Marks on the skin: freckles, age spots and moles, which belong to a person and never move.

Freckles and age spots are noise above a threshold; the person's random mixture of a few noise maps makes the pattern,
traits make its density and strength. Moles are single spots placed by traits. This module does not know the colour of
the skin: it adds melanin to it.

Shapes: B people, N vertices, n of them touched.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from synth.renderers.head import masks
from synth.renderers.head.axes import ageing
from synth.renderers.head.canvas import column, mix
from synth.renderers.head.colours import share_below, skin_melanin
from synth.renderers.head.masks import Spot
from synth.renderers.head.traits import Subject, Trait


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

TRAITS: tuple[Trait, ...] = (
    Trait("freckles", "how freckled", {"ancestry_a": -0.2}, fixed=True),
    Trait("freckle_size", "fine or coarse freckles", fixed=True),
    Trait("age_spots", "proneness to age spots", {"age": 0.2}, fixed=True),
    *(
        Trait(f"mole_{place.name}_{what}", f"mole, {place.name.replace('_', ' ')}: {what}", fixed=True)
        for place in MOLES
        for what in ("x", "y", "size")
    ),
)

FRECKLE_AREA = (Spot(2.6, -1.9, 2.6, 1.7), Spot(0.0, -2.2, 1.6, 1.9, mirrored=False), Spot(2.0, 4.0, 3.2, 1.9))
AGE_SPOT_AREA = (Spot(5.2, 0.8, 1.8, 2.6), Spot(3.0, 5.2, 3.0, 1.8), Spot(4.8, -3.0, 1.8, 1.8))
FINE_CM, COARSE_CM, AGE_SPOT_CM = 0.20, 0.30, 0.8
PATTERNS = 2  # noise maps that a person mixes
VISIBLE = 0.06  # a mask below this is left out


class Marks:
    """Freckles, age spots and moles over the vertices of the face."""

    def __init__(self, canonical: Tensor) -> None:
        freckle_area = masks.spots_mask(canonical, FRECKLE_AREA)
        self.freckle_index = (freckle_area > VISIBLE).nonzero()[:, 0]
        there = canonical[self.freckle_index]
        self.freckle_area = freckle_area[self.freckle_index]
        self.fine = torch.stack([masks.noise(there, FINE_CM, f"fine freckles {i}") for i in range(PATTERNS)])
        self.coarse = torch.stack([masks.noise(there, COARSE_CM, f"coarse freckles {i}") for i in range(PATTERNS)])
        spot_area = masks.spots_mask(canonical, AGE_SPOT_AREA)
        self.spot_index = (spot_area > VISIBLE).nonzero()[:, 0]
        self.spot_area = spot_area[self.spot_index]
        there = canonical[self.spot_index]
        self.spots = torch.stack([masks.noise(there, AGE_SPOT_CM, f"age spots {i}") for i in range(PATTERNS)])
        self.mole_index = [_reachable(canonical, place) for place in MOLES]
        self.mole_points = [canonical[index] for index in self.mole_index]

    def add(self, subject: Subject, own: Tensor, melanin: Tensor) -> None:
        """Add the melanin of all marks to (B, N), in place; `own` are four normal numbers of each person: (B, 4)."""
        light = (1.0 - skin_melanin(subject) / 1.9).clamp(0.0, 1.0)
        melanin.index_add_(1, self.freckle_index, self._freckles(subject, own[:, :2], light))
        melanin.index_add_(1, self.spot_index, self._age_spots(subject, own[:, 2:]))
        for place, index, points in zip(MOLES, self.mole_index, self.mole_points, strict=True):
            melanin.index_add_(1, index, _mole(subject, place, points))

    def _freckles(self, subject: Subject, own: Tensor, light: Tensor) -> Tensor:
        coarse = column(share_below(1.4 * subject.traits["freckle_size"]))
        pattern = mix(_mixture(own, self.fine), _mixture(own, self.coarse), coarse)
        amount = subject.traits["freckles"]
        threshold = column(1.75 - 0.40 * amount)
        strength = column(light * (0.12 + 0.9 * share_below(1.5 * (amount - 0.9))))
        return masks.smooth_step(threshold, threshold + 0.7, pattern) * self.freckle_area * strength

    def _age_spots(self, subject: Subject, own: Tensor) -> Tensor:
        pattern = _mixture(own, self.spots)
        amount = subject.traits["age_spots"]
        threshold = column(1.7 - 0.35 * amount)
        strength = column((ageing(subject) - 0.25).clamp(min=0.0) * torch.exp(0.5 * amount) * 0.7)
        return masks.smooth_step(threshold, threshold + 0.6, pattern) * self.spot_area * strength


def _mixture(weights: Tensor, maps: Tensor) -> Tensor:
    """Two maps (2, n) added by a person's weights (B, 2), with unit variance: (B, n)."""
    a, b = weights[:, :1], weights[:, 1:]
    return (a * maps[0] + b * maps[1]) / (a * a + b * b + 1e-6).sqrt()


def _reachable(canonical: Tensor, place: MolePlace) -> Tensor:
    far = MOLE_REACH_STD
    x = (place.x - far * place.reach_x - 0.5, place.x + far * place.reach_x + 0.5)
    y = (place.y - far * place.reach_y - 0.5, place.y + far * place.reach_y + 0.5)
    return masks.within(canonical, x, y, mirrored=False)


def _mole(subject: Subject, place: MolePlace, points: Tensor) -> Tensor:
    """Melanin of one mole on its vertices (n, 3): (B, n). Below average size there is hardly any mole."""
    traits, far = subject.traits, MOLE_REACH_STD
    x = place.x + place.reach_x * traits[f"mole_{place.name}_x"].clamp(-far, far)
    y = place.y + place.reach_y * traits[f"mole_{place.name}_y"].clamp(-far, far)
    size = traits[f"mole_{place.name}_size"]
    radius = 0.10 + 0.06 * size.clamp(min=0.0)
    distance2 = (points[:, 0] - column(x)).square() + (points[:, 1] - column(y)).square()
    strength = MOLE_MELANIN * share_below(2.5 * (size - 0.7))
    return torch.exp(-distance2 / column(radius * radius)) * column(strength)
