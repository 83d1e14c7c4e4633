"""Visibility and coverage in whole numbers, so that every device and every order of work gives the same picture.

Every pixel has a few samples, placed like rooks that do not threaten each other, so that upright and level edges are
as smooth as slanted ones. Corners are snapped to 1/128 of a pixel. A sample belongs to a triangle when its three edge
functions are positive, or zero on an edge that runs down (or right, when level): of two triangles that share an edge
exactly one owns a sample lying on it, so surfaces are watertight. The nearest triangle wins by the smallest packed key
(depth above, triangle below), and depths and colours are interpolated to whole numbers by one product of exact float64
numbers. Nothing is rounded in an order that could differ.

`raster_numba` does the same for the CPU, several times faster, with equal integers. This module does not know what is
drawn: colours may be light, normals or anything else in [0, `CHANNEL_TOP`].

Shapes: B pictures, N vertices, F triangles, H x H pixels of S samples, C channels.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

PIXEL_BITS: Final = 7  # corners lie on a grid of 1/128 pixel
PIXEL: Final = 1 << PIXEL_BITS
SAMPLES: Final = ((48, 16), (112, 48), (16, 80), (80, 112))  # x and y of a pixel's samples, in 1/128 pixel
TRIANGLE_BITS: Final = 24  # of a key; the depth is above them
DEPTH_STEPS_PER_CM: Final = 1024
DEPTH_TOP: Final = (1 << 16) - 1
OUTSIDE: Final = 1 << 10  # pixels: corners farther out are pulled in to here, so that area times value stays below 2^53
EMPTY: Final = 1 << 62  # the key of a sample that no triangle covers
CHANNEL_ONE: Final = 1 << 12  # what stands for 1.0
CHANNEL_TOP: Final = (1 << 16) - 1  # brightest storable value


@dataclass(frozen=True)
class Screen:
    """Triangles in the coordinates of B pictures."""

    x: Tensor  # int32 (B, N), in 1/128 pixel, to the right
    y: Tensor  # int32 (B, N), downwards
    depth: Tensor  # int32 (B, N) in [0, DEPTH_TOP], away from the camera
    hidden: Tensor  # bool (B, N): a triangle with three hidden corners is not drawn
    faces: Tensor  # int64 (F, 3)
    closed: int = 0  # so many triangles, the first ones, bound solid matter: they are not drawn when seen from behind


def snap(px: Tensor) -> Tensor:
    """Picture coordinates (pixel centres at whole numbers) to the grid of the rasteriser, int32."""
    edge = float(OUTSIDE * PIXEL)
    return (px * PIXEL + (PIXEL / 2 + 0.5)).floor().clamp(-edge, edge).int()


def snap_depth(away_cm: Tensor) -> Tensor:
    """Depths in cm from the near end of the scene to whole steps, int32."""
    return (away_cm * DEPTH_STEPS_PER_CM).floor().clamp(0, DEPTH_TOP).int()


def snap_channels(values: Tensor) -> Tensor:
    """Channel values (1.0 is `CHANNEL_ONE`) to integers, int32."""
    return (values * CHANNEL_ONE + 0.5).floor().clamp(0, CHANNEL_TOP).int()


def visible(screen: Screen, size: int) -> Tensor:
    """The key of the nearest triangle at every sample: int64 (B, H, H, S); `EMPTY` where there is none."""
    pictures = len(screen.x)
    keys = torch.full((pictures * size * size * len(SAMPLES),), EMPTY, dtype=torch.int64, device=screen.x.device)
    x, y, depth = (values.long()[:, screen.faces] for values in (screen.x, screen.y, screen.depth))  # (B, F, 3)
    drawn = ~screen.hidden[:, screen.faces].all(-1)
    behind = _edge(x[..., 0], y[..., 0], x[..., 1], y[..., 1], x[..., 2], y[..., 2]) > 0  # y runs downwards
    drawn[:, : screen.closed] &= ~behind[:, : screen.closed]
    for number, (at_x, at_y) in enumerate(SAMPLES):
        left, width = _span(x - at_x, size)
        top, height = _span(y - at_y, size)
        picture, face = torch.nonzero(drawn & (width > 0) & (height > 0), as_tuple=True)
        boxes = (width * height)[picture, face]
        box = torch.repeat_interleave(torch.arange(len(boxes), device=boxes.device), boxes)
        inside_box = torch.arange(len(box), device=boxes.device) - (boxes.cumsum(0) - boxes)[box]
        picture, face = picture[box], face[box]
        column = left[picture, face] + inside_box % width[picture, face]
        row = top[picture, face] + torch.div(inside_box, width[picture, face], rounding_mode="floor")
        weights, inside = _weights(x[picture, face], y[picture, face], column * PIXEL + at_x, row * PIXEL + at_y)
        key = (_interpolate(weights, depth[picture, face]) << TRIANGLE_BITS) | face
        sample = ((picture * size + row) * size + column) * len(SAMPLES) + number
        keys = keys.scatter_reduce(0, sample[inside], key[inside], "amin")
    return keys.view(pictures, size, size, len(SAMPLES))


def resolve(screen: Screen, keys: Tensor, channels: Tensor) -> Tensor:
    """The channels of what is visible: int32 (B, H, H, S, C) from channels int32 (B, N, C); 0 where nothing is."""
    picture, row, column, number = torch.nonzero(keys != EMPTY, as_tuple=True)
    face = keys[picture, row, column, number] & ((1 << TRIANGLE_BITS) - 1)
    corners = screen.faces[face]  # (K, 3)
    x, y = (values.long()[picture[:, None], corners] for values in (screen.x, screen.y))
    offset = torch.tensor(SAMPLES, device=keys.device)[number]
    weights, _ = _weights(x, y, column * PIXEL + offset[:, 0], row * PIXEL + offset[:, 1])
    values = _interpolate(weights[:, None], channels.long()[picture[:, None], corners].transpose(1, 2))
    resolved = torch.zeros(*keys.shape, channels.shape[-1], dtype=torch.int32, device=keys.device)
    resolved[picture, row, column, number] = values.int()
    return resolved


def seen(screen: Screen, keys: Tensor) -> Tensor:
    """The vertices of all triangles that show in any of the pictures: int64 (M,), ascending."""
    used = torch.zeros(screen.x.shape[1], dtype=torch.bool, device=keys.device)
    used[screen.faces[keys[keys != EMPTY] & ((1 << TRIANGLE_BITS) - 1)]] = True
    return used.nonzero()[:, 0]


def _span(corner: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First sample and number of samples, one per pixel, that a triangle's box (..., 3) covers along one direction."""
    first = ((corner.amin(-1) + (PIXEL - 1)) >> PIXEL_BITS).clamp(min=0)
    last = (corner.amax(-1) >> PIXEL_BITS).clamp(max=size - 1)
    return first, (last - first + 1).clamp(min=0)


