"""Priors: the laws that candidate identity vectors are drawn from.

A prior gives candidate k of a recipe as a pure function of (seed, k), so that any part of the candidates can be drawn
anywhere and in any order. This module does not know which candidates are kept.
"""

from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from samplers import random
from samplers.sphere import normalise


class Prior(Protocol):
    """A law on the unit sphere."""

    def draw(self, seed: int, first: int, count: int, dimension: int) -> Tensor:
        """Candidates first .. first + count - 1: float32 (count, dimension), unit length."""
        ...


class UniformPrior(BaseModel):
    """Every direction alike: a normalised standard normal vector."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["uniform"] = "uniform"

    def draw(self, seed: int, first: int, count: int, dimension: int) -> Tensor:
        """Candidates first .. first + count - 1: float32 (count, dimension), unit length."""
        candidate = torch.arange(first, first + count)
        index = torch.stack((candidate, torch.zeros_like(candidate), torch.zeros_like(candidate)), -1)
        return normalise(random.normals(random.key_of(seed, "candidate"), index, dimension))
