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

from synth.renderers.head import anatomy
from synth.renderers.head.shape import ears, loft, relief

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FAR: Final = 99.0  # lid and lip coordinates where there is neither
LID_ROW_Y: Final = 0.42  # height over and under the pupil of the rows that are bent to the lid margins
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


def _lid_rows(points: Array, columns: int) -> tuple[int, int]:
    """The rows that become the upper and the lower lid margin."""
    level = points[np.argmin(np.abs(points[:, columns // 2, 1]))]
    column = int(np.argmin(np.abs(level[:, 0] - anatomy.EYE_X) + FAR * (level[:, 2] < 5)))
    y = np.where(points[:, column, 2] > 5, points[:, column, 1], -FAR)
    return int(np.argmin(np.abs(y - LID_ROW_Y))), int(np.argmin(np.abs(y + LID_ROW_Y)))


def _bend_to_lids(points: Array, upper: int, lower: int) -> tuple[Array, Array]:
    """Move rows (R, C) up and down onto the lid margins; returns their new y and the lid coordinate v."""
    x, y = points[..., 0], points[..., 1]
    dx = np.abs(x) - anatomy.EYE_X
    beyond = np.maximum(np.abs(dx) - anatomy.EYE_HALF_WIDTH, 0)
    spread = 0.42 * relief.smooth_step(beyond / 0.55)
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
    window = (1 - relief.smooth_step((np.abs(dx) - 1.75) / (EYE_WINDOW[0] - 1.75))) * (points[..., 2] > 4)
    y = y + window * (bent - y)
    share = (y - floor) / np.maximum(ceiling - floor, 1e-6)
    v = np.where(rows < upper, 1 + y - top, np.where(rows > lower, y - bottom, share))
    return y, np.where(window > 0.01, v, FAR)


def _bend_to_lips(points: Array, slit: int) -> Array:
    """Move rows up and down so that row `slit` follows the line between the lips: new y (R, C)."""
    x, y = points[..., 0], points[..., 1]
    window = (1 - relief.smooth_step((np.abs(x) - 2.6) / 2.0)) * (points[..., 2] > 3)
    shift = relief.lip_line(x[slit]) - y[slit]
    bent: Array = y + window * shift * np.exp(-(((y - y[slit]) / 1.2) ** 2))
    return bent


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


def _mend_slit(neighbours: Index, index: Index, x: Array, slit: int) -> None:
    """Across the doubled row neighbours are the next rows; inside the mouth the two lips do not know each other."""
    mouth = np.abs(x) < anatomy.MOUTH_CORNER[0]
    neighbours[3, slit] = np.where(mouth, index[slit], index[slit + 2])
    neighbours[2, slit + 1] = np.where(mouth, index[slit + 1], index[slit - 1])


@dataclass(frozen=True)
class _Sheet:
    """The grid of head and neck, without the ears: fields as in `Template`, (R, C, ...)."""

    points: Array
    eye_u: Array
    eye_v: Array
    drape: Array
    aperture: NDArray[np.bool_]
    slit: int  # this row and the next lie on the line between the lips
    margins: tuple[int, int]  # rows of the lower and of the upper lid margin


def _sheet() -> _Sheet:
    """Loft, bend rows to lips and lids, add forms and relief, double the line between the lips."""
    grid = loft.lattice()
    points, outwards = loft.loft(grid.ring, grid.angle)
    front = points[:, points.shape[1] // 2]
    slit = int(np.argmin(np.abs(front[:, 1] - anatomy.STOMION[1]) + FAR * (front[:, 2] < 5)))
    points[..., 1] = _bend_to_lips(points, slit)
    upper, lower = _lid_rows(points, points.shape[1])
    points[..., 1], eye_v = _bend_to_lids(points, upper, lower)
    eye_u = np.where(eye_v < FAR, (np.abs(points[..., 0]) - anatomy.EYE_X) / anatomy.EYE_HALF_WIDTH, FAR)
    rows = np.arange(len(points))[:, None]
    aperture = (rows > upper) & (rows < lower) & (np.abs(eye_u) < 1)
    points += relief.forms(points, outwards)
    points[..., 2], drape = relief.face_relief(points, aperture)
    doubled = np.insert(np.arange(len(points)), slit + 1, slit)
    return _Sheet(
        points[doubled], eye_u[doubled], eye_v[doubled], drape[doubled], aperture[doubled], slit, (lower, upper)
    )


def template() -> Template:
    """Build the mean head."""
    sheet, ear = _sheet(), ears.ear()
    rows, columns, _ = sheet.points.shape
    (ear_rows, ear_columns), size = ear.shape[:2], ear.shape[0] * ear.shape[1]
    count = rows * columns
    index = np.arange(count).reshape(rows, columns)
    lip_u, lip_v, lip_side = _lip_coordinates(sheet.points, sheet.slit)
    neighbours = _grid_neighbours(rows, columns, 0)
    _mend_slit(neighbours.reshape(4, rows, columns), index, sheet.points[sheet.slit, :, 0], sheet.slit)
    margins = np.stack([np.broadcast_to(index[row], index.shape).ravel() for row in sheet.margins])

    starts = (count, count + size)  # of the ear at x < 0, which is the other's mirror image, and of that at x > 0
    turned = np.arange(size).reshape(ear_rows, ear_columns)[:, ::-1].ravel()
    ear_faces = [_grid_triangles(ear_rows, ear_columns, start)[:, ::-1] for start in starts]
    ear_neighbours = [_grid_neighbours(ear_rows, ear_columns, start)[[1, 0, 2, 3]] for start in starts]
    both_ears = np.concatenate([side.reshape(-1, 3) for side in (ear[:, ::-1] * (-1, 1, 1), ear)])
    themselves = count + np.arange(2 * size)

    def with_ears(values: Array, on_ears: float) -> Array:
        return np.concatenate((values.ravel(), np.full(2 * size, on_ears)))

    return Template(
        points=np.concatenate((sheet.points.reshape(-1, 3), both_ears)),
        faces=np.concatenate((_grid_triangles(rows, columns, 0, sheet.slit), *ear_faces)),
        neighbours=np.concatenate((neighbours, *ear_neighbours), 1),
        mirror=np.concatenate((index[:, ::-1].ravel(), starts[1] + turned, starts[0] + turned)),
        columns=columns,
        eye_u=with_ears(sheet.eye_u, FAR),
        eye_v=with_ears(sheet.eye_v, FAR),
        margins=np.concatenate((margins, np.stack((themselves, themselves))), 1),
        lip_u=with_ears(lip_u, FAR),
        lip_v=with_ears(lip_v, FAR),
        lip_side=with_ears(lip_side, 0.0),
        aperture=np.concatenate((sheet.aperture.ravel(), np.zeros(2 * size, bool))),
        drape=with_ears(sheet.drape, 0.0),
        ear_start=count,
    )
