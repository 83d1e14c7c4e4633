"""What the simple priors share. This module does not know any law.

Shapes: n candidates, D dimensions.
"""

import math

import torch
from torch import Tensor

from samplers.prior import Candidates, Group
from samplers.sphere import inner, normalise


class Plain:
    """What most priors are: without end, of any dimension, without groups."""

    @property
    def size(self) -> int | None:
        """No end."""
        return None

    @property
    def ends(self) -> tuple[int | None, ...]:
        """The size: there is one group."""
        return (self.size,)

    @property
    def dimension(self) -> int | None:
        """Any."""
        return None

    @property
    def groups(self) -> tuple[Group, ...]:
        """One for all."""
        return (Group("", 1.0),)

    def group_of(self, candidate: Tensor) -> Tensor:
        """Zeros (n,)."""
        return torch.zeros_like(candidate)


def candidate_index(candidate: Tensor) -> Tensor:
    """The index rows by which random numbers of candidates (n,) are drawn: int64 (n, 3)."""
    return torch.stack((candidate, torch.zeros_like(candidate), torch.zeros_like(candidate)), -1)


def of_directions(vectors: Tensor) -> Candidates:
    """Unit vectors (n, D) of a law that knows no lengths: they get that of a standard normal vector."""
    count, dimension = vectors.shape
    return Candidates(vectors, torch.full((count,), math.sqrt(dimension)), torch.zeros(count, dtype=torch.int64))


def of_features(features: Tensor) -> Candidates:
    """Features (n, D) scaled to length one, their own lengths kept."""
    norm = inner(features, features).sqrt().float()
    return Candidates(normalise(features), norm, torch.zeros(len(features), dtype=torch.int64))
