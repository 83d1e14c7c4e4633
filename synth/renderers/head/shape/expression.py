"""What changes within a person: expressions, ageing, and the pull of the sex-like and weight-like axes on the shape.

Like `features`, tables of moves per unit of a coefficient; and the coefficients themselves, from attributes and shared
axes. Lids are not here: they slide over eyeballs, see `lids_closing` and `Face`. Strengths are chosen by eye.

Shapes: B pictures.
"""

from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal, Sometimes, Uniform
from synth.renderers.head.axes import MEDIAN_AGE_YEARS, age_years, maleness
from synth.renderers.head.shape.moves import Move
from synth.renderers.head.traits import Subject

FREE: Final = 99.0


def _sometimes(chance: float, high: float) -> Sometimes:
    return Sometimes(chance=chance, then=Uniform(low=0.05, high=high))


ATTRIBUTES: Final[dict[str, Attribute]] = {
    "smile": Attribute("strength of a smile", 0.0, "share", 0.0, 1.0, distribution=_sometimes(0.45, 0.9)),
    "mouth_open": Attribute("how far the jaw drops", 0.0, "share", 0.0, 1.0, distribution=_sometimes(0.15, 0.5)),
    "brow_raise": Attribute("raised brows", 0.0, "share", 0.0, 1.0, distribution=_sometimes(0.2, 0.8)),
    "frown": Attribute("knitted brows", 0.0, "share", 0.0, 1.0, distribution=_sometimes(0.15, 0.8)),
    "squint": Attribute("narrowed eyes", 0.0, "share", 0.0, 1.0, distribution=_sometimes(0.2, 0.7)),
    "eyes_closed": Attribute("closed eyes", 0.0, "share", 0.0, 1.0, distribution=_sometimes(0.03, 1.0)),
    "lip_pucker": Attribute("pursed lips", 0.0, "share", 0.0, 1.0, distribution=_sometimes(0.08, 0.7)),
    "age_shift_years": Attribute(
        "older or younger than the person's usual age", 0.0, "years", -15.0, 15.0,
        distribution=Normal(mean=0.0, std=4.0, low=-12.0, high=12.0),
    ),
}  # fmt: skip

