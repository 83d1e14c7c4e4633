"""Vectors that somebody brought along, as a prior. This module does not know who did."""

from dataclasses import dataclass

from torch import Tensor

from samplers.prior import Candidates
from samplers.priors.plain import Plain, of_features


@dataclass(frozen=True)
class Given(Plain):
    """Features at hand, float32 (n, D) of any length: the candidates are the rows, in order, and end with them."""

    vectors: Tensor

    @property
    def size(self) -> int | None:
        """n."""
        return len(self.vectors)

    @property
    def dimension(self) -> int | None:
        """D."""
        return self.vectors.shape[1]

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        """The candidates (n,) (see `Prior.draw`); neither seed nor purpose matters."""
        assert dimension == self.dimension
        assert not bool((candidate < 0).any())
        return of_features(self.vectors[candidate])
