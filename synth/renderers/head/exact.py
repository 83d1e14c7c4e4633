"""Matrix products whose bits do not depend on batch size, thread count or device.

Kernels add in different orders, and rounding makes the order visible. Here both factors are first rounded to fixed
fractions (whole multiples of a power of two), so that every product and every partial sum is a whole number that a
float64 holds exactly: then all orders give the same result. This module does not know what is multiplied.
"""

from torch import Tensor

COEFFICIENT_STEP = 2.0**-12
BASIS_STEP = 2.0**-18
PRODUCT_STEP = COEFFICIENT_STEP * BASIS_STEP  # of a quantised coefficient times a quantised basis


def quantise_basis(basis: Tensor) -> Tensor:
    """A basis (K, M) in multiples of `BASIS_STEP`: float64, whole numbers. Entries must stay below 16 in size."""
    assert float(basis.abs().max()) < 16, "the sums would outgrow 53 bits"
    assert basis.shape[0] < 1024, "the sums would outgrow 53 bits"
    return (basis.double() / BASIS_STEP).round()


def quantise_coefficients(coefficients: Tensor) -> Tensor:
    """Coefficients in multiples of `COEFFICIENT_STEP`, clamped to +-32: float64, whole numbers."""
    return (coefficients.double() / COEFFICIENT_STEP).round().clamp(-32 / COEFFICIENT_STEP, 32 / COEFFICIENT_STEP)


def exact_product(coefficients: Tensor, basis: Tensor) -> Tensor:
    """coefficients (B, K) times a quantised basis (K, M): float32 (B, M), the same bits for any B, threads or device.

    Coefficients are quantised to 17 bits and a sign; 17 + 22 + 10 bits fit into 53.
    """
    return ((quantise_coefficients(coefficients) @ basis) * PRODUCT_STEP).float()
