"""Clothes: shoulders and a collar, which stay where they are when the head turns.

Pictures show little of them: the neckline and what lies beside the jaw. The shape is one lofted grid, the same for
everybody but for its width; the kind of neckline is the picture's. This module does not know the head.

Shapes: B pictures, V vertices.
"""

import math
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Choice
from samplers.random import noise_index, uniforms
from synth.renderers.head.mesh import Surface, cross, grid_faces, unit
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.traits import Subject

CHOICES: Final = ("crew_neck", "v_neck", "shirt", "turtleneck", "hoodie")
ATTRIBUTES: Final = {
    "clothes": Attribute(
        "what is worn at the neck",
        default="crew_neck",
        choices=CHOICES,
        distribution=Choice(
            weights={"crew_neck": 0.4, "v_neck": 0.12, "shirt": 0.25, "turtleneck": 0.08, "hoodie": 0.15}
        ),
    )
}

COLUMNS: Final = 48
#: Rings of the torso: height, half width, half depth, z of the middle; from the neck out over the shoulders and down.
RINGS: Final = (
    (0.0, 6.3, 6.1, -1.2),
    (-0.4, 6.9, 6.7, -1.2),
    (-1.0, 8.0, 7.4, -1.2),
    (-2.2, 11.0, 8.2, -1.4),
    (-3.6, 14.5, 8.9, -1.6),
    (-5.4, 18.0, 9.3, -1.8),
    (-8.0, 20.5, 9.6, -2.0),
    (-14.0, 22.0, 10.5, -2.0),
    (-24.0, 22.0, 11.0, -2.0),
)
#: Each kind: height of the neckline, how far it drops in front, how far the collar stands up, how much wider it is,
#: its thickness in shade.
NECKLINES: Final = (
    (-12.0, 2.6, 0.5, 0.5),
    (-12.3, 5.5, 0.3, 0.6),
    (-12.0, 2.4, 2.7, 0.8),
    (-11.8, 1.0, 2.4, 0.1),
    (-11.9, 3.0, 3.0, 2.2),
)
COLLAR_ROWS: Final = 3
#: Linear RGB: white, black, navy, grey, light blue, red, green, beige, brown, pink.
CLOTHS: Final = (
    (0.7, 0.7, 0.7),
    (0.016, 0.016, 0.018),
    (0.02, 0.03, 0.075),
    (0.22, 0.22, 0.23),
    (0.35, 0.5, 0.68),
    (0.35, 0.035, 0.03),
    (0.04, 0.13, 0.07),
    (0.48, 0.4, 0.28),
    (0.12, 0.07, 0.04),
    (0.6, 0.3, 0.32),
)
NECK_FORWARD: Final = 0.12  # the neck leans: z per cm of height


class Clothes:
    """Shoulders and collar."""

    def __init__(self, face: Face) -> None:
        device = face.canonical.device
        turn = torch.arange(COLUMNS, dtype=torch.float64) * (2 * math.pi / (COLUMNS - 1)) - math.pi
        rings = torch.tensor(((0.0, *RINGS[0][1:]),) * COLLAR_ROWS + RINGS, dtype=torch.float64)
        self._rows = len(rings)
        y, half_width, half_depth, middle = (rings[:, k, None] for k in range(4))
        x = half_width * turn.sin() + 0 * y
        z = middle + half_depth * turn.cos()
        points = torch.stack((x, y + 0 * x, z), -1).view(-1, 3)
        collar = torch.linspace(1, 0, COLLAR_ROWS + 1)[:COLLAR_ROWS].tolist() + [0.0] * len(RINGS)
        near = [1.0] * COLLAR_ROWS + [(1 - k / 3) if k < 3 else 0.0 for k in range(len(RINGS))]
        front = (0.5 + 0.5 * turn.cos()) ** 3
        self._points = points.float().to(device)
        self._stand = torch.tensor(collar)[:, None].expand(-1, COLUMNS).reshape(-1).to(device)
        self._near = torch.tensor(near)[:, None].expand(-1, COLUMNS).reshape(-1).to(device)
        self._front = front.float()[None].expand(self._rows, -1).reshape(-1).to(device)
        self._faces = grid_faces(self._rows, COLUMNS).to(device)
        self._follow = torch.zeros(len(points), device=device)

    def surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        """The clothes of B pictures."""
        kind = subject.attributes["clothes"]
        row = torch.tensor(NECKLINES, device=kind.device)[kind]
        height, drop, stand, wider = (value[:, None] for value in row.unbind(1))
        x, y, z = self._points.unbind(-1)
        lifted = y + height + stand * self._stand * (1 - 0.35 * self._front) - drop * self._front * self._near
        spread = 1 + (wider / 6.3) * self._near * (1 - 0.3 * self._stand)
        forward = z * spread + NECK_FORWARD * stand * self._stand
        positions = torch.stack((x * spread, lifted, forward), -1)
        u = uniforms(subject.key, noise_index(subject.key, "clothes"), 2).float()
        colour = torch.tensor(CLOTHS, device=u.device)[(u[:, 0] * len(CLOTHS)).long()] * (0.7 + 0.6 * u[:, 1:])
        ones = torch.ones_like(lifted)
        return [
            Surface(
                self._faces,
                positions,
                self._normals(positions),
                colour[:, None].expand_as(positions),
                ones * 0.1,
                ones * 10.0,
                0.55 + 0.45 * (1 - self._near * (1 - self._stand)).expand_as(ones),
                softness=0.15,
                follow=self._follow,
            )
        ]

    def _normals(self, positions: Tensor) -> Tensor:
        grid = positions.view(len(positions), self._rows, COLUMNS, 3)
        along = torch.cat((grid[:, :, 1:], grid[:, :, 1:2]), 2) - torch.cat((grid[:, :, -2:-1], grid[:, :, :-1]), 2)
        down = torch.cat((grid[:, 1:], grid[:, -1:]), 1) - torch.cat((grid[:, :1], grid[:, :-1]), 1)
        return unit(cross(down, along)).flatten(1, 2)
