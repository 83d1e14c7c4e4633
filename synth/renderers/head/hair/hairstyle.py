"""Which hairstyle a person wears.

A person's class follows from a few thresholds on traits of the anchor, so it never changes between pictures; further
traits vary it. This module does not know what a class means for the strands.

Shapes: B pictures.
"""

from functools import cache
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal
from synth.renderers.head.hair.stylist import CLASSES, Style, Stylist
from synth.renderers.head.traits import Subject, Trait

TRAITS: Final = (
    Trait("hair_length", "how long the hair is worn", fixed=True),
    Trait("hair_curl", "how curly the hair is", {"ancestry_a": 0.4}, fixed=True),
    Trait("hair_volume", "how far the hair stands off the head", fixed=True),
    Trait("hair_loss", "how far the hair has receded, on the male side", {"age": 0.4}, fixed=True),
    Trait("hair_parting", "where the hair is parted", fixed=True),
    Trait("hair_sweep", "combed back or to the front", fixed=True),
    Trait("fringe", "how far a fringe comes down the forehead", {"sex": -0.25}, fixed=True),
    Trait("fringe_side", "to which side the fringe falls", fixed=True),
    Trait("hair_sides", "how full the sides are", fixed=True),
    Trait("hair_ear_cover", "whether hair falls over or behind the ears and cheeks", {"sex": -0.2}, fixed=True),
    Trait("hair_ends", "whether the ends turn in or out", fixed=True),
    Trait("hair_tidiness", "how orderly the strands lie", fixed=True),
    Trait("hair_strength", "how thick the strands are and how dense", {"age": -0.2}, fixed=True),
    Trait("hair_locks", "how strongly strands gather to locks", fixed=True),
    Trait("hair_layers", "cut to one length or in layers", fixed=True),
    Trait("hair_lopsided", "fuller on one side than on the other", fixed=True),
)

ATTRIBUTES: Final = {
    "hair_fall": Attribute(
        "how the hair happens to lie: tidy at 0, tousled to either side at -1 and 1",
        default=0.0,
        low=-1.0,
        high=1.0,
        distribution=Normal(mean=0.0, std=0.4, low=-1.0, high=1.0),
    )
}

#: Class by `hair_length` for a man and for a woman: the class above each threshold, the first one below all.
MALE_LENGTHS: Final = (("buzz", -9.0), ("crop", -1.2), ("swept", 0.25), ("medium", 1.2), ("long", 1.9))
FEMALE_LENGTHS: Final = (("crop", -9.0), ("swept", -2.0), ("medium", -1.4), ("long", -0.35), ("tied", 0.95))
CURLY_ABOVE: Final = 0.75  # of `hair_curl`
COILY_ABOVE: Final = 1.45
THINNING_ABOVE: Final = 0.9  # of `hair_loss`, on the male side: such men wear it short
#: What each straight class becomes when curly or coily.
CURLY: Final = {"buzz": "buzz", "crop": "curly_short", "swept": "curly_short", "tied": "tied"}
COILY: Final = {"buzz": "buzz", "crop": "coily_short", "swept": "coily_short", "tied": "tied"}


def hair_class(traits: dict[str, Tensor]) -> Tensor:
    """Position of each person's class in `CLASSES`, by traits (B,): int64 (B,)."""
    male = traits["sex"] > 0
    length = torch.where(male, _step(traits["hair_length"], MALE_LENGTHS), _step(traits["hair_length"], FEMALE_LENGTHS))
    thinning = male & (traits["hair_loss"] > THINNING_ABOVE)
    length = torch.where(thinning, length.clamp(max=CLASSES.index("crop")), length)
    curly, coily = (_renamed(length, names, rest) for names, rest in ((CURLY, "curly_long"), (COILY, "afro")))
    curl = traits["hair_curl"]
    return torch.where(curl > COILY_ABOVE, coily, torch.where(curl > CURLY_ABOVE, curly, length))


@cache
def _stylist(device: torch.device) -> Stylist:
    return Stylist(device)


def hair_style(subject: Subject) -> Style:
    """The numbers of each person's hair in this picture."""
    return _stylist(subject.key.device).style(subject, hair_class(subject.traits))


def describe(traits: dict[str, Tensor]) -> dict[str, Tensor | list[str]]:
    """The class of hair of people with these traits, in words."""
    return {"hair_class": [CLASSES[i] for i in hair_class(traits).tolist()]}


def _step(value: Tensor, ladder: tuple[tuple[str, float], ...]) -> Tensor:
    """The class of the highest threshold below each value: int64 (B,)."""
    chosen = torch.full_like(value, CLASSES.index(ladder[0][0]), dtype=torch.int64)
    for name, threshold in ladder[1:]:
        chosen = torch.where(value > threshold, CLASSES.index(name), chosen)
    return chosen


def _renamed(chosen: Tensor, names: dict[str, str], rest: str) -> Tensor:
    """Classes looked up by name in `names`, `rest` for those not named: int64 (B,)."""
    table = [CLASSES.index(names.get(name, rest)) for name in CLASSES]
    return torch.tensor(table, device=chosen.device)[chosen]
