"""The rasteriser of `raster` compiled for one CPU core: the same integers, many times faster.

Import it only where numba is installed. Compiled code is kept on disk, and the interpreter lock is released while it
runs. This module knows nothing that `raster` does not; read that one first.
"""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from synth.renderers.head.studio.raster import EMPTY, PIXEL, PIXEL_BITS, SAMPLES, TRIANGLE_BITS, Screen

_OFFSETS = np.array(SAMPLES)
_TRIANGLE_MASK = (1 << TRIANGLE_BITS) - 1

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]
Corner = tuple[int, int, int]  # x, y and depth; also the weights of three corners


def visible(screen: Screen, size: int) -> Tensor:
    """The key of the nearest triangle at every sample: int64 (B, H, H, S), as `raster.visible`."""
    keys = np.full((len(screen.x), size, size, len(SAMPLES)), EMPTY, dtype=np.int64)
    x, y, depth, hidden = (values.numpy() for values in (screen.x, screen.y, screen.depth, screen.hidden))
    for picture, key in enumerate(keys):
        _draw(x[picture], y[picture], depth[picture], hidden[picture], screen.faces.numpy(), screen.closed, key)
    return torch.from_numpy(keys)


def resolve(screen: Screen, keys: Tensor, channels: Tensor) -> Tensor:
    """The channels of the visible triangles: int32 (B, H, H, S, C), as `raster.resolve`."""
    resolved = np.zeros((*keys.shape, channels.shape[-1]), dtype=np.int32)
    x, y, values = screen.x.numpy(), screen.y.numpy(), channels.contiguous().numpy()
    for picture, key in enumerate(keys.numpy()):
        _interpolate(x[picture], y[picture], screen.faces.numpy(), key, values[picture], resolved[picture])
    return torch.from_numpy(resolved)


