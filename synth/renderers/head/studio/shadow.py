"""Soft shadows from a small map of how near to a lamp matter reaches.

Vertices are dropped onto the map, which keeps the highest; its first two moments, blurred by the size of the lamp,
bound the share of a lamp that a point below sees (Donnelly and Lauritzen, "Variance shadow maps", SI3D 2006). Vertices
are so dense that no triangles need to be drawn. This module does not know what casts or receives.

Shapes: B pictures, N vertices, T x T texels.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.studio.camera import Triple

HALF_CM: Final = 20.0  # the map covers the head and the shoulders' upper edge
CENTRE_Y_CM: Final = 3.0  # above the pivot
FLOOR_CM: Final = -14.0  # height towards the lamp where nothing is
BIAS_CM: Final = 0.25  # a surface does not shade what is so near below it
LEAST_VARIANCE_CM2: Final = 0.03
BLEED: Final = 0.18  # what the variance bound leaves of a full shadow
STRIDES: Final = (1, 1, 2, 3)  # of the blurs, in texels: a bare lamp (0) gets the first, a wide one (1) all


@dataclass(frozen=True)
class ShadowMap:
    """How near to its lamp matter reaches, for B pictures."""

    towards: Tensor  # float32 (B, 3), unit, to the lamp
    moments: Tensor  # float32 (B, 2, T * T): blurred height towards the lamp, cm, and its square
    texels: int

    def open_share(self, world: Triple) -> Tensor:
        """The share of the lamp that every vertex sees: float32 (B, N), 0 in full shadow."""
        u, v, height = _from_lamp(world, self.towards, self.texels)
        mean, square = self._at(u, v)
        variance = (square - mean * mean).clamp(min=LEAST_VARIANCE_CM2)
        above = (mean - height - BIAS_CM).clamp(min=0)
        bound = variance / (variance + above * above)
        return ((bound - BLEED) * (1 / (1 - BLEED))).clamp(0, 1)

    def _at(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Both moments at places (B, N) between texels."""
        column, row = u.floor(), v.floor()
        right, below = u - column, v - row
        place = (row * self.texels + column).long()
        corners = [place, place + 1, place + self.texels, place + (self.texels + 1)]
        found = []
        for moment in self.moments.unbind(1):
            a, b, c, d = (moment.gather(1, corner) for corner in corners)
            top, bottom = a + (b - a) * right, c + (d - c) * right
            found.append(top + (bottom - top) * below)
        return found[0], found[1]


def cast(world: Triple, absent: Tensor, towards: Tensor, softness: Tensor, texels: int) -> ShadowMap:
    """The shadows of vertices (B, N) that are not absent in the light of lamps of a softness (B,), bare 0 to wide 1."""
    u, v, height = _from_lamp(world, towards, texels)
    place = ((v + 0.5).floor() * texels + (u + 0.5).floor()).long()
    height = height + absent * (2 * FLOOR_CM)
    reach = height.new_full((len(height), texels * texels), FLOOR_CM).scatter_reduce(1, place, height, "amax")
    moments = torch.stack((reach, reach * reach), 1).view(-1, 2, texels, texels)
    return ShadowMap(towards, _soften(moments, softness).flatten(2), texels)


def _from_lamp(world: Triple, towards: Tensor, texels: int) -> Triple:
    """Place of every vertex on the map (column and row, texel centres at whole numbers) and its height, cm."""
    x, y, z = towards[:, :1], towards[:, 1:2], towards[:, 2:]
    flat = (x * x + z * z + 1e-6).sqrt()
    scale = texels / (2 * HALF_CM)
    east, north = (z / flat, -x / flat), (-x * y / flat, flat, -y * z / flat)
    px, py, pz = world[0], world[1] - CENTRE_Y_CM, world[2]
    u = px * (east[0] * scale) + pz * (east[1] * scale) + texels / 2
    v = px * (north[0] * scale) + py * (north[1] * scale) + pz * (north[2] * scale) + texels / 2
    return u.clamp(1, texels - 2.001), v.clamp(1, texels - 2.001), px * x + py * y + pz * z


def _soften(moments: Tensor, softness: Tensor) -> Tensor:
    """Blur maps (B, 2, T, T) by binomial steps, as many as the softness (B,) asks for, the last of them in part."""
    wanted = softness[:, None, None, None] * (len(STRIDES) - 1) + 1
    for step, stride in enumerate(STRIDES):
        moments = moments + (_binomial(moments, stride) - moments) * (wanted - step).clamp(0, 1)
    return moments


def _binomial(maps: Tensor, stride: int) -> Tensor:
    """One blur by (1, 2, 1) / 4 with the given stride along both directions; the border stays."""
    blurred = maps.clone()
    inner = maps[..., stride:-stride, :]
    blurred[..., stride:-stride, :] = 0.5 * inner + 0.25 * (maps[..., 2 * stride :, :] + maps[..., : -2 * stride, :])
    rows = blurred.clone()
    inner = rows[..., stride:-stride]
    blurred[..., stride:-stride] = 0.5 * inner + 0.25 * (rows[..., 2 * stride :] + rows[..., : -2 * stride])
    return blurred
