"""Hairstyles in numbers: one table row per class, and how traits move each number.

All numbers of all pictures are looked up and varied at once, so pictures with different hairstyles differ only in
values. This module does not know who wears which class, and not how strands are grown.

Shapes: B pictures.
"""

from dataclasses import dataclass, field, fields
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.exact import exact_product, quantise_basis
from synth.renderers.head.traits import Subject

#: Each class in numbers, in the order of `Style` from `front_length` to `ragged`; the comments there give the meaning.
# fmt: off
STYLES: Final[dict[str, tuple[float, ...]]] = {
    #               length front, top, side, back   lift       layer      comb: aside, back, side  weight stiff cling
    #               curl: radius, length  clump width wild cover tied ragged
    "buzz": (
        0.3, 0.3, 0.25, 0.25, 0.35, 0.35, 0.12, 0.08, 0.2, -0.5, 0.3, 0.0, 0.5, 0.8,
        0.0, 3.0, 0.0, 0.15, 0.4, 0.8, 0.0, 0.3,
    ),
    "crop": (
        2.6, 3.0, 1.4, 1.3, 0.42, 0.3, 0.9, 0.45, 0.5, -0.6, 0.5, 0.05, 0.55, 0.5,
        0.0, 4.0, 0.3, 0.28, 0.4, 0.95, 0.0, 0.3,
    ),
    "swept": (
        6.5, 6.5, 2.0, 1.8, 0.5, 0.25, 1.6, 0.5, 1.0, 0.55, 0.7, 0.04, 0.6, 0.65,
        0.1, 6.0, 0.45, 0.32, 0.22, 0.97, 0.0, 0.3,
    ),
    "medium": (
        9.0, 11.0, 9.0, 8.0, 0.3, 0.25, 1.3, 1.5, 1.0, 0.25, 0.25, 0.06, 0.5, 0.6,
        0.2, 7.0, 0.5, 0.36, 0.22, 1.0, 0.0, 0.25,
    ),
    "long": (
        22.0, 23.0, 19.0, 17.0, 0.25, 0.15, 1.3, 1.6, 1.0, 0.2, 0.2, 0.06, 0.45, 0.6,
        0.25, 8.0, 0.5, 0.38, 0.14, 1.0, 0.0, 0.22,
    ),
    "tied": (
        15.0, 13.0, 12.0, 9.0, 0.1, 0.05, 0.5, 0.3, 0.2, 1.0, 1.6, 0.0, 0.35, 0.9,
        0.0, 8.0, 0.3, 0.34, 0.06, 1.0, 1.0, 0.1,
    ),
    "curly_short": (
        4.5, 5.5, 3.0, 2.5, 0.7, 0.5, 1.8, 0.8, 0.5, -0.1, 0.3, 0.06, 0.6, 0.3,
        0.42, 2.6, 0.6, 0.36, 0.5, 1.0, 0.0, 0.3,
    ),
    "curly_long": (
        13.0, 14.0, 13.0, 11.0, 0.5, 0.4, 2.0, 1.9, 0.9, 0.2, 0.15, 0.07, 0.5, 0.35,
        0.55, 4.6, 0.65, 0.42, 0.3, 1.0, 0.0, 0.3,
    ),
    "coily_short": (
        1.5, 1.8, 0.9, 0.8, 0.85, 0.7, 0.9, 0.4, 0.0, 0.0, 0.1, 0.0, 0.6, 0.1,
        0.16, 1.0, 0.3, 0.26, 0.6, 1.0, 0.0, 0.15,
    ),
    "afro": (
        4.0, 4.8, 4.6, 4.2, 0.95, 0.9, 3.6, 3.4, 0.05, 0.0, 0.0, 0.02, 0.75, 0.0,
        0.3, 2.1, 0.35, 0.4, 0.45, 1.0, 0.0, 0.2,
    ),
}
# fmt: on
CLASSES: Final = tuple(STYLES)


@dataclass(frozen=True)
class Style:
    """The numbers by which hair is grown, float32 (B, 1) each, in cm; the first ones are the columns of `STYLES`."""

    front_length: Tensor  # of strands rooted at the front
    top_length: Tensor
    side_length: Tensor
    back_length: Tensor
    lift_top: Tensor  # share of the outward direction in the first direction, 0 to 1
    lift_side: Tensor
    layer_top: Tensor  # thickness of the hair mass
    layer_side: Tensor
    aside: Tensor  # combed away from the parting
    backward: Tensor  # combed back from the forehead; negative: to the front
    side_back: Tensor  # at the sides, combed back rather than down
    gravity: Tensor  # turn downwards per cm
    stiffness: Tensor  # how far a strand keeps its direction from joint to joint
    cling: Tensor  # how strongly it follows the head's surface
    curl_radius: Tensor
    curl_length: Tensor  # cm per turn
    clump: Tensor  # how far strands gather to locks at their ends, 0 to 1
    width: Tensor  # of a ribbon
    wild: Tensor  # disorder of directions
    scalp_cover: Tensor  # how much skin the roots hide
    tied: Tensor  # 1 for hair gathered at the back
    ragged: Tensor  # spread of the strands' lengths, 0 to 1
    # From here on no class differs from another:
    recession: Tensor  # how far the forehead hairline has moved back
    bald_crown: Tensor  # share of the top's strands that are lost
    parting: Tensor  # x of the parting
    fringe: Tensor  # share of front strands that fall on the forehead, 0 to 1
    fringe_drift: Tensor  # sideways direction of the fringe
    tousle: Tensor  # sideways direction of all strands on top
    window: Tensor  # half width of the opening that hair leaves for the face
    turn_in: Tensor  # ends turn to the face (positive) or away, cm
    lopsided: Tensor  # more volume on the picture's right, -1 to 1


