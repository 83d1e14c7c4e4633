"""Identities: the people of a dataset as separated unit vectors, with the certificate of their separation.

One function, from settings to a record. This module does not know how a person looks, nor where the record is stored.
"""

from dataclasses import dataclass

from torch import Tensor

from samplers.priors import Prior
from samplers.separation import Certificate, certify, nearest_neighbours, separate


@dataclass(frozen=True)
class Identities:
    """All people of a dataset."""

    vectors: Tensor  # float32 (I, D), unit length: the anchors
    nearest: Tensor  # int64 (I,), each one's nearest other identity
    nearest_cosine: Tensor  # float32 (I,)
    certificate: Certificate
    candidates: int  # drawn from the prior until all were found


def draw_identities(prior: Prior, seed: int, count: int, dimension: int, max_cosine: float) -> Identities:
    """Draw `count` identities of `dimension` numbers from a prior, no two with a cosine above `max_cosine`.

    Raises SaturationError, within a bounded number of candidates, if they do not fit.
    """
    separated = separate(lambda first, n: prior.draw(seed, first, n, dimension), count, max_cosine)
    neighbours = nearest_neighbours(separated.vectors)
    certificate = certify(separated.vectors, neighbours, max_cosine)
    assert certificate.holds, "the greedy rule let a pair pass"
    return Identities(
        separated.vectors, neighbours.nearest, neighbours.cosine.float(), certificate, separated.candidates
    )
