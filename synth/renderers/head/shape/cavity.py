"""Ambient occlusion of the mean head: how much of the sky each vertex sees, from depth pictures out of many directions.

Computed once, in float64. What a person's own shape or expression changes in it is neglected. This module does not
know what the mesh shows.

Shapes: N vertices.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIRECTIONS: Final = 64
PICTURE: Final = 800  # cells across a depth picture
CELL_CM: Final = 0.22
DEPTH_SLACK_CM: Final = 0.25  # a vertex this little behind the front of its cell still counts as seen
REACH_CM: Final = 3.0  # blockers farther away than this count for less
BODY_Y: Final = -18.5  # shoulders and chest hide the sky below: a flat oval about the foot of the neck
BODY_RADIUS: Final = (20.0, 10.0)  # cm sideways and to the front and back


def _directions(count: int) -> Array:
    """Unit vectors (count, 3), evenly over the sphere (a Fibonacci spiral)."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    around = i * np.pi * (1 + 5**0.5)
    radius = np.sqrt(1 - z * z)
    return np.stack((radius * np.cos(around), radius * np.sin(around), z), 1)


def _frame(direction: Array) -> tuple[Array, Array]:
    upright = np.array((0.0, 1.0, 0.0)) if abs(direction[1]) < 0.9 else np.array((1.0, 0.0, 0.0))
    right = np.cross(upright, direction)
    right = right / np.sqrt(np.sum(right**2))
    return right, np.cross(direction, right)


def _behind_body(points: Array, direction: Array) -> NDArray[np.bool_]:
    """Whether the body hides a direction from each point."""
    if direction[1] > -0.05:
        return np.zeros(len(points), bool)
    foot = points + direction * ((BODY_Y - points[:, 1:2]) / direction[1])
    hidden: NDArray[np.bool_] = (foot[:, 0] / BODY_RADIUS[0]) ** 2 + (foot[:, 2] / BODY_RADIUS[1]) ** 2 < 1
    return hidden


def sky_seen(points: Array, normals: Array, faces: NDArray[np.int64]) -> Array:
    """Share (N,) of the cosine-weighted sky that each vertex sees, 1 in the open."""
    dots: Array = np.concatenate((points, points[faces].mean(1)))  # vertices and triangle middles
    seen: Array = np.zeros(len(points))
    whole: Array = np.full(len(points), 1e-9)
    for direction in _directions(DIRECTIONS):
        right, up = _frame(direction)
        column, row = (np.floor(np.sum(dots * axis, 1) / CELL_CM).astype(int) + PICTURE // 2 for axis in (right, up))
        depth = np.sum(dots * direction, 1)
        front = np.full((PICTURE, PICTURE), -np.inf)
        np.maximum.at(front, (row, column), depth)
        covered = front[row, column][: len(points)] - depth[: len(points)]
        weight = np.maximum(np.sum(normals * direction, 1), 0)
        nearness = np.clip(1.5 - 0.5 * covered / REACH_CM, 0.5, 1)
        blocked = nearness * np.clip((covered - DEPTH_SLACK_CM) / DEPTH_SLACK_CM, 0, 1)
        blocked = np.where(_behind_body(points, direction), 1.0, blocked)
        seen, whole = seen + weight * (1 - blocked), whole + weight
    return seen / whole