@dataclass(frozen=True)
class Variation:
    """How traits move one number: class's number * exp(sum of scaled) + sum of shifted, within bounds."""

    scaled: dict[str, float] = field(default_factory=dict)
    shifted: dict[str, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 99.0
    base: float = 0.0  # for numbers in which no class differs from another


#: Names here are traits, but for "one" (always 1), "fall" and "tousled" (the attribute `hair_fall` and its size),
#: "loss" (`hair_loss` on the male side, else far below) and "curls" (`hair_curl` where positive).
VARIATIONS: Final = {
    "front_length": Variation({"hair_length": 0.16}),
    "top_length": Variation({"hair_length": 0.16}),
    "side_length": Variation({"hair_length": 0.16, "hair_sides": 0.12}),
    "back_length": Variation({"hair_length": 0.16}),
    "lift_top": Variation({}, {"hair_volume": 0.08}, high=1.0),
    "lift_side": Variation({}, {"hair_sides": 0.06}, high=1.0),
    "layer_top": Variation({"hair_volume": 0.28}),
    "layer_side": Variation({"hair_volume": 0.28, "hair_sides": 0.3}),
    "backward": Variation({}, {"hair_sweep": 0.3}, low=-3.0),
    "side_back": Variation({}, {"hair_sweep": 0.12}, low=-3.0),
    "curl_radius": Variation({"hair_curl": 0.25}, {"curls": 0.06}),
    "curl_length": Variation({"hair_curl": -0.1}),
    "clump": Variation({}, {"hair_locks": 0.13}, high=0.9),
    "width": Variation({"hair_strength": 0.12}),
    "wild": Variation({"hair_tidiness": -0.35, "tousled": 0.6}),
    "scalp_cover": Variation({}, {"hair_strength": 0.06, "one": -0.03}, high=1.0),
    "ragged": Variation({"hair_layers": 0.35}, high=0.7),
    "recession": Variation({}, {"loss": 1.5, "one": -0.6}),
    "bald_crown": Variation({}, {"loss": 1.2, "one": -0.96}, high=1.0),
    "parting": Variation({}, {"hair_parting": 2.0}, low=-3.4, high=3.4),
    "fringe": Variation({}, {"fringe": 0.5, "one": 0.15}, high=1.0),
    "fringe_drift": Variation({}, {"fringe_side": 0.45, "fall": 0.4}, low=-0.8, high=0.8),
    "tousle": Variation({}, {"fall": 0.35}, low=-1.0),
    "window": Variation({}, {"hair_ear_cover": -0.55}, low=4.6, high=6.8, base=5.8),
    "turn_in": Variation({}, {"hair_ends": 0.5}, low=-1.5, high=1.5),
    "lopsided": Variation({}, {"hair_lopsided": 0.28}, low=-0.8, high=0.8),
}
_INPUTS: Final = tuple(dict.fromkeys(name for v in VARIATIONS.values() for name in (*v.scaled, *v.shifted)))


class Stylist:
    """Looks up and varies the numbers of hairstyles, all at once."""

    def __init__(self, device: torch.device) -> None:
        names = [field.name for field in fields(Style)]
        none = Variation(low=-99.0)
        varied = [VARIATIONS.get(name, none) for name in names]
        shared = [v.base for v in varied[len(STYLES["buzz"]) :]]
        self._table = torch.tensor([(*STYLES[name], *shared) for name in CLASSES], device=device)
        scaled = [[v.scaled.get(name, 0.0) for v in varied] for name in _INPUTS]
        shifted = [[v.shifted.get(name, 0.0) for v in varied] for name in _INPUTS]
        self._basis = quantise_basis(torch.tensor([a + b for a, b in zip(scaled, shifted, strict=True)], device=device))
        self._low = torch.tensor([v.low for v in varied], device=device)
        self._high = torch.tensor([v.high for v in varied], device=device)

    def style(self, subject: Subject, chosen: Tensor) -> Style:
        """The numbers of each person's hair, by class (B,) in `CLASSES`, traits and the attribute `hair_fall`."""
        traits, fall = subject.traits, subject.attributes["hair_fall"]
        male = (traits["sex"] > 0).float()
        known = traits | {
            "one": torch.ones_like(fall),
            "fall": fall,
            "tousled": fall.abs(),
            "loss": traits["hair_loss"] * male - 9.0 * (1 - male),
            "curls": traits["hair_curl"].clamp(min=0),
        }
        change = exact_product(torch.stack([known[name] for name in _INPUTS], 1), self._basis)
        scale, shift = change.chunk(2, 1)
        numbers = self._table.index_select(0, chosen) * scale.exp() + shift
        numbers = torch.minimum(torch.maximum(numbers, self._low), self._high)
        return Style(*numbers.t()[..., None].unbind(0))
