"""Pigments: the colours of skin, hair and iris from melanin and blood, in linear RGB.

Skin reflects what two absorbing layers leave of the light (Beer and Lambert): melanin in the epidermis, haemoglobin in
the dermis below it, each with its own strength per channel. Hair takes its colour from eumelanin (brown to black) and
pheomelanin (red), and loses both with age. All strengths are hand-chosen so that the colours look right. This module
does not know where on a face a colour goes.

Shapes: B people.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from synth.renderers.head.axes import age_years
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    Trait("skin_melanin", "skin from very light to very dark", {"ancestry_a": 0.45}, fixed=True),
    Trait("hair_melanin", "hair from blond to black", {"ancestry_b": 0.3}, fixed=True),
    Trait("hair_red", "red in the hair", fixed=True),
    Trait("greying", "how early the hair turns grey", fixed=True),
)

# Per channel (red, green, blue): the colour of bloodless, pigmentless skin, and how strongly each pigment absorbs.
Triple = tuple[float, float, float]

DERMIS = (0.80, 0.66, 0.56)
MELANIN_ABSORPTION = (0.92, 1.09, 1.25)
BLOOD_ABSORPTION = (0.10, 0.50, 0.42)
YELLOW_ABSORPTION = (0.02, 0.10, 0.42)  # carotene and thick horny skin
LIGHTEST_MELANIN, DARKEST_MELANIN = 0.12, 2.5  # optical depth; tones between are spread evenly in lightness

HAIR_KERATIN = (0.60, 0.53, 0.42)  # white hair, a little yellow
EUMELANIN_ABSORPTION = (1.0, 1.32, 1.70)
PHEOMELANIN_ABSORPTION = (0.12, 0.85, 1.75)
BLACKEST_HAIR = 3.6  # eumelanin, optical depth
GREYING_SHIFT_SHARE = 0.2  # of a picture's age shift: a person's hair keeps its colour from picture to picture


def share_below(z: Tensor) -> Tensor:
    """The share of a standard normal law that lies below z, by a tanh that is right to 0.0002: any shape."""
    return 0.5 + 0.5 * torch.tanh(0.7978846 * z * (1.0 + 0.044715 * z * z))


def skin_darkness(subject: Subject) -> Tensor:
    """Share of people with lighter skin, 0 to 1: (B,)."""
    return share_below(subject.traits["skin_melanin"])


def skin_melanin(darkness: Tensor) -> Tensor:
    """Melanin of the constitutive skin, optical depth, by its darkness (0 to 1, any shape): every tone is as likely."""
    return LIGHTEST_MELANIN + (DARKEST_MELANIN - LIGHTEST_MELANIN) * darkness


def absorb(base: Triple, *layers: tuple[Tensor, Triple]) -> Tensor:
    """A base colour seen through layers of (optical depth (...), absorption per channel): linear RGB (..., 3)."""
    channels = []
    for channel, reflectance in enumerate(base):
        depth, absorption = layers[0]
        total = depth * -absorption[channel]
        for depth, absorption in layers[1:]:
            total = total - depth * absorption[channel]
        channels.append(torch.exp(total) * reflectance)
    return torch.stack(channels, -1)


def skin_colour(melanin: Tensor, blood: Tensor, yellow: Tensor) -> Tensor:
    """Skin albedo from its pigments, optical depths of any one shape (...): linear RGB (..., 3)."""
    return absorb(DERMIS, (melanin, MELANIN_ABSORPTION), (blood, BLOOD_ABSORPTION), (yellow, YELLOW_ABSORPTION))


@dataclass(frozen=True)
class HairPigments:
    """What colours a person's hair."""

    eumelanin: Tensor  # (B,), optical depth
    pheomelanin: Tensor  # (B,), optical depth
    grey: Tensor  # (B,), share of white hairs


def grey_share(subject: Subject) -> Tensor:
    """Share of white hairs: 0 when young, half at about 60 years, earlier or later by trait: (B,)."""
    half_grey_years = 60.0 - 6.5 * subject.traits["greying"]
    return 0.5 + 0.5 * torch.tanh((age_years(subject, GREYING_SHIFT_SHARE) - half_grey_years) * (1 / 9.0))


def hair_pigments(subject: Subject, skin: Tensor) -> HairPigments:
    """Pigments of B people's hair. Fair hair goes with light skin; dark skin (B,) has nearly always dark hair."""
    traits = subject.traits
    darkness = share_below(0.7 * traits["hair_melanin"] + 3.3 * skin - 0.6)
    return HairPigments(
        eumelanin=0.18 + BLACKEST_HAIR * darkness * darkness,
        pheomelanin=0.10 + 0.75 * share_below(2.2 * traits["hair_red"] - 3.0),
        grey=grey_share(subject),
    )


def _hair(eumelanin: Tensor, pheomelanin: Tensor, grey: Tensor, white: float) -> Tensor:
    """Hair of which a share has turned white, by `white` less bright than keratin: linear RGB (B, 3)."""
    pigmented = absorb(HAIR_KERATIN, (eumelanin, EUMELANIN_ABSORPTION), (pheomelanin, PHEOMELANIN_ABSORPTION))
    keratin = torch.tensor(HAIR_KERATIN, device=grey.device) * white
    return pigmented + (keratin - pigmented) * grey[:, None]


def scalp_hair_colour(pigments: HairPigments) -> Tensor:
    """Mean colour of the scalp hair: linear RGB (B, 3)."""
    return _hair(pigments.eumelanin, pigments.pheomelanin, pigments.grey, 0.75)


def brow_hair_colour(pigments: HairPigments) -> Tensor:
    """Brows: darker and redder than fair hair, and the last to turn grey. Linear RGB (B, 3)."""
    grey = (0.55 * pigments.grey - 0.15).clamp(min=0.0)
    return _hair(0.55 + 0.9 * pigments.eumelanin, 0.18 + 0.67 * pigments.pheomelanin, grey, 0.55)


def beard_hair_colour(pigments: HairPigments, tone: Tensor) -> Tensor:
    """Beards lie between scalp hair and brows, darker or lighter by a trait (B,): linear RGB (B, 3)."""
    between = 0.5 * (scalp_hair_colour(pigments) + brow_hair_colour(pigments))
    return between * torch.exp(0.22 * tone)[:, None]


def hair_colour(subject: Subject) -> Tensor:
    """Mean colour of the scalp hair: linear RGB (B, 3)."""
    return scalp_hair_colour(hair_pigments(subject, skin_darkness(subject)))


def brow_colour(subject: Subject) -> Tensor:
    """Colour of the brows: linear RGB (B, 3)."""
    return brow_hair_colour(hair_pigments(subject, skin_darkness(subject)))
