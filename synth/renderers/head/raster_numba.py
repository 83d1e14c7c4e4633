"""The rasteriser of `raster` compiled for one CPU core: the same integers, several times faster.

Import it only where numba is installed. Compiled code is kept on disk, and the interpreter lock is released while it
runs. This module knows nothing that `raster` does not; read that one first.
"""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from synth.renderers.head.raster import EMPTY, PIXEL, PIXEL_BITS, SAMPLES, TRIANGLE_BITS, Screen

_OFFSETS = np.array(SAMPLES)
_TRIANGLE_MASK = (1 << TRIANGLE_BITS) - 1

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]


def visible(screen: Screen, size: int) -> Tensor:
    """The key of the nearest triangle at every sample: int64 (B, H, H, S), as `raster.visible`."""
    keys = np.full((len(screen.x), size, size, len(SAMPLES)), EMPTY, dtype=np.int64)
    x, y, depth, hidden = (values.numpy() for values in (screen.x, screen.y, screen.depth, screen.hidden))
    _visible(x, y, depth, hidden, screen.faces.numpy(), screen.closed, keys)
    return torch.from_numpy(keys)


def resolve(screen: Screen, keys: Tensor, channels: Tensor) -> Tensor:
    """The channels of the visible triangles: int32 (B, H, H, S, C), as `raster.resolve`."""
    resolved = np.zeros((*keys.shape, channels.shape[-1]), dtype=np.int32)
    _resolve(
        screen.x.numpy(), screen.y.numpy(), screen.faces.numpy(), keys.numpy(), channels.contiguous().numpy(), resolved
    )
    return torch.from_numpy(resolved)


def seen(screen: Screen, keys: Tensor) -> Tensor:
    """The vertices of all triangles that show in any of the pictures: int64 (M,), as `raster.seen`."""
    used = np.zeros(screen.x.shape[1], dtype=np.bool_)
    _seen(screen.faces.numpy(), keys.numpy(), used)
    return torch.from_numpy(used.nonzero()[0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _visible(x: Ints, y: Ints, depth: Ints, hidden: Flags, faces: Longs, closed: int, keys: Longs) -> None:
    size = keys.shape[1]
    for picture in range(keys.shape[0]):
        px, py, pz, dark = x[picture], y[picture], depth[picture], hidden[picture]
        key = keys[picture]
        for face in range(faces.shape[0]):
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            if dark[a] and dark[b] and dark[c]:
                continue
            ax, ay = np.int64(px[a]), np.int64(py[a])
            bx, by = np.int64(px[b]), np.int64(py[b])
            cx, cy = np.int64(px[c]), np.int64(py[c])
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if area == 0 or (area > 0 and face < closed):
                continue
            least_x, most_x = min(ax, bx, cx), max(ax, bx, cx)
            least_y, most_y = min(ay, by, cy), max(ay, by, cy)
            if most_x < 0 or most_y < 0 or least_x >= size << PIXEL_BITS or least_y >= size << PIXEL_BITS:
                continue
            az, bz, cz = np.int64(pz[a]), np.int64(pz[b]), np.int64(pz[c])
            if area < 0:  # seen from behind: turn it round
                bx, by, bz, cx, cy, cz = cx, cy, cz, bx, by, bz
                area = -area
            share = 1.0 / np.float64(area)
            best = (min(az, bz, cz) << TRIANGLE_BITS) | face  # no sample of this triangle can have a smaller key
            # Steps of the three edge functions from one pixel to the next along x and y.
            across_a, down_a = (by - cy) << PIXEL_BITS, (cx - bx) << PIXEL_BITS
            across_b, down_b = (cy - ay) << PIXEL_BITS, (ax - cx) << PIXEL_BITS
            across_c, down_c = (ay - by) << PIXEL_BITS, (bx - ax) << PIXEL_BITS
            # A sample on an edge counts only where the edge runs down, or right when level.
            least_a = 0 if cy > by or (cy == by and cx > bx) else 1
            least_b = 0 if ay > cy or (ay == cy and ax > cx) else 1
            least_c = 0 if by > ay or (by == ay and bx > ax) else 1
            for sample in range(_OFFSETS.shape[0]):
                at_x, at_y = _OFFSETS[sample]
                left = max(0, (least_x - at_x + (PIXEL - 1)) >> PIXEL_BITS)
                right = min(size - 1, (most_x - at_x) >> PIXEL_BITS)
                top = max(0, (least_y - at_y + (PIXEL - 1)) >> PIXEL_BITS)
                bottom = min(size - 1, (most_y - at_y) >> PIXEL_BITS)
                if left > right or top > bottom:
                    continue
                at_x, at_y = at_x + (left << PIXEL_BITS), at_y + (top << PIXEL_BITS)
                row_a = (cx - bx) * (at_y - by) - (cy - by) * (at_x - bx)
                row_b = (ax - cx) * (at_y - cy) - (ay - cy) * (at_x - cx)
                row_c = (bx - ax) * (at_y - ay) - (by - ay) * (at_x - ax)
                for row in range(top, bottom + 1):
                    wa, wb, wc = row_a, row_b, row_c
                    entered = False
                    for column in range(left, right + 1):
                        if wa >= least_a and wb >= least_b and wc >= least_c:
                            entered = True
                            if best < key[row, column, sample]:
                                nearest = np.int64(np.float64(wa * az + wb * bz + wc * cz) * share + 0.5)
                                packed = (nearest << TRIANGLE_BITS) | face
                                if packed < key[row, column, sample]:
                                    key[row, column, sample] = packed
                        elif entered:
                            break
                        wa += across_a
                        wb += across_b
                        wc += across_c
                    row_a += down_a
                    row_b += down_b
                    row_c += down_c


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _resolve(x: Ints, y: Ints, faces: Longs, keys: Longs, channels: Ints, resolved: Ints) -> None:
    pictures, size, _, samples = keys.shape
    for picture in range(pictures):
        px, py = x[picture], y[picture]
        for row in range(size):
            for column in range(size):
                for sample in range(samples):
                    key = keys[picture, row, column, sample]
                    if key == EMPTY:
                        continue
                    at_x = (column << PIXEL_BITS) + _OFFSETS[sample, 0]
                    at_y = (row << PIXEL_BITS) + _OFFSETS[sample, 1]
                    face = key & _TRIANGLE_MASK
                    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
                    ax, ay = np.int64(px[a]), np.int64(py[a])
                    bx, by = np.int64(px[b]), np.int64(py[b])
                    cx, cy = np.int64(px[c]), np.int64(py[c])
                    wa = abs((cx - bx) * (at_y - by) - (cy - by) * (at_x - bx))
                    wb = abs((ax - cx) * (at_y - cy) - (ay - cy) * (at_x - cx))
                    area = abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
                    wc = area - wa - wb
                    share = 1.0 / np.float64(area)
                    for channel in range(channels.shape[2]):
                        a_part = wa * channels[picture, a, channel]
                        b_part = wb * channels[picture, b, channel]
                        c_part = wc * channels[picture, c, channel]
                        resolved[picture, row, column, sample, channel] = np.int64(
                            np.float64(a_part + b_part + c_part) * share + 0.5
                        )


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _seen(faces: Longs, keys: Longs, used: Flags) -> None:
    for key in keys.flat:
        if key != EMPTY:
            face = key & _TRIANGLE_MASK
            used[faces[face, 0]] = True
            used[faces[face, 1]] = True
            used[faces[face, 2]] = True
