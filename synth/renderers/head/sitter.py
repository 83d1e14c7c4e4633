"""The sitter: what all painters want to know of the people they paint, worked out once per picture.

Numbers come as columns (B, 1), ready to meet rows of vertices. This module does not know what painters do with them.

Shapes: B people, K names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers import random
from synth.renderers.head import colours
from synth.renderers.head.axes import ageing, maleness
from synth.renderers.head.traits import Subject

#: How many standard normal numbers of their own people have for each purpose; they stay with the person.
OWN_NUMBERS = {"complexion": 7, "freckles": 2, "age_spots": 2, "lipstick": 2, "eye_shadow": 1, "teeth": 1}


@dataclass(frozen=True)
class Sitter:
    """B people, for painters."""

    subject: Subject
    male: Tensor  # (B, 1), 0 to 1
    old: Tensor  # (B, 1), 0 to 1
    melanin: Tensor  # (B, 1), optical depth of the skin
    made_up: Tensor  # (B, 1), make-up worn, 0 to 1; next to none on the male side
    hair: colours.HairPigments
    own: dict[str, Tensor]  # (B, count) each: `OWN_NUMBERS`

    def trait(self, name: str) -> Tensor:
        """One trait: (B, 1)."""
        return self.subject.traits[name][:, None]

    def traits(self, names: Sequence[str]) -> Tensor:
        """Several traits: (B, K)."""
        return torch.stack([self.subject.traits[name] for name in names], 1)

    def attribute(self, name: str) -> Tensor:
        """One attribute: (B, 1)."""
        return self.subject.attributes[name][:, None]


def sit(subject: Subject) -> Sitter:
    """Look at the people of B pictures."""
    male = maleness(subject)[:, None]
    numbers = random.normals(subject.person, random.noise_index(subject.person, "paint"), sum(OWN_NUMBERS.values()))
    return Sitter(
        subject=subject,
        male=male,
        old=ageing(subject)[:, None],
        melanin=colours.skin_melanin(subject)[:, None],
        made_up=subject.attributes["make_up"][:, None] * (1.0 - 0.9 * male),
        hair=colours.hair_pigments(subject),
        own=dict(zip(OWN_NUMBERS, numbers.split(list(OWN_NUMBERS.values()), 1), strict=True)),
    )