def _weights(x: Tensor, y: Tensor, at_x: Tensor, at_y: Tensor) -> tuple[Tensor, Tensor]:
    """Edge functions of the triangles x, y (K, 3) at places (K,): weights (K, 3) of the corners, and whether inside."""
    area = _edge(x[:, 0], y[:, 0], x[:, 1], y[:, 1], x[:, 2], y[:, 2])
    turn = area.sign()
    weights, inside = [], area != 0
    for a, b in ((1, 2), (2, 0), (0, 1)):
        along_x, along_y = (x[:, b] - x[:, a]) * turn, (y[:, b] - y[:, a]) * turn
        weight = _edge(x[:, a], y[:, a], x[:, b], y[:, b], at_x, at_y) * turn
        owns_edge = (along_y > 0) | ((along_y == 0) & (along_x > 0))
        inside = inside & ((weight > 0) | ((weight == 0) & owns_edge))
        weights.append(weight)
    return torch.stack(weights, -1), inside


def _edge(ax: Tensor, ay: Tensor, bx: Tensor, by: Tensor, px: Tensor, py: Tensor) -> Tensor:
    """Twice the signed area of the triangle a, b, p."""
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


def _interpolate(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted mean of three whole numbers, to the nearest: weights and values (..., 3) to (...)."""
    total = weights[..., 0] + weights[..., 1] + weights[..., 2]
    product = weights * values
    top = product[..., 0] + product[..., 1] + product[..., 2]
    return (top.double() * (1 / total.clamp(min=1).double()) + 0.5).long()
