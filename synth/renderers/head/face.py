"""The face: one mesh of head, ears and neck, placed for every picture."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal, Sometimes, Uniform
from synth.renderers.head import anatomy, loft, relief
from synth.renderers.head.exact import exact_product, quantise_basis
from synth.renderers.head.mesh import grid_faces
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (Trait("jaw_width", "width of the jaw"), Trait("nose_width", "width of the nose"))
ATTRIBUTES: dict[str, Attribute] = {
    "mouth_open": Attribute("how far the jaw drops", 0.0, "", 0.0, 1.0, distribution=Sometimes(chance=0.25, then=Uniform(low=0.0, high=0.6))),
    "smile": Attribute("strength of a smile", 0.0, "", 0.0, 1.0, distribution=Sometimes(chance=0.45, then=Uniform(low=0.0, high=0.9))),
}

NAMED_POINTS: Final = {
    "eye_left": (-anatomy.EYE_X, 0.0, 7.1),
    "eye_right": anatomy.EYEBALL_CENTRE,
}


@dataclass(frozen=True)
class PlacedFace:
    """B placed faces."""

    positions: Tensor  # float32 (B, N, 3), cm
    normals: Tensor  # float32 (B, N, 3)
    occlusion: Tensor  # float32 (B, N)
    landmarks: Tensor  # float32 (B, 5, 3)
    points: dict[str, Tensor]  # (B, 3) each
    openness: Tensor  # float32 (B, 2): eye on the picture's left, right; 1 is neutral, 0 shut


class Face:
    """The mesh of the head."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        grid = loft.lattice()
        rows, columns = grid.shape
        points = loft.loft(grid.ring, grid.angle)
        front = points[:, columns // 2]
        self.slit_row = int(np.argmin(np.abs(front[:, 1] - anatomy.STOMION[1]) + 100 * (front[:, 2] < 5)))
        self.rows, self.columns = rows, columns
        points[..., 2] = relief.face_relief(points)
        self.canonical = torch.tensor(points.reshape(-1, 3), dtype=torch.float32, device=device)
        self.faces = grid_faces(rows, columns).to(device)
        y = self.canonical[:, 1]
        self.follow = ((y + 18.0) / 6.5).clamp(0, 1)
        index = torch.arange(rows * columns).reshape(rows, columns)
        self.neighbours = [
            t.flatten().to(device)
            for t in (
                torch.cat((index[:, 1:], index[:, 1:2]), 1),
                torch.cat((index[:, -2:-1], index[:, :-1]), 1),
                torch.cat((index[:1], index[:-1])),
                torch.cat((index[1:], index[-1:])),
            )
        ]
        self.scalp = ((self.canonical[:, 1] > 4) | (self.canonical[:, 2] < 0) & (self.canonical[:, 1] > -6)).nonzero()[:, 0]
        self.landmark_points = torch.tensor(
            [
                (-anatomy.EYE_X, 0.0, anatomy.EYE_FRONT_Z),
                (anatomy.EYE_X, 0.0, anatomy.EYE_FRONT_Z),
                anatomy.NOSE_TIP,
                (-anatomy.MOUTH_CORNER[0], *anatomy.MOUTH_CORNER[1:]),
                anatomy.MOUTH_CORNER,
            ],
            device=device,
        )
        self.named = {name: torch.tensor(p, device=device) for name, p in NAMED_POINTS.items()}

    def normals(self, positions: Tensor) -> Tensor:
        right, left, up, down = (positions[:, index] for index in self.neighbours)
        a, b = right - left, up - down
        ax, ay, az = a.unbind(-1)
        bx, by, bz = b.unbind(-1)
        n = torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), -1)
        x, y, z = n.unbind(-1)
        return n / (x * x + y * y + z * z + 1e-12).sqrt()[..., None]

    def place(self, subject: Subject) -> PlacedFace:
        count = len(subject.key)
        positions = self.canonical[None].expand(count, -1, -1)
        return PlacedFace(
            positions,
            self.normals(positions),
            torch.ones(positions.shape[:2], device=positions.device),
            self.landmark_points[None].expand(count, -1, -1),
            {name: p[None].expand(count, -1) for name, p in self.named.items()},
            torch.ones(count, 2, device=positions.device),
        )
