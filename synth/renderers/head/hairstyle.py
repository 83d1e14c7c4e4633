"""Which hairstyle a person wears, and what that means for the strands: classes, their numbers, and the traits that vary them.

A person's class follows from a few thresholds on traits of the anchor, so it never changes between pictures. Everything else is a
table row per class, looked up by class for the whole batch at once, and moved by further traits. This module does not know how
strands are grown.

Shapes: B pictures.
"""

from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal
from synth.renderers.head.traits import Subject, Trait

CLASSES: Final = (
    "buzz",
    "crop",
    "swept",
    "medium",
    "long",
    "tied",
    "curly_short",
    "curly_long",
    "coily_short",
    "afro",
)

#: Each class in numbers, in the order of `Style` from `front_length` to `tint`; the fields' comments give the meaning.
#:            front  top   side  back  lift  lift  layer layer aside back  side  grav  stiff cling curl  curl  clump width wild  cover
#:                                     top   side  top   side        ward  back                    rad   len
STYLES: Final = {
    "buzz": (0.5, 0.5, 0.4, 0.4, 0.6, 0.6, 0.2, 0.15, 0.2, -0.5, 0.3, 0.0, 0.5, 0.5, 0.0, 3.0, 0.0, 0.16, 0.5, 0.8),
    "crop": (2.6, 3.0, 1.4, 1.3, 0.42, 0.3, 0.9, 0.45, 0.5, -0.6, 0.5, 0.05, 0.55, 0.5, 0.0, 4.0, 0.3, 0.24, 0.4, 0.95),
    "swept": (6.5, 6.5, 2.0, 1.8, 0.5, 0.25, 1.6, 0.5, 1.0, 0.55, 0.7, 0.04, 0.6, 0.65, 0.1, 6.0, 0.45, 0.28, 0.22, 0.97),
    "medium": (9.0, 11.0, 9.0, 8.0, 0.3, 0.25, 1.3, 1.5, 1.0, 0.25, 0.25, 0.06, 0.5, 0.6, 0.2, 7.0, 0.5, 0.32, 0.22, 1.0),
    "long": (22.0, 23.0, 19.0, 17.0, 0.25, 0.15, 1.3, 1.6, 1.0, 0.2, 0.2, 0.06, 0.45, 0.6, 0.25, 8.0, 0.5, 0.34, 0.14, 1.0),
    "tied": (15.0, 13.0, 12.0, 9.0, 0.1, 0.05, 0.5, 0.3, 0.2, 1.0, 1.6, 0.0, 0.35, 0.9, 0.0, 8.0, 0.3, 0.34, 0.06, 1.0),
    "curly_short": (4.5, 5.5, 3.0, 2.5, 0.7, 0.5, 1.8, 0.8, 0.5, -0.1, 0.3, 0.06, 0.6, 0.3, 0.42, 2.6, 0.6, 0.32, 0.5, 1.0),
    "curly_long": (13.0, 14.0, 13.0, 11.0, 0.5, 0.4, 2.0, 1.9, 0.9, 0.2, 0.15, 0.07, 0.5, 0.35, 0.55, 3.6, 0.65, 0.36, 0.3, 1.0),
    "coily_short": (1.5, 1.8, 0.9, 0.8, 0.85, 0.7, 0.9, 0.4, 0.0, 0.0, 0.1, 0.0, 0.6, 0.1, 0.16, 1.0, 0.3, 0.26, 0.6, 1.0),
    "afro": (4.6, 5.5, 5.0, 4.5, 0.95, 0.9, 4.0, 3.6, 0.1, 0.0, 0.0, 0.015, 0.75, 0.0, 0.28, 1.4, 0.5, 0.36, 0.55, 1.0),
}

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


@dataclass(frozen=True)
class Style:
    """The numbers by which hair is grown, float32 (B,) each; lengths in cm."""

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
    # What comes from traits alone:
    recession: Tensor  # how far the forehead hairline has moved back
    bald_crown: Tensor  # share of the top's strands that are lost
    parting: Tensor  # x of the parting
    fringe: Tensor  # share of front strands that fall on the forehead, 0 to 1
    fringe_drift: Tensor  # sideways direction of the fringe
    curtain: Tensor  # hair beside the face stays behind this z
    turn_in: Tensor  # ends turn to the face (positive) or away
    tied: Tensor  # 1 for hair gathered at the back
    window: Tensor  # half width of the opening that hair leaves for the face
    ragged: Tensor  # spread of the strands' lengths, 0 to 1
    lopsided: Tensor  # more volume on the picture's right, -1 to 1


