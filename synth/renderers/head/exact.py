"""Matrix products whose bits do not depend on batch size, thread count or device.

Kernels add in different orders, and rounding makes the order visible. Here both factors are first rounded to fixed
fractions (whole multiples of a power of two), so that every product and every partial sum is a whole number that a
float64 holds exactly: then all orders give the same result. This module does not know what is multiplied.
"""

import torch
from torch import Tensor

COEFFICIENT_STEP = 2.0**-12
BASIS_STEP = 2.0**-18


def quantise_basis(basis: Tensor) -> Tensor:
    """A basis (K, M) in multiples of `BASIS_STEP`: float64, whole numbers. Entries must stay below 16 in size."""
    assert float(basis.abs().max()) < 16 and basis.shape[0] < 1024, "the sums would outgrow 53 bits"
    return (basis.double() / BASIS_STEP).round()


def exact_product(coefficients: Tensor, basis: Tensor) -> Tensor:
    """coefficients (B, K) times a quantised basis (K, M): float32 (B, M), the same bits for any B, threads or device.

    Coefficients are rounded to multiples of `COEFFICIENT_STEP` and clamped to +-32; 17 + 22 + 10 bits fit into 53.
    """
    whole = (coefficients.double() / COEFFICIENT_STEP).round().clamp(-32 / COEFFICIENT_STEP, 32 / COEFFICIENT_STEP)
    return ((whole @ basis) * (COEFFICIENT_STEP * BASIS_STEP)).float()
