"""Traits: what an identity vector says of a person, by name.

Every coordinate of the vector is one trait, in the order of the parts' declarations. Scaled by sqrt(D), a coordinate of
a uniform unit vector is close to standard normal, and so are the traits, but for a mild tilt along a few shared axes
(sex-like, age-like, ancestry-like) that makes people rather than random masks. This module does not know what a trait
looks like: the part that declares it does.

Shapes: B people, D traits.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

#: The shared axes. They are traits themselves, the first ones, and tilt others by the loads declared there.
SHARED = ("sex", "age", "weight", "ancestry_a", "ancestry_b")


@dataclass(frozen=True)
class Trait:
    """One named way in which people differ: standard normal over people, but for its loads on the shared axes."""

    name: str
    about: str
    loads: dict[str, float] = field(default_factory=dict)  # shift in standard deviations per one of the shared axis
    fixed: bool = False  # read from the person's anchor, not from the view's vector: colours, hair, moles


@dataclass(frozen=True)
class Subject:
    """What the parts of the head are told about B pictures."""

    traits: dict[str, Tensor]  # float32 (B,) each: fixed ones from the anchor, the others from the view's vector
    attributes: dict[str, Tensor]  # (B,) each, as in `Views`
    key: Tensor  # int64 (B, 2): each picture's own noise
    person: Tensor  # int64 (B, 2): a key made from the person alone, for patterns that stay (freckles, hair strands)


class TraitTable:
    """All traits of a renderer, in the order of the identity vector's coordinates; the shared axes come first.

    Scaled by sqrt(D), a coordinate is close to standard normal. A trait with loads is a mixture, own * sqrt(1 - sum of
    squared loads) + sum of load * shared axis, so that loads change who goes with whom, not how strongly people differ.
    """

    def __init__(self, traits: tuple[Trait, ...], device: torch.device) -> None:
        assert tuple(trait.name for trait in traits[: len(SHARED)]) == SHARED
        loads = [[trait.loads.get(axis, 0.0) for trait in traits] for axis in SHARED]
        own = [(1.0 - sum(load * load for load in trait.loads.values())) ** 0.5 for trait in traits]
        self.names = tuple(trait.name for trait in traits)
        self._loads = torch.tensor(loads, device=device)  # (5, D)
        self._own = torch.tensor(own, device=device)  # (D,)
        self._fixed = torch.tensor([trait.fixed for trait in traits], device=device)  # (D,)

    def values(self, vectors: Tensor) -> Tensor:
        """Unit vectors (B, D) to traits float32 (B, D) of mean 0 and standard deviation near 1, clamped to +-3.5."""
        scaled: Tensor = (vectors * len(self.names) ** 0.5).clamp(-3.5, 3.5)
        values = scaled * self._own
        for axis, loads in enumerate(self._loads):
            values = values + scaled[:, axis, None] * loads
        return values.clamp(-3.5, 3.5)

    def named(self, anchor: Tensor, vector: Tensor) -> dict[str, Tensor]:
        """Traits of B views by name, (B,) each: fixed ones from the anchor (B, D), others from the view's vector."""
        values = torch.where(self._fixed, self.values(anchor), self.values(vector))
        return dict(zip(self.names, values.unbind(1), strict=True))
