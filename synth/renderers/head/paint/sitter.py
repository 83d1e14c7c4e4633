"""The sitter: what all painters want to know of the people they paint, worked out once per picture.

Numbers come as columns (B, 1), ready to meet rows of vertices. Beside traits people have habits: ways to differ that
are too small to be coordinates of the identity vector, and are drawn from the person's own key instead. This module
does not know what painters do with any of them.

Shapes: B people, K names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers import random
from synth.renderers.head.axes import ageing, maleness
from synth.renderers.head.paint import colours
from synth.renderers.head.traits import Subject


@dataclass(frozen=True)
class Sitter:
    """B people, for painters."""

    subject: Subject
    male: Tensor  # (B, 1), 0 to 1
    old: Tensor  # (B, 1), 0 to 1
    tan: Tensor  # (B, 1), darkness of the skin, 0 to 1
    melanin: Tensor  # (B, 1), the same as optical depth
    made_up: Tensor  # (B, 1), make-up worn, 0 to 1; next to none on the male side
    hair: colours.HairPigments
    habits: dict[str, Tensor]  # (B,) each: standard normal numbers that stay with the person

    def trait(self, name: str) -> Tensor:
        """One trait or habit: (B, 1)."""
        return (self.habits if name in self.habits else self.subject.traits)[name][:, None]

    def traits(self, names: Sequence[str]) -> Tensor:
        """Several traits or habits: (B, K)."""
        habits, traits = self.habits, self.subject.traits
        return torch.stack([(habits if name in habits else traits)[name] for name in names], 1)

    def attribute(self, name: str) -> Tensor:
        """One attribute: (B, 1)."""
        return self.subject.attributes[name][:, None]

    def attributes(self, names: Sequence[str]) -> Tensor:
        """Several attributes: (B, K)."""
        return torch.stack([self.subject.attributes[name] for name in names], 1)


def sit(subject: Subject, habits: Sequence[str]) -> Sitter:
    """Look at the people of B pictures, who have a number of their own for each of the named habits."""
    male, tan = maleness(subject)[:, None], colours.skin_darkness(subject)
    numbers = random.normals(subject.person, random.noise_index(subject.person, "paint"), len(habits))
    return Sitter(
        subject=subject,
        male=male,
        old=ageing(subject)[:, None],
        tan=tan[:, None],
        melanin=colours.skin_melanin(tan)[:, None],
        made_up=subject.attributes["make_up"][:, None] * (1.0 - 0.9 * male),
        hair=colours.hair_pigments(subject, tan),
        habits=dict(zip(habits, numbers.unbind(1), strict=True)),
    )
