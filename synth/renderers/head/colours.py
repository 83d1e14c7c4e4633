"""Pigments: the colours of skin, hair and iris from melanin and blood, in linear RGB.

Skin reflects what two absorbing layers leave of the light (Beer and Lambert): melanin in the epidermis, haemoglobin in
the dermis below it, each with its own strength per channel. Hair takes its colour from eumelanin (brown to black) and
pheomelanin (red), and loses both with age. All strengths are hand-chosen so that the colours look right. This module
does not know where on a face a colour goes.

Shapes: B people.
"""

import torch
from torch import Tensor

from samplers import random
from synth.renderers.head.axes import age_years
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    Trait("skin_melanin", "skin from very light to very dark", {"ancestry_a": 0.45}, fixed=True),
    Trait("hair_melanin", "hair from blond to black", {"ancestry_b": 0.3}, fixed=True),
    Trait("hair_red", "red in the hair", fixed=True),
    Trait("greying", "how early the hair turns grey", fixed=True),
)

# Per channel (red, green, blue): the colour of bloodless, pigmentless skin, and how strongly each pigment absorbs.
DERMIS = (0.80, 0.66, 0.56)
MELANIN_ABSORPTION = (0.92, 1.09, 1.25)
BLOOD_ABSORPTION = (0.10, 0.50, 0.42)
YELLOW_ABSORPTION = (0.02, 0.10, 0.42)  # carotene and thick horny skin
LIGHTEST_MELANIN, DARKEST_MELANIN = 0.06, 2.35  # optical depth; tones between are spread evenly in lightness

HAIR_KERATIN = (0.60, 0.53, 0.42)  # white hair, a little yellow
EUMELANIN_ABSORPTION = (1.0, 1.32, 1.70)
PHEOMELANIN_ABSORPTION = (0.12, 0.85, 1.75)
BLACKEST_HAIR = 3.6  # eumelanin, optical depth


def person_normals(subject: Subject, purpose: str, count: int) -> Tensor:
    """Standard normal numbers that stay with a person, for one purpose: (B, count)."""
    return random.normals(subject.person, random.noise_index(subject.person, purpose), count)


def share_below(z: Tensor) -> Tensor:
    """The share of a standard normal law that lies below z, by a tanh that is right to 0.0002: any shape."""
    return 0.5 + 0.5 * torch.tanh(0.7978846 * z * (1.0 + 0.044715 * z * z))


def absorb(base: tuple[float, float, float], *layers: tuple[Tensor, tuple[float, float, float]]) -> Tensor:
    """A base colour seen through layers of (optical depth (...), absorption per channel): linear RGB (..., 3)."""
    channels = []
    for channel, reflectance in enumerate(base):
        depth = sum(amount * absorption[channel] for amount, absorption in layers)
        channels.append(reflectance * torch.exp(-torch.as_tensor(depth)))
    return torch.stack(channels, -1)


def skin_melanin(subject: Subject) -> Tensor:
    """Melanin of the constitutive skin, optical depth: (B,). Every tone between lightest and darkest is as likely."""
    return LIGHTEST_MELANIN + (DARKEST_MELANIN - LIGHTEST_MELANIN) * share_below(subject.traits["skin_melanin"])


def skin_colour(melanin: Tensor, blood: Tensor, yellow: Tensor) -> Tensor:
    """Skin albedo from its pigments, optical depths of any one shape (...): linear RGB (..., 3)."""
    return absorb(
        DERMIS, (melanin, MELANIN_ABSORPTION), (blood, BLOOD_ABSORPTION), (yellow, YELLOW_ABSORPTION)
    )


def grey_share(subject: Subject) -> Tensor:
    """Share of white hairs: 0 when young, half at about 55 years, earlier or later by trait: (B,)."""
    half_grey_years = 56.0 - 6.5 * subject.traits["greying"]
    return 0.5 + 0.5 * torch.tanh((age_years(subject) - half_grey_years) / 9.0)


def hair_eumelanin(subject: Subject) -> Tensor:
    """Eumelanin of the hair, optical depth: (B,). Fair hair goes with light skin; dark skin has nearly always dark hair."""
    darkness = 0.7 * subject.traits["hair_melanin"] + 2.6 * share_below(subject.traits["skin_melanin"]) - 0.4
    return 0.18 + BLACKEST_HAIR * share_below(darkness) * share_below(darkness)


def pigmented_hair_colour(subject: Subject) -> Tensor:
    """Hair colour as if nothing had turned grey: linear RGB (B, 3)."""
    red = 0.10 + 0.75 * share_below(2.2 * (subject.traits["hair_red"] - 1.35))
    return absorb(HAIR_KERATIN, (hair_eumelanin(subject), EUMELANIN_ABSORPTION), (red, PHEOMELANIN_ABSORPTION))


def hair_colour(subject: Subject) -> Tensor:
    """Mean colour of the scalp hair: linear RGB (B, 3)."""
    grey = grey_share(subject)[:, None]
    white = torch.tensor(HAIR_KERATIN, device=grey.device)
    return pigmented_hair_colour(subject) * (1.0 - grey) + 0.75 * white * grey


def brow_colour(subject: Subject) -> Tensor:
    """Brows: darker and redder than fair hair, and the last to turn grey. Linear RGB (B, 3)."""
    eumelanin = 0.55 + 0.9 * hair_eumelanin(subject)
    red = 0.25 + 0.5 * share_below(2.2 * (subject.traits["hair_red"] - 1.35))
    grey = (grey_share(subject) * 0.55 - 0.15).clamp(min=0.0)[:, None]
    pigmented = absorb(HAIR_KERATIN, (eumelanin, EUMELANIN_ABSORPTION), (red, PHEOMELANIN_ABSORPTION))
    white = torch.tensor(HAIR_KERATIN, device=grey.device)
    return pigmented * (1.0 - grey) + 0.55 * white * grey
