"""The prior contract: a law that candidate identity vectors are drawn from.

A prior gives candidate k of a recipe as a pure function of (seed, k), with the same bits however the candidates are
split over calls, batches, threads or processes. This module does not know which candidates are kept, nor any particular
law (`samplers.priors`).

Shapes: n candidates, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from samplers.errors import RecipeError


@dataclass(frozen=True)
class Candidates:
    """Candidates drawn from a prior."""

    vectors: Tensor  # float32 (n, D), unit length
    norm: Tensor  # float32 (n,), the length before scaling to one; sqrt(D) where the prior has none
    group: Tensor  # int64 (n,), position in the prior's groups; 0 without groups

    @classmethod
    def joined(cls, parts: "Sequence[Candidates]") -> "Candidates":
        """Candidates drawn in several parts, one after the other."""
        columns = zip(*((part.vectors, part.norm, part.group) for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def select(self, rows: Tensor) -> "Candidates":
        """The candidates at some positions (int64, or bool (n,)), in that order."""
        return Candidates(self.vectors[rows], self.norm[rows], self.group[rows])


@dataclass(frozen=True)
class Group:
    """A named part of the people, and its share of the candidates, in (0, 1]."""

    label: str
    share: float


class Prior(Protocol):
    """A law for candidates."""

    @property
    def size(self) -> int | None:
        """How many candidates can be drawn whatever their group; None: no end."""
        ...

    @property
    def ends(self) -> tuple[int | None, ...]:
        """For each group, the first candidate of it that is not there; None: no end."""
        ...

    @property
    def dimension(self) -> int | None:
        """How many numbers a vector has; None: any (see `check_dimension`)."""
        ...

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups; a prior without groups has one, Group("", 1.0)."""
        ...

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        """The candidates (n,), int64, from 0. `purpose` names the stream of random numbers.

        Raises IndexError for a candidate that is not there.
        """
        ...

    def group_of(self, candidate: Tensor) -> Tensor:
        """The group of the candidates (n,): int64 (n,). Nothing is drawn."""
        ...


def check_dimension(prior: Prior, dimension: int) -> None:
    """Raise RecipeError if the prior's vectors have another number of dimensions than the renderer wants."""
    if prior.dimension not in (None, dimension):
        raise RecipeError(
            f"identities.prior: its vectors have {prior.dimension} numbers, the renderer wants {dimension}"
        )
