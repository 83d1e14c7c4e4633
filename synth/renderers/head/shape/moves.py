"""Moves: the small language in which traits and expressions say how they bend the head.

A move shifts or stretches what lies within a soft region of the mean head, on both sides as in a mirror. Regions are in
canonical coordinates, so that a feature moves with all its relief and its paint. Displacements are linear in the
coefficients and come from one quantised basis; only the half at x < 0 is stored, the other half is its mirror image.

Shapes: K coefficients, M points of the half at x <= 0, B pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Triple = tuple[float, float, float]

_NOWHERE: Triple = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Move:
    """One displacement, written for the side x > 0: centimetres and stretch per unit of its coefficient."""

    centre: Triple  # cm, in the frame of `anatomy`
    radius: Triple  # cm, where the weight has fallen to 1/e
    shift: Triple = _NOWHERE  # cm
    stretch: Triple = _NOWHERE  # cm per cm of distance from the centre
    turn: float = 0.0  # radians about the z axis through the centre, up on the outer side
    open: str = ""  # "u" or "d": the region goes on upwards or downwards without end
    flat: float = 1.0  # above 1 the weight is flatter inside and falls faster at the rim
    odd: bool = False  # the other side moves as a copy, not as a mirror image: asymmetry

    def weight(self, points: Array) -> Array:
        """Weight (M,) at points (M, 3)."""
        away = points - self.centre
        if self.open:
            sign = 1.0 if self.open == "u" else -1.0
            away[:, 1] = sign * np.minimum(sign * away[:, 1], 0)
        square: Array = np.sum((away / self.radius) ** 2, 1)
        return np.exp(-(square**self.flat))

    def field(self, points: Array) -> Array:
        """Displacement (M, 3) of points (M, 3), by this side's region only."""
        away = points - self.centre
        twist = np.stack((-self.turn * away[:, 1], self.turn * away[:, 0], 0 * away[:, 0]), 1)
        return self.weight(points)[:, None] * (np.array(self.shift) + away * self.stretch + twist)


def displacement(moves: Sequence[Move], points: Array) -> tuple[Array, Array]:
    """Even and odd displacements (M, 3) of points at x <= 0 by all moves with coefficient 1."""
    mirror = np.array((-1.0, 1.0, 1.0))
    even, odd = np.zeros_like(points), np.zeros_like(points)
    for move in moves:
        here = move.field(points)
        there = move.field(points * mirror) * mirror
        if move.centre[0] == 0:  # one region across the midline
            even, odd = (even, odd + here) if move.odd else (even + there, odd)
        else:
            even, odd = (even, odd + here - there) if move.odd else (even + here + there, odd)
    return even, odd
