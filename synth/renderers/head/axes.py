"""The shared axes as every part of the head reads them: how male a person looks, how old, how worn.

The axes are traits themselves (`traits.SHARED`): sex > 0 is the male side, age > 0 is older, weight > 0 is heavier,
ancestry_a > 0 leans to darker pigment. This module does not know what a part makes of them.
"""

import torch
from torch import Tensor

from synth.renderers.head.traits import Subject

SEX_GATE = 1.6  # how sharply looks split into two sides along the sex axis
MEDIAN_AGE_YEARS = 34.0
AGE_SPREAD = 0.36  # standard deviation of log age
AGE_RANGE_YEARS = (19.0, 85.0)


def maleness(subject: Subject) -> Tensor:
    """How male a person looks, in [0, 1] with most people near either end: (B,)."""
    return 0.5 + 0.5 * torch.tanh(SEX_GATE * subject.traits["sex"])


def age_years(subject: Subject, shift_share: float = 1.0) -> Tensor:
    """Apparent age in years, in this picture: (B,). `shift_share` of the picture's own age shift counts."""
    years = MEDIAN_AGE_YEARS * torch.exp(AGE_SPREAD * subject.traits["age"])
    shift: Tensor | float = subject.attributes.get("age_shift_years", 0.0)
    return (years + shift * shift_share).clamp(*AGE_RANGE_YEARS)


def ageing(subject: Subject) -> Tensor:
    """How far age shows in skin and tissue: 0 up to 25 years, 0.1 at 40, 1 at 80, in (B,)."""
    old = ((age_years(subject) - 25.0) * (1 / 55.0)).clamp(0.0, 1.0)
    return old * (0.2 + 0.8 * old)
