"""The mean head as a mesh: vertices, triangles, neighbours, and coordinates on lids and lips.

The rows of the loft's lattice are bent so that two of them follow each lid margin and one, doubled, follows the line
between the lips: edges are crisp, and the doubled row can open. Everything here is computed once, in float64, and is
exactly mirror-symmetric. This module does not know how people differ.

Shapes: N vertices (rows x columns of the head, then the ear at x < 0, then the ear at x > 0), F triangles.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synth.renderers.head import anatomy, ears, loft, relief

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FAR: Final = 99.0  # lid and lip coordinates where there is neither
MARGIN_STEP: Final = 0.02  # cm between the two rows of a lid margin
EYE_WINDOW: Final = (2.5, 2.2)  # cm around the pupil within which rows are bent


@dataclass(frozen=True)
class Template:
    """The mean head. Coordinates (N,) are constant; see `Face` for what they mean."""

    points: Array  # (N, 3) cm
    faces: Index  # (F, 3)
    neighbours: Index  # (4, N): right, left, up, down on the skin, for normals
    mirror: Index  # (N,) the vertex on the other side
    columns: int  # of the head's grid
    eye_u: Array
    eye_v: Array
    margins: Index  # (2, N) the vertex on the lower and on the upper lid margin in the same column
    lip_u: Array
    lip_v: Array
    lip_side: Array
    aperture: NDArray[np.bool_]  # where the eyeball shows
    drape: Array  # how far the vertex lies on an eyeball's body: 1 in the aperture and on the lid margins
    ear_start: int


def smooth_step(value: Array) -> Array:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(value, 0, 1)
    return t * t * (3 - 2 * t)


def _lid_rows(points: Array, columns: int) -> tuple[int, int]:
    """The rows that become the upper and the lower lid margin."""
    column = columns // 2 + int(np.argmin(np.abs(points[60, columns // 2 :, 0] - anatomy.EYE_X)))
    y = np.where(points[:, column, 2] > 5, points[:, column, 1], -FAR)
    return int(np.argmin(np.abs(y - 0.42))), int(np.argmin(np.abs(y + 0.42)))


def _bend_to_lids(points: Array, upper: int, lower: int) -> tuple[Array, Array]:
    """Move rows (R, C) up and down onto the lid margins; returns their new y and the lid coordinate v."""
    x, y = points[..., 0], points[..., 1]
    dx = np.abs(x) - anatomy.EYE_X
    beyond = np.maximum(np.abs(dx) - anatomy.EYE_HALF_WIDTH, 0)
    spread = 0.42 * smooth_step(beyond / 0.55)
    top, bottom = relief.lid_curve(dx, True) + spread, relief.lid_curve(dx, False) - spread
    rows = np.arange(len(y))[:, None]
    share = np.clip((lower - 1 - rows) / (lower - upper - 2), 0, 1)
    ceiling, floor = top[upper], bottom[lower]  # of the aperture, in each column
    step = np.minimum(MARGIN_STEP, 0.2 * (ceiling - floor))
    inside = floor + step + share * (ceiling - floor - 2 * step)
    inside = np.where(rows == upper, ceiling, np.where(rows == lower, floor, inside))
    reach_up, reach_down = EYE_WINDOW[1], -EYE_WINDOW[1]
    above = top + (y - y[upper]) * (reach_up - top) / (reach_up - y[upper])
    below = bottom + (y - y[lower]) * (reach_down - bottom) / (reach_down - y[lower])
    bent = np.where(rows < upper, above, np.where(rows > lower, below, inside))
    bent = np.where((y > reach_up) | (y < reach_down), y, bent)
    window = (1 - smooth_step((np.abs(dx) - 1.75) / (EYE_WINDOW[0] - 1.75))) * (points[..., 2] > 4)
    y = y + window * (bent - y)
    share = (y - floor) / np.maximum(ceiling - floor, 1e-6)
    v = np.where(rows < upper, 1 + y - top, np.where(rows > lower, y - bottom, share))
    return y, np.where(window > 0.01, v, FAR)


def _bend_to_lips(points: Array, slit: int) -> Array:
    """Move rows up and down so that row `slit` follows the line between the lips: new y (R, C)."""
    x, y = points[..., 0], points[..., 1]
    window = (1 - smooth_step((np.abs(x) - 2.6) / 2.0)) * (points[..., 2] > 3)
    shift = relief.lip_line(x[slit]) - y[slit]
    return y + window * shift * np.exp(-(((y - y[slit]) / 1.2) ** 2))


def _grid_triangles(rows: int, columns: int, start: int, slit: int | None = None) -> Index:
    """Triangles (F, 3) of a grid whose rows `slit` and `slit + 1` are not joined."""
    row = np.array([r for r in range(rows - 1) if r != slit])
    corner = (start + row[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below, across = corner + 1, corner + columns, corner + columns + 1
    return np.concatenate((np.stack((corner, below, right), -1), np.stack((right, below, across), -1)))


def _grid_neighbours(rows: int, columns: int, start: int) -> Index:
    """Right, left, up and down neighbours (4, rows * columns) of a grid closed around the columns.

    All vertices of row 0 lie in one point; their right and left are those of row 1.
    """
    index = start + np.arange(rows * columns).reshape(rows, columns)
    ring = index[[1, *range(1, rows)]]
    right = np.concatenate((ring[:, 1:], ring[:, 1:2]), 1)
    left = np.concatenate((ring[:, -2:-1], ring[:, :-1]), 1)
    up, down = index[[0, *range(rows - 1)]], index[[*range(1, rows), rows - 1]]
    return np.stack((right, left, up, down)).reshape(4, -1)


def _lip_coordinates(points: Array, slit: int) -> tuple[Array, Array, Array]:
    """u, v and side of the lips on the grid (R + 1, C) whose rows `slit` and `slit + 1` are the doubled line."""
    x, y, z = np.moveaxis(points, -1, 0)
    side = np.where(np.arange(len(y)) <= slit, 1.0, -1.0)[:, None] + 0 * y
    over = y - relief.lip_line(x)
    height = np.where(side > 0, relief.upper_lip_height(x), relief.lower_lip_height(x))
    rows = np.arange(len(y))[:, None]
    v = np.where((rows == slit) | (rows == slit + 1), 0.0, over / height)
    u = np.abs(x) / anatomy.MOUTH_CORNER[0]
    near = (z > 3) & (np.abs(over) < 3) & (u < 1.8)
    return np.where(near, u, FAR), np.where(near, v, np.sign(over) * FAR), side


def template() -> Template:
    """Build the mean head."""
    grid = loft.lattice()
    points, outwards = loft.loft(grid.ring, grid.angle)
    columns = points.shape[1]
    front = points[:, columns // 2]
    slit = int(np.argmin(np.abs(front[:, 1] - anatomy.STOMION[1]) + FAR * (front[:, 2] < 5)))
    points[..., 1] = _bend_to_lips(points, slit)
    upper, lower = _lid_rows(points, columns)
    points[..., 1], eye_v = _bend_to_lids(points, upper, lower)
    eye_u = np.where(eye_v < FAR, (np.abs(points[..., 0]) - anatomy.EYE_X) / anatomy.EYE_HALF_WIDTH, FAR)
    rows = np.arange(len(points))[:, None]
    aperture = (rows > upper) & (rows < lower) & (np.abs(eye_u) < 1)
    points += relief.forms(points, outwards)
    points[..., 2], drape = relief.face_relief(points, aperture)

    doubled = np.insert(np.arange(len(points)), slit + 1, slit)
    points, eye_u, eye_v, drape, aperture = (values[doubled] for values in (points, eye_u, eye_v, drape, aperture))
    count = points.shape[0] * columns
    lip_u, lip_v, lip_side = _lip_coordinates(points, slit)
    index = np.arange(count).reshape(-1, columns)
    neighbours = _grid_neighbours(len(points), columns, 0)
    _mend_slit(neighbours.reshape(4, -1, columns), index, points[slit, :, 0], slit)
    margin = np.stack([np.broadcast_to(index[row], index.shape).ravel() for row in (lower, upper)])

    ear = ears.ear()
    patch, size = ear[:, ::-1] * (-1, 1, 1), ear.shape[0] * ear.shape[1]
    flipped = (np.arange(size).reshape(ear.shape[:2])[:, ::-1]).ravel()
    far = np.full(2 * size, FAR)
    itself = count + np.arange(2 * size)
    return Template(
        points=np.concatenate((points.reshape(-1, 3), patch.reshape(-1, 3), ear.reshape(-1, 3))),
        faces=np.concatenate(
            (
                _grid_triangles(len(points), columns, 0, slit),
                *(_grid_triangles(*ear.shape[:2], count + k * size)[:, ::-1] for k in range(2)),
            )
        ),
        neighbours=np.concatenate(
            (neighbours, *(_grid_neighbours(*ear.shape[:2], count + k * size)[[1, 0, 2, 3]] for k in range(2))), 1
        ),
        mirror=np.concatenate((index[:, ::-1].ravel(), count + size + flipped, count + flipped)),
        columns=columns,
        eye_u=np.concatenate((eye_u.ravel(), far)),
        eye_v=np.concatenate((eye_v.ravel(), far)),
        margins=np.concatenate((margin, np.stack((itself, itself))), 1),
        lip_u=np.concatenate((lip_u.ravel(), far)),
        lip_v=np.concatenate((lip_v.ravel(), far)),
        lip_side=np.concatenate((lip_side.ravel(), 0 * far)),
        aperture=np.concatenate((aperture.ravel(), far < 0)),
        drape=np.concatenate((drape.ravel(), 0 * far)),
        ear_start=count,
    )


def _mend_slit(neighbours: Index, index: Index, x: Array, slit: int) -> None:
    """Across the doubled row neighbours are the next rows; inside the mouth the two lips do not know each other."""
    mouth = np.abs(x) < anatomy.MOUTH_CORNER[0]
    neighbours[3, slit] = np.where(mouth, index[slit], index[slit + 2])
    neighbours[2, slit + 1] = np.where(mouth, index[slit + 1], index[slit - 1])
