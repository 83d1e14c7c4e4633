"""Brute force in float64, the judge of the samplers' tests, and the vectors that they are tried on."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from samplers.pairs import BINS, Pairs
from samplers.priors import UniformPrior
from samplers.sphere import inner, normalise

SEEDS = st.integers(0, 2**31)
Vectors = Callable[[int, int, int], Tensor]  # of a seed, a count and a dimension
EDGES = torch.arange(-100, 100, dtype=torch.float64) / 100 + 0.005


def directions(seed: int, count: int, dimension: int) -> Tensor:
    """Unit vectors, uniform on the sphere."""
    return UniformPrior().draw(seed, torch.arange(count), dimension).vectors


def cosines(vectors: Tensor) -> Tensor:
    """Brute force: every pair in float64, dimension by dimension; none with itself."""
    total = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for column in vectors.double().unbind(1):
        total += column[:, None] * column[None]
    return total.fill_diagonal_(-2)


def about(seed: int, dimension: int, cosines_to_first: list[float]) -> Tensor:
    """A vector, and others at these cosines to it, to float32."""
    pole, *others = directions(seed, 1 + len(cosines_to_first), dimension)
    cosine = torch.tensor(cosines_to_first, dtype=torch.float64)[:, None]
    away = torch.stack([normalise(other - inner(other, pole) * pole) for other in others])
    return torch.cat((pole[None], (cosine * pole + (1 - cosine**2).sqrt() * away).float()))


def few_distinct(seed: int, count: int, dimension: int) -> Tensor:
    """Unit vectors of which many are equal."""
    some = directions(seed, max(1, count // 3), dimension)
    return some[torch.randint(len(some), (count,), generator=torch.Generator().manual_seed(seed))]


def brute_force(vectors: Tensor) -> Pairs:
    """What the comparison of all pairs must tell."""
    every = cosines(vectors)
    pairs = every[torch.ones_like(every, dtype=torch.bool).triu(1)]
    histogram = torch.bucketize(pairs, EDGES, right=True).bincount(minlength=BINS)
    if len(vectors) < 2:
        return Pairs(torch.full((len(vectors),), -1), torch.full((len(vectors),), -1.0).double(), histogram)
    return Pairs(torch.from_numpy(every.numpy().argmax(1)), every.amax(1), histogram)
