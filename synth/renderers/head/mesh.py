"""Micropolygons: the one form in which every part of the head reaches the rasteriser.

The renderer follows Reyes (Cook, Carpenter, Catmull, "The Reyes image rendering architecture", SIGGRAPH 1987): a part
is diced once, at construction, into polygons about as small as a pixel; each of its vertices is placed and coloured for
every picture; the rasteriser then only samples colours. So shading costs the same whatever the supersampling. This
module does not know what a part is.

Shapes: B pictures, N vertices, F triangles.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Surface:
    """The placed and coloured, but still unlit, vertices of one part, for B pictures.

    Positions are centimetres in the frame of `anatomy`, before pose. `follow` says how far each vertex turns with the
    head: 1 for the head, 0 for the shoulders, between them for the neck.
    """

    faces: Tensor  # int64 (F, 3), constant: the same for every picture
    positions: Tensor  # float32 (B, N, 3), cm
    normals: Tensor  # float32 (B, N, 3), unit, outwards
    albedo: Tensor  # float32 (B, N, 3), linear RGB in [0, 1]
    gloss: Tensor  # float32 (B, N), strength of the highlight, 0 is matt
    sharpness: Tensor  # float32 (B, N), Blinn-Phong exponent: 8 is broad, 200 is wet
    occlusion: Tensor  # float32 (B, N), share of the sky that reaches the point: 1 is open, 0 a deep crease
    softness: float = 0.0  # 0 is opaque matter; 1 is skin: light wraps around, red farthest
    follow: Tensor | None = None  # float32 (N,); None: 1 everywhere
    present: Tensor | None = None  # bool (B,): pictures that show this part; None: all
    closed: bool = False  # bounds solid matter: faces run counter-clockwise seen from outside, and inside is never seen
    opacity: Tensor | None = None  # float32 (B, N): below 1 only for glass, drawn over everything else; None: opaque


def grid_faces(rows: int, columns: int) -> Tensor:
    """Triangles of a grid of rows x columns vertices, row by row: int64 (2 (rows - 1) (columns - 1), 3)."""
    corner = (torch.arange(rows - 1)[:, None] * columns + torch.arange(columns - 1)).flatten()
    right, below, across = corner + 1, corner + columns, corner + columns + 1
    return torch.cat((torch.stack((corner, below, right), -1), torch.stack((right, below, across), -1)))


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 3) scaled to length one; components are added one by one (the same bits everywhere)."""
    x, y, z = vectors.unbind(-1)
    return vectors / (x * x + y * y + z * z + 1e-12).sqrt()[..., None]


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of (..., 3) and (..., 3)."""
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), -1)