#: per unit of a coefficient of `coefficients`
CHANGES: Final[dict[str, tuple[Move, ...]]] = {
    "smile": (
        Move((2.5, -6.9, 9), (1.15, 1.1, 3), shift=(0.58, 0.68, -0.36)),
        Move((3.9, -3.3, 8), (1.5, 1.3, 3), shift=(0.05, 0.30, 0.30)),
        Move((4.2, -6.4, 7.5), (1.2, 1.4, 3), shift=(0.28, 0.10, -0.05)),
        Move((2.95, -5.7, 8.8), (0.38, 1.1, 3), shift=(0, 0, -0.16)),
        Move((0, -6.2, 10), (1.7, 0.5, 3), shift=(0, 0.05, -0.08)),
        Move((0, -7.6, 10), (1.9, 0.6, 3), shift=(0, 0.10, -0.08)),
        Move((1.5, -4.5, 9.7), (0.7, 0.6, 2), shift=(0.09, 0.05, 0)),
    ),
    "brow_raise": (
        Move((2.9, 2.0, 9), (2.6, 1.0, 4), shift=(0, 0.45, 0.03)),
        Move((2.0, 4.3, 9), (3.0, 1.2, 4), shift=(0, 0.18, 0.03)),
    ),
    "frown": (
        Move((1.4, 1.9, 9.3), (1.2, 0.8, 4), shift=(-0.22, -0.26, 0.10)),
        Move((0, 2.1, 9.6), (0.25, 0.6, 3), shift=(0, 0, -0.06)),
        Move((2.5, -7.0, 9), (0.9, 0.8, 3), shift=(0, -0.12, 0)),
    ),
    "lip_pucker": (
        Move((0, -6.9, 9.6), (3.2, 1.3, 4), stretch=(-0.20, 0.10, 0)),
        Move((0, -6.9, 9.8), (1.6, 1.2, 3), shift=(0, 0, 0.36)),
    ),
    "maleness": (
        Move((3.0, 2.1, 9), (2.1, 0.80, 4), shift=(0, 0, 0.20)),
        Move((2.9, 2.0, 9), (2.8, 1.0, 4), shift=(0, -0.16, 0)),
        Move((0, 6.0, 8), (6.0, 3.0, 8), shift=(0, 0, -0.20)),
        Move((5.2, -8.2, 2.5), (2.6, 2.6, 4.2), shift=(0.27, -0.16, 0)),
        Move((4.2, -9.6, 6.0), (2.6, 2.0, 4.5), shift=(0.18, -0.05, 0)),
        Move((0, -10.5, 8.5), (3.2, 1.6, 4), shift=(0, -0.24, 0.14), stretch=(0.12, 0, 0)),
        Move((1.7, -10.6, 8.3), (1.1, 1.0, 3), shift=(0.09, -0.05, 0.05)),
        Move((4.2, -4.4, 7.0), (2.0, 2.1, 4), shift=(-0.05, 0, -0.11)),
        Move((0, -3.0, 10.5), (2.2, 2.8, 3), shift=(0, -0.12, 0.24), stretch=(0.12, 0, 0)),
        Move((0, -4.0, 11.2), (1.1, 0.8, 2), shift=(0, -0.09, 0)),
        Move((0, -6.9, 9.6), (3.6, 1.5, 4), shift=(0, -0.10, 0), flat=1.3),
        Move((0, -6.1, 10.1), (2.3, 0.5, 3), shift=(0, -0.10, -0.07)),
        Move((0, -7.8, 10), (2.1, 0.5, 3), shift=(0, 0.08, -0.06)),
        Move((3.15, 0, 8), (2.0, 0.85, 4), stretch=(-0.03, -0.10, 0), flat=2),
        Move((3.15, 0.25, 8), (2.3, 1.3, 4), shift=(0, 0, -0.10), flat=1.3),
        Move((0, -13, -1), (FREE, 4, FREE), stretch=(0.09, 0, 0.04), open="d"),
        Move((0, -14.4, 5), (0.8, 1.1, 3), shift=(0, 0, 0.22)),
    ),
    "weight": (
        Move((4.7, -4.8, 6.2), (2.5, 2.8, 4.5), shift=(0.29, -0.03, 0.17)),
        Move((4.4, -9.0, 5.5), (2.6, 2.0, 4.2), shift=(0.26, -0.12, 0.08)),
        Move((0, -11.9, 6.5), (4, 1.7, 3.5), shift=(0, -0.26, 0.12)),
        Move((3.15, -1.1, 8.3), (1.6, 0.6, 4), shift=(0, 0, 0.05)),
        Move((0, -4.3, 10.4), (2.2, 1.2, 3), stretch=(0.03, 0, 0)),
        Move((0, -14, -1), (FREE, 4, FREE), stretch=(0.05, 0, 0.03), open="d"),
    ),
    "age": (
        Move((4.2, -8.8, 6), (1.2, 1.1, 3), shift=(0.08, -0.15, 0.10)),
        Move((2.7, -10.0, 8), (0.6, 0.9, 3), shift=(0, 0, -0.08)),
        Move((2.65, -5.5, 9), (0.4, 1.2, 4), shift=(0, 0, -0.09)),
        Move((3.3, -5.0, 8.8), (0.7, 1.3, 4), shift=(0, -0.08, 0.07)),
        Move((4.9, -4.6, 6.2), (1.3, 1.5, 3.2), shift=(-0.08, -0.03, -0.06)),
        Move((6.3, 2.3, 4.5), (1.6, 2.2, 3.5), shift=(-0.08, 0, -0.05)),
        Move((0, -6.1, 10.1), (2.3, 0.5, 3), shift=(0, -0.08, -0.05)),
        Move((0, -7.8, 10), (2.1, 0.5, 3), shift=(0, 0.05, -0.05)),
        Move((2.5, -7.0, 9), (0.9, 0.8, 3), shift=(0, -0.09, 0)),
        Move((0, -4.2, 11), (1.4, 1.1, 3), shift=(0, -0.09, 0.06)),
        Move((7.7, -3.8, -0.8), (1.5, 2.0, 2.4), shift=(0.04, -0.18, 0)),
        Move((4.2, 1.1, 8), (1.4, 0.7, 4), shift=(0, -0.13, 0.03)),
        Move((3.3, 0.9, 8.3), (1.5, 0.4, 4), shift=(0, -0.07, 0.05)),
        Move((3.2, -1.15, 8.3), (1.1, 0.4, 4), shift=(0, -0.03, 0.07)),
        Move((2.4, -1.6, 8.4), (0.9, 0.4, 4), shift=(0, 0, -0.07)),
        Move((0, -12.2, 5.5), (2.5, 1.4, 3), shift=(0, -0.14, 0.10)),
    ),
}
THINNESS: Final = 0.6  # being thin shows less than being heavy
PARTING_SMILE: Final = 0.4  # a stronger smile shows teeth
AGE_UNIT_YEARS: Final = 18.0  # one coefficient of ageing


def coefficients(subject: Subject) -> dict[str, Tensor]:
    """The coefficient (B,) of every entry of `CHANGES` and of the fields of `jaw`: a broad smile parts the lips."""
    parted = ((subject.attributes["smile"] - PARTING_SMILE) / (1 - PARTING_SMILE)).clamp(0.0, 1.0)
    opened, weight = subject.attributes["mouth_open"], subject.traits["weight"]
    derived = {
        "maleness": 2 * maleness(subject) - 1,
        "weight": weight.clamp(min=0.0) + THINNESS * weight.clamp(max=0.0),
        "age": ((age_years(subject) - MEDIAN_AGE_YEARS) / AGE_UNIT_YEARS).clamp(-1.0, 2.4),
        "jaw": opened + 0.10 * parted,
        "lip_lift": parted + 0.25 * opened,
    }
    return {name: subject.attributes[name] for name in CHANGES if name not in derived} | derived


def lids_closing(subject: Subject) -> tuple[Tensor, Tensor]:
    """How far the upper lid comes down and the lower lid up, as shares of the opening: (B,) each."""
    moves = subject.attributes
    squint, smile, raised = moves["squint"], moves["smile"], moves["brow_raise"]
    upper = 0.22 * squint + 0.06 * smile - 0.14 * raised
    lower = 0.26 * squint + 0.20 * smile
    shut = moves["eyes_closed"]
    return torch.minimum(upper + shut, 1 - 0.12 * shut - lower * (1 - shut)), lower * (1 - shut) + 0.12 * shut