def hair_class(subject: Subject) -> Tensor:
    """Position of each person's class in `CLASSES`: int64 (B,)."""
    traits = subject.traits
    male = traits["sex"] > 0
    length = torch.where(male, _step(traits["hair_length"], MALE_LENGTHS), _step(traits["hair_length"], FEMALE_LENGTHS))
    thinning = male & (traits["hair_loss"] > THINNING_ABOVE)
    length = torch.where(thinning, length.clamp(max=CLASSES.index("crop")), length)
    curly, coily = (_renamed(length, names, rest) for names, rest in ((CURLY, "curly_long"), (COILY, "afro")))
    curl = traits["hair_curl"]
    return torch.where(curl > COILY_ABOVE, coily, torch.where(curl > CURLY_ABOVE, curly, length))


def hair_style(subject: Subject) -> Style:
    """The numbers of each person's hair, by class and traits."""
    traits = subject.traits
    device = subject.key.device
    table = torch.tensor([STYLES[name] for name in CLASSES], device=device)
    names = [field.name for field in fields(Style)][: table.shape[1]]
    chosen = hair_class(subject)
    row = dict(zip(names, table[chosen].unbind(-1), strict=True))
    varied = _varied(row, traits, subject.attributes["hair_fall"])
    tied = (chosen == CLASSES.index("tied")).float()
    return Style(**(row | varied | _personal(traits) | {"tied": tied}))


def _varied(row: dict[str, Tensor], traits: dict[str, Tensor], fall: Tensor) -> dict[str, Tensor]:
    """The table's numbers moved by traits."""
    longer = (0.16 * traits["hair_length"]).exp()
    fuller = (0.28 * traits["hair_volume"]).exp()
    sides = fuller * (0.3 * traits["hair_sides"]).exp()
    strong = (0.12 * traits["hair_strength"]).exp()
    curl = traits["hair_curl"]
    return {
        "front_length": row["front_length"] * longer,
        "top_length": row["top_length"] * longer,
        "side_length": row["side_length"] * longer * (0.12 * traits["hair_sides"]).exp(),
        "back_length": row["back_length"] * longer,
        "lift_top": (row["lift_top"] + 0.08 * traits["hair_volume"]).clamp(0, 1),
        "lift_side": (row["lift_side"] + 0.06 * traits["hair_sides"]).clamp(0, 1),
        "layer_top": row["layer_top"] * fuller,
        "layer_side": row["layer_side"] * sides,
        "backward": row["backward"] + 0.3 * traits["hair_sweep"],
        "side_back": row["side_back"] + 0.12 * traits["hair_sweep"],
        "curl_radius": row["curl_radius"] * (0.25 * curl).exp() + 0.06 * curl.clamp(min=0),
        "curl_length": row["curl_length"] * (-0.1 * curl).exp(),
        "clump": (row["clump"] + 0.13 * traits["hair_locks"]).clamp(0, 0.9),
        "width": row["width"] * strong,
        "wild": row["wild"] * (-0.35 * traits["hair_tidiness"]).exp() * (1 + 0.6 * fall.abs()),
        "scalp_cover": (row["scalp_cover"] + 0.06 * traits["hair_strength"] - 0.03).clamp(0, 1),
    }


def _personal(traits: dict[str, Tensor]) -> dict[str, Tensor]:
    """What comes from traits alone."""
    male = (traits["sex"] > 0).float()
    loss = male * traits["hair_loss"]
    return {
        "recession": 1.5 * (loss - 0.4).clamp(min=0),
        "bald_crown": (1.2 * (loss - 0.8)).clamp(0, 1),
        "parting": 3.2 * (0.8 * traits["hair_parting"]).tanh(),
        "fringe": (0.15 + 0.5 * traits["fringe"]).clamp(0, 1),
        "fringe_drift": 0.6 * traits["fringe_side"].tanh(),
        "curtain": 3.6 + 1.1 * traits["hair_ear_cover"],
        "window": 5.4 - 0.55 * traits["hair_ear_cover"].clamp(-2, 2),
        "ragged": 0.3 * (0.35 * traits["hair_layers"]).exp(),
        "turn_in": 0.5 * traits["hair_ends"],
        "lopsided": (0.3 * traits["hair_lopsided"]).tanh(),
    }


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
