"""The inside of lips, cheeks and throat: one sheet from the upper lip back into the dark and forward to the lower lip.

Its first and last rows lie on the line of the lips themselves, so that no pose shows a gap between lip and mouth. This
module does not know of teeth and tongue, which lie in front of it.

Shapes: B pictures, k vertices along each lip, R rows of the sheet.
"""

from typing import Final, Protocol

import torch
from torch import Tensor

from synth.renderers.head.mesh import Surface, grid_faces
from synth.renderers.head.paint.canvas import constant
from synth.renderers.head.paint.masks import smooth_step

#: The way back along the upper lip: cm behind it, cm away from the line of the lips, share of their width, light.
WAY_BACK: Final = (
    (0.00, 0.00, 1.00, 0.70),
    (0.30, 0.12, 0.96, 0.50),
    (0.90, 0.50, 0.86, 0.38),
    (2.20, 0.75, 0.76, 0.28),
    (3.80, 0.30, 0.62, 0.18),
)
MUCOSA: Final = (0.36, 0.125, 0.11)
CORNER_CM: Final = 2.6
GLOSS, SHARPNESS, SOFTNESS = 0.35, 40.0, 0.6


class Slit(Protocol):
    """What the throat needs of the face mesh."""

    canonical: Tensor  # (N, 3)
    lip_u: Tensor  # (N,), 1 at the corners of the mouth
    lip_v: Tensor  # (N,), 0 where the lips meet
    lip_side: Tensor  # (N,), tells the two copies of that line apart


class Throat:
    """The sheet, hung between the lips of one face mesh."""

    def __init__(self, face: Slit) -> None:
        x, device = face.canonical[:, 0], face.canonical.device
        on_line = (face.lip_v == 0) & (face.lip_u < 1.05)
        self.upper, self.lower = (
            (on_line & (face.lip_side * side > 0)).nonzero()[:, 0] for side in (1.0, -1.0)
        )  # (k,) each, in the same order
        there_and_back = [*WAY_BACK, *reversed(WAY_BACK)]
        rows, columns = len(there_and_back), len(self.upper)
        self.faces = grid_faces(rows, columns).to(device)
        back, away, narrow, light = torch.tensor(there_and_back, device=device)[:, None].unbind(-1)  # (R, 1) each
        side = torch.tensor([1.0] * len(WAY_BACK) + [-1.0] * len(WAY_BACK), device=device)[:, None]
        aside = (x[self.upper] * (1.0 / CORNER_CM)).abs()
        taper = 1.0 - smooth_step(0.1, 0.85, aside)  # the sheet closes at the corners
        shut = torch.zeros_like(taper)
        self.shift = torch.stack((shut + 0.0 * back, side * away * taper, shut - back), -1)[None]  # (1, R, k, 3)
        self.narrow = narrow
        self.light = (light * (0.4 + 0.6 * taper)).flatten()
        normal = torch.stack((0.0 * side, -0.8 * side, 0.6 + 0.0 * side), -1)  # (R, 1, 3)
        self.normals = normal.expand(rows, columns, 3).flatten(0, 1)

    def surface(self, positions: Tensor, light: Tensor) -> Surface:
        """The sheet for placed vertices of the face (B, N, 3), lit as far as `light` (B, 1) gets in."""
        upper, lower = positions.index_select(1, self.upper), positions.index_select(1, self.lower)
        half = len(WAY_BACK)
        lips = torch.cat((upper[:, None].expand(-1, half, -1, -1), lower[:, None].expand(-1, half, -1, -1)), 1)
        middle = 0.5 * (lips[:, :, :1, :1] + lips[:, :, -1:, :1])
        across = middle + (lips[..., :1] - middle) * self.narrow[..., None]
        sheet = torch.cat((across, lips[..., 1:]), -1) + self.shift
        lit = self.light * light
        return Surface(
            faces=self.faces,
            positions=sheet.flatten(1, 2),
            normals=self.normals.expand(len(sheet), -1, -1),
            albedo=lit[..., None] * constant(MUCOSA, lit.device),
            gloss=GLOSS * lit,
            sharpness=torch.full_like(lit, SHARPNESS),
            occlusion=lit,
            softness=SOFTNESS,
        )