def seen(screen: Screen, keys: Tensor) -> Tensor:
    """The vertices of all triangles that show in any of the pictures: int64 (M,), as `raster.seen`."""
    used = np.zeros(screen.x.shape[1], dtype=np.bool_)
    _mark(screen.faces.numpy(), keys.numpy(), used)
    return torch.from_numpy(used.nonzero()[0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _edge(ax: int, ay: int, bx: int, by: int, px: int, py: int) -> int:
    """Twice the signed area of the triangle a, b, p."""
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _least(a: Corner, b: Corner) -> int:
    """The least edge function inside: a sample on an edge counts where the edge runs down, or right when level."""
    return 0 if b[1] > a[1] or (b[1] == a[1] and b[0] > a[0]) else 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw(x: Ints, y: Ints, depth: Ints, hidden: Flags, faces: Longs, closed: int, key: Longs) -> None:
    """Enter all triangles of one picture into its keys."""
    edge_of_picture = key.shape[0] << PIXEL_BITS
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        if hidden[i] and hidden[j] and hidden[k]:
            continue
        ax, ay, bx, by = np.int64(x[i]), np.int64(y[i]), np.int64(x[j]), np.int64(y[j])
        cx, cy = np.int64(x[k]), np.int64(y[k])
        area = _edge(ax, ay, bx, by, cx, cy)
        if area == 0 or (area > 0 and face < closed):
            continue
        if max(ax, bx, cx) < 0 or min(ax, bx, cx) >= edge_of_picture:
            continue
        if max(ay, by, cy) < 0 or min(ay, by, cy) >= edge_of_picture:
            continue
        a, b, c = (ax, ay, np.int64(depth[i])), (bx, by, np.int64(depth[j])), (cx, cy, np.int64(depth[k]))
        if area > 0:
            _fill(a, b, c, face, key)
        else:
            _fill(a, c, b, face, key)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(a: Corner, b: Corner, c: Corner, face: int, key: Longs) -> None:
    """Enter one triangle, with corners in the order that makes its area positive."""
    size = key.shape[0]
    share = 1.0 / np.float64(_edge(a[0], a[1], b[0], b[1], c[0], c[1]))
    best = (min(a[2], b[2], c[2]) << TRIANGLE_BITS) | face  # no sample of this triangle can have a smaller key
    least_a, least_b, least_c = _least(b, c), _least(c, a), _least(a, b)
    # Steps of the three edge functions from one pixel to the next along x and y.
    across_a, down_a = (b[1] - c[1]) << PIXEL_BITS, (c[0] - b[0]) << PIXEL_BITS
    across_b, down_b = (c[1] - a[1]) << PIXEL_BITS, (a[0] - c[0]) << PIXEL_BITS
    across_c, down_c = (a[1] - b[1]) << PIXEL_BITS, (b[0] - a[0]) << PIXEL_BITS
    for sample in range(_OFFSETS.shape[0]):
        at_x, at_y = _OFFSETS[sample]
        left = max(0, (min(a[0], b[0], c[0]) - at_x + (PIXEL - 1)) >> PIXEL_BITS)
        right = min(size - 1, (max(a[0], b[0], c[0]) - at_x) >> PIXEL_BITS)
        top = max(0, (min(a[1], b[1], c[1]) - at_y + (PIXEL - 1)) >> PIXEL_BITS)
        bottom = min(size - 1, (max(a[1], b[1], c[1]) - at_y) >> PIXEL_BITS)
        if left > right or top > bottom:
            continue
        at_x, at_y = at_x + (left << PIXEL_BITS), at_y + (top << PIXEL_BITS)
        row_a = _edge(b[0], b[1], c[0], c[1], at_x, at_y)
        row_b = _edge(c[0], c[1], a[0], a[1], at_x, at_y)
        row_c = _edge(a[0], a[1], b[0], b[1], at_x, at_y)
        for row in range(top, bottom + 1):
            wa, wb, wc = row_a, row_b, row_c
            entered = False
            for column in range(left, right + 1):
                if wa >= least_a and wb >= least_b and wc >= least_c:
                    entered = True
                    if best < key[row, column, sample]:
                        nearest = np.int64(np.float64(wa * a[2] + wb * b[2] + wc * c[2]) * share + 0.5)
                        key[row, column, sample] = min(key[row, column, sample], (nearest << TRIANGLE_BITS) | face)
                elif entered:
                    break
                wa, wb, wc = wa + across_a, wb + across_b, wc + across_c
            row_a, row_b, row_c = row_a + down_a, row_b + down_b, row_c + down_c


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _interpolate(x: Ints, y: Ints, faces: Longs, key: Longs, channels: Ints, resolved: Ints) -> None:
    """Mix the corners' channels at every sample of one picture."""
    for row in range(key.shape[0]):
        for column in range(key.shape[1]):
            for sample in range(key.shape[2]):
                if key[row, column, sample] == EMPTY:
                    continue
                face = key[row, column, sample] & _TRIANGLE_MASK
                a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
                at_x, at_y = (column << PIXEL_BITS) + _OFFSETS[sample, 0], (row << PIXEL_BITS) + _OFFSETS[sample, 1]
                wa, wb, wc = _weights(x, y, a, b, c, at_x, at_y)
                share = 1.0 / np.float64(wa + wb + wc)
                for channel in range(channels.shape[1]):
                    mixed = wa * channels[a, channel] + wb * channels[b, channel] + wc * channels[c, channel]
                    resolved[row, column, sample, channel] = np.int64(np.float64(mixed) * share + 0.5)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _weights(x: Ints, y: Ints, a: int, b: int, c: int, at_x: int, at_y: int) -> Corner:
    """The weights of a triangle's corners at a place inside it."""
    ax, ay, bx, by = np.int64(x[a]), np.int64(y[a]), np.int64(x[b]), np.int64(y[b])
    cx, cy = np.int64(x[c]), np.int64(y[c])
    wa, wb = abs(_edge(bx, by, cx, cy, at_x, at_y)), abs(_edge(cx, cy, ax, ay, at_x, at_y))
    return wa, wb, abs(_edge(ax, ay, bx, by, cx, cy)) - wa - wb


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mark(faces: Longs, keys: Longs, used: Flags) -> None:
    """Mark the vertices of all triangles that the keys name."""
    for key in keys.flat:
        if key != EMPTY:
            face = key & _TRIANGLE_MASK
            used[faces[face, 0]] = True
            used[faces[face, 1]] = True
            used[faces[face, 2]] = True
