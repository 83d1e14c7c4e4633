"""Bounds: how far apart many directions can be at best, whatever arranges them.

For N unit vectors in D dimensions, numbers below which the largest cosine over all pairs cannot fall. A packing or a
separation limit is judged against them. This module does not know any vectors, only how many there are.

`N` is called count, `D` dimension, `s` cosine. All in float64; counts may be as large as 10^8.
"""

import math
from typing import Literal

BoundName = Literal["simplex", "orthoplex", "Levenshtein"]

_HALVINGS = 100


def _check(count: int, dimension: int) -> None:
    if count < 0 or dimension < 1:
        raise ValueError(f"there are no {count} vectors in {dimension} dimensions")


def welch_bound(count: int, dimension: int) -> float:
    """sqrt((N - D) / (D (N - 1))) for N > D, else 0 (Welch, "Lower bounds on the maximum cross correlation", 1974).

    It bounds the largest ABSOLUTE cosine. It does not bound the largest cosine: the orthoplex (2 D vectors, plus and
    minus the axes) has a largest cosine of 0, far below it, because its opposite vectors have a cosine of -1.
    """
    _check(count, dimension)
    return math.sqrt((count - dimension) / (dimension * (count - 1))) if count > dimension else 0.0


def simplex_bound(count: int) -> float:
    """-1 / (N - 1), which the regular simplex reaches while N <= D + 1 (Rankin 1955); -1 for fewer than two vectors."""
    return -1.0 / (count - 1) if count > 1 else -1.0


def orthoplex_bound(count: int, dimension: int) -> float:
    """0 for N > D + 1, else -1, which says nothing (Rankin, "The closest packing of spherical caps", 1955).

    The orthoplex reaches 0 with up to 2 D vectors.
    """
    _check(count, dimension)
    return 0.0 if count > dimension + 1 else -1.0


def levenshtein_size(dimension: int, cosine: float) -> float:
    """An upper bound on how many unit vectors have pairwise cosines <= s; infinite where it exceeds float64.

    Levenshtein, "Universal bounds for codes and designs" (1998): the odd bound L_{2k-1} holds for t_{k-1}^{1,1} <= s <=
    t_k^{1,0}, the even L_{2k} for t_k^{1,0} <= s <= t_k^{1,1}, where t_k^{a,b} is the largest zero of the Jacobi
    polynomial P_k^{(a + (D-3)/2, b + (D-3)/2)}. With Gegenbauer polynomials scaled to P_k(1) = 1, (1 - s) P_k^{1,0} is
    a positive multiple of P_k - P_{k+1}, and (1 - s^2) P_k^{1,1} one of P_k - P_{k+2}. Going up in k, s lies under the
    first zero that it has not passed, and there these differences first cease to be positive: no zero needs computing.
    The bounds of neighbouring intervals meet, so a rounded comparison does no harm.

    The circle (D = 2) has its exact size as a real number, 2 pi / arccos(s); the line (D = 1) holds two vectors. Takes
    k steps, which is many only for angles far smaller than those of 10^8 vectors. Raises ValueError for a cosine
    outside [-1, 1].
    """
    _check(0, dimension)
    if not -1 <= cosine <= 1:
        raise ValueError(f"a cosine lies between -1 and 1, not at {cosine:g}")
    if cosine == 1:
        return math.inf
    if dimension < 3:
        return 2.0 if dimension == 1 else 2 * math.pi / math.acos(cosine)
    n, s, k = dimension, cosine, 1
    before, here, after = 1.0, s, _next_gegenbauer(n, s, 1, 1.0, s)
    while True:  # before, here, after: P_{k-1}, P_k, P_{k+1} at s, up to a common positive factor
        if here <= after:
            bracket = (2 * k + n - 3) / (n - 1) - (before - here) / ((1 - s) * here)
            return _times_binomial(k + n - 3, k - 1, bracket)
        beyond = _next_gegenbauer(n, s, k + 1, here, after)
        if here <= beyond:
            bracket = (2 * k + n - 1) / (n - 1) - (1 + s) * (here - after) / ((1 - s) * (here + after))
            return _times_binomial(k + n - 2, k, bracket)
        scale = max(abs(here), abs(after))  # keeps them from underflow
        before, here, after, k = here / scale, after / scale, beyond / scale, k + 1


def _next_gegenbauer(n: int, s: float, k: int, before: float, here: float) -> float:
    """P_{k+1}(s) from P_{k-1}(s) and P_k(s): (k + n - 2) P_{k+1} = (2 k + n - 2) s P_k - k P_{k-1}."""
    return ((2 * k + n - 2) * s * here - k * before) / (k + n - 2)


def _times_binomial(above: int, below: int, factor: float) -> float:
    try:
        return math.comb(above, below) * factor
    except OverflowError:
        return math.inf


def levenshtein_bound(count: int, dimension: int) -> float:
    """The smallest s at which `levenshtein_size` reaches N: no N unit vectors have a smaller largest cosine.

    Found by halving the angle's interval, to rounding, from below.
    """
    _check(count, dimension)
    if count <= 2:
        return -1.0
    if dimension < 3:
        return 1.0 if dimension == 1 else math.cos(2 * math.pi / count)
    narrow, wide = 0.0, math.pi  # N vectors may be `narrow` apart, never `wide`
    for _ in range(_HALVINGS):
        angle = (narrow + wide) / 2
        if angle in (narrow, wide):
            break
        if levenshtein_size(dimension, math.cos(angle)) >= count:
            narrow = angle
        else:
            wide = angle
    return math.cos(wide)


def least_max_cosine(count: int, dimension: int) -> tuple[float, BoundName]:
    """The largest cosine that N unit vectors in D dimensions cannot all stay below, and the bound that says so.

    The strongest of the bounds above that hold for cosines with their sign (Welch's does not). Each has its range:
    the simplex up to D + 1 vectors, the orthoplex up to 2 D, Levenshtein beyond.
    """
    _check(count, dimension)
    if count <= dimension + 1:
        return simplex_bound(count), "simplex"
    if count <= 2 * dimension:
        return orthoplex_bound(count, dimension), "orthoplex"
    return levenshtein_bound(count, dimension), "Levenshtein"
