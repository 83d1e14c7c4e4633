"""The certificate: the proof, for anybody to repeat, of how far apart the identities of a dataset are.

Made from the vectors alone, by comparing every pair once. This module does not know how the vectors came about.

Shapes: I identities, D dimensions.
"""

from dataclasses import dataclass

from torch import Tensor

from samplers.bounds import levenshtein_bound, welch_bound
from samplers.cones import ConeProof
from samplers.pairs import Pairs

_DIGITS = 9  # of the bounds: fewer than any two machines' logarithms agree on


@dataclass(frozen=True)
class Certificate:
    """The proof of separation: the largest cosine over all pairs, the pair that has it, and how all pairs lie."""

    count: int
    dimension: int
    max_cosine: float | None  # None with fewer than two identities
    pair: tuple[int, int] | None
    limit: float
    method: str
    pairs_compared: int
    histogram: tuple[int, ...]  # pairs by cosine: bins centred on -1, -0.99, ... 1
    welch_bound: float  # no arrangement has a smaller largest absolute cosine
    levenshtein_bound: float  # no arrangement has a smaller largest cosine
    cones: ConeProof | None  # that no two people's views overlap; None where views have no rim

    @property
    def holds(self) -> bool:
        """Whether no pair exceeds the limit; none can exceed 1, though rounding may say so of equal vectors."""
        return self.max_cosine is None or self.limit >= 1 or self.max_cosine <= self.limit


METHOD = "every pair once in float32 tiles; leading pairs and edges of bins again in float64 in a fixed order"


def certify(vectors: Tensor, pairs: Pairs, limit: float, cones: ConeProof | None) -> Certificate:
    """The certificate of vectors (I, D), from the exact comparison of all pairs, its histogram included."""
    count, dimension = vectors.shape
    assert pairs.histogram is not None, "a certificate has the histogram of all pairs"
    largest, pair = None, None
    if count > 1:
        one = int((pairs.cosine == pairs.cosine.max()).nonzero()[0, 0])
        largest, pair = float(pairs.cosine[one]), (one, int(pairs.nearest[one]))
    return Certificate(
        count=count,
        dimension=dimension,
        max_cosine=largest,
        pair=pair,
        limit=limit,
        method=METHOD,
        pairs_compared=int(pairs.histogram.sum()),
        histogram=tuple(pairs.histogram.tolist()),
        welch_bound=round(welch_bound(count, dimension), _DIGITS),
        levenshtein_bound=round(levenshtein_bound(count, dimension), _DIGITS),
        cones=cones,
    )
