"""Vectors on the unit hypersphere: lengths and cosines whose bits do not depend on batch, threads or device.

Matrix products are used to search, never to decide or to store: what is kept or compared with a limit is computed here,
in float64 and in a fixed order. This module does not know what the vectors stand for.

Shapes: I identities or rows, D dimensions.
"""

import torch
from torch import Tensor

#: A float32 cosine of unit vectors is off by less than this; nearer to a limit it is redone in float64.
COSINE_ROUNDING = 1e-5


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the rows of a and b, (..., D) and (..., D): float64 (...), added dimension by dimension."""
    product = a.double() * b.double()
    total = torch.zeros(product.shape[:-1], dtype=torch.float64, device=product.device)
    for term in product.unbind(-1):
        total = total + term
    return total


def normalise(vectors: Tensor) -> Tensor:
    """Rows (..., D) scaled to length one: float32. Raises ValueError for a row without a direction."""
    length = inner(vectors, vectors).sqrt()
    if bool((length < 1e-12).any()):
        raise ValueError("a vector of length zero has no direction")
    return (vectors.double() / length[..., None]).float()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of the rows of a and b, which need not have unit length: float64 (...)."""
    return inner(a, b) / (inner(a, a) * inner(b, b)).sqrt()
