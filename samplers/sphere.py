"""Vectors on the unit hypersphere: lengths and cosines whose bits do not depend on batch, threads or device.

Matrix products are used to search, never to decide or to store: what is kept or compared with a limit is computed here,
in float64 and in a fixed order. This module does not know what the vectors stand for.

Shapes: I identities or rows, D dimensions.
"""

import torch
from torch import Tensor
from torch.nn import functional

#: A float32 cosine of unit vectors is off by less than this; nearer to a limit it is redone in float64.
COSINE_ROUNDING = 1e-5
#: The same of a product in TF32, whose factors have ten bits behind the point.
TF32_ROUNDING = 2e-3
_ROWS_AT_ONCE = 16_384  # in float64, with what a sum needs: some hundred MB


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the rows of a and b, (..., D) and (..., D): float64 (...), added dimension by dimension."""
    product = a.double() * b.double()
    total = torch.zeros(product.shape[:-1], dtype=torch.float64, device=product.device)
    for term in product.unbind(-1):
        total = total + term
    return total


def rounding(tile: Tensor) -> float:
    """By how much the cosines of a tile (m, n), from `product`, may be off: more on a GPU that multiplies in TF32."""
    return TF32_ROUNDING if tile.is_cuda and torch.backends.cuda.matmul.allow_tf32 else COSINE_ROUNDING


def product(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of every row of a (m, D) with every row of b (n, D), for searching: float32 (m, n).

    On a CPU by oneDNN, where torch has it: torch's own choice for float32, MKL, is half as fast on processors that are
    not Intel's. The last bits depend on the shape and on the processor.
    """
    if a.device.type == "cpu" and a.numel() and b.numel() and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        found: Tensor = functional.linear(a.to_mkldnn(), b).to_dense()
        return found
    return a @ b.T


def normalise(vectors: Tensor) -> Tensor:
    """Rows (..., D) scaled to length one: float32. Raises ValueError for a row without a direction, or not finite."""
    if vectors.ndim == 2 and len(vectors) > _ROWS_AT_ONCE:
        return torch.cat([normalise(rows) for rows in torch.split(vectors, _ROWS_AT_ONCE)])
    length = inner(vectors, vectors).sqrt()
    if not bool((length.isfinite() & (length >= 1e-12)).all()):
        raise ValueError("a vector of length zero, or not finite, has no direction")
    return (vectors.double() / length[..., None]).float()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of the rows of a and b, which need not have unit length: float64 (...)."""
    return inner(a, b) / (inner(a, a) * inner(b, b)).sqrt()
