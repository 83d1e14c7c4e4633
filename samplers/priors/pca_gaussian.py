"""The PCA-Gaussian prior: a normal law in the principal components of people's features, drawn exactly.

Shapes: n candidates, D dimensions, K components. This module does not know where the numbers of a prior come from
(`samplers.pca` fits one, `synth.embeddings` reads one).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from samplers import random
from samplers.prior import Candidates
from samplers.priors.plain import Plain, candidate_index, of_features

#: A loading keeps this many bits below the largest of its prior.
LOADING_BITS = 22
#: A standard normal number of a PCA prior keeps this many bits behind the point. (None is as large as 8.)
NORMAL_BITS = 16
#: A PCA prior's features are sums of at most this many exact products, the mean's among them.
MAX_TERMS = 4096
assert 8 * 2**NORMAL_BITS * 2**LOADING_BITS * MAX_TERMS <= 2**53, "a sum would leave the whole numbers of float64"


@dataclass(frozen=True)
class PcaGaussian(Plain):
    """A normal law of features: mean + sum over r of z_r deviation_r component_r, with z standard normal.

    The way of Vec2Face (arXiv 2409.02979): the features of real people, whose lengths are kept, are described by their
    principal components (`samplers.pca` fits them). `mean` is (D,), `components` (K, D) with orthonormal rows,
    `deviations` (K,) standard deviations, K < 4096. Raises ValueError, in one line, for anything else.

    The product is exact, so no batch, thread, BLAS or device gives other bits. Loadings and mean are rounded to whole
    multiples of a power of two, 22 bits below the largest of them, and the z, all under 8, to multiples of 2^-16.
    Then every product is a whole number of at most 19 + 22 bits in the two units, and any sum of some of the at most
    4096 of them stays within 2^53: float64 holds each one exactly, in whatever order they are added.
    """

    mean: Tensor
    components: Tensor
    deviations: Tensor

    def __post_init__(self) -> None:
        if self.components.ndim != 2:
            raise ValueError("the components of a PCA prior are rows of numbers")
        rank, dimension = self.components.shape
        if self.mean.shape != (dimension,) or self.deviations.shape != (rank,):
            raise ValueError(
                f"{rank} components of {dimension} numbers go with a mean of {dimension} and {rank} deviations, "
                f"not with {tuple(self.mean.shape)} and {tuple(self.deviations.shape)}"
            )
        if not 0 < rank < MAX_TERMS:
            raise ValueError(f"a PCA prior has 1 to {MAX_TERMS - 1} components, not {rank}")
        if not all(bool(part.isfinite().all()) for part in (self.mean, self.components, self.deviations)):
            raise ValueError("a PCA prior holds NaN or infinity")
        if bool((self.deviations < 0).any()) or not bool(self.deviations.any()):
            raise ValueError("the deviations of a PCA prior are numbers from 0 on, not all of them 0")
        rows = self.components.double()
        if not torch.allclose(rows @ rows.T, torch.eye(rank, dtype=torch.float64), atol=1e-3):
            raise ValueError("the components of a PCA prior are not orthonormal")

    @property
    def dimension(self) -> int | None:
        """D."""
        return self.components.shape[1]

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        """The candidates (n,) (see `Prior.draw`)."""
        assert dimension == self.dimension
        loadings, step = self._lattice
        z = random.normals(random.key_of(seed, purpose), candidate_index(candidate), len(self.components))
        whole = (z.double() * 2**NORMAL_BITS).round()  # (n, K)
        assert bool((whole.abs() <= 8 * 2**NORMAL_BITS).all()), "a normal number of more than 8"
        return of_features((whole @ loadings[1:] + loadings[0] * 2**NORMAL_BITS) * (step * 2**-NORMAL_BITS))

    @cached_property
    def _lattice(self) -> tuple[Tensor, float]:
        """Mean and loadings as whole numbers, float64 (1 + K, D), in steps of a power of two; and the step."""
        loadings = torch.cat((self.mean[None].double(), self.deviations[:, None].double() * self.components.double()))
        step = 2.0 ** (math.frexp(float(loadings.abs().max()))[1] - LOADING_BITS)
        whole = (loadings / step).round()
        assert bool((whole.abs() <= 2**LOADING_BITS).all())
        return whole, step
