"""Pose and camera: from centimetres on the head to pixels of a picture aligned to the five-point template.

The head turns about `PIVOT`, a point inside the neck; a vertex follows by its share, so the neck twists between head
and shoulders. The camera stands in front at a distance that goes with its focal length (a wide lens is held close, and
noses grow), and at last the picture is moved, turned and scaled by a similarity: until the five landmarks fit the
template as well as they can, or as another framing wants it. This module does not know what is posed.

Shapes: B pictures, N vertices.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal
from synth.renderer import TEMPLATE_PX, TEMPLATE_SIZE_PX
from synth.renderers.head.anatomy import PIVOT

ATTRIBUTES: Final[dict[str, Attribute]] = {
    "yaw_deg": Attribute(
        "Turn of the head; positive looks to the picture's right.",
        0.0, "deg", -70, 70, distribution=Normal(std=15, low=-60, high=60),
    ),
    "pitch_deg": Attribute(
        "Nod of the head; positive looks up.", 0.0, "deg", -45, 45, distribution=Normal(std=8, low=-30, high=30)
    ),
    "roll_deg": Attribute(
        "Tilt of the head against camera, light and shoulders; the face stays upright, the world around it leans.",
        0.0, "deg", -40, 40, distribution=Normal(std=6, low=-25, high=25),
    ),
    "focal_length_mm": Attribute(
        "Focal length on 24 x 36 mm film for the same framing: short ones come close and enlarge the nose.",
        70.0, "mm", 20, 200, distribution=Normal(mean=55, std=22, low=24, high=135),
    ),
    "crop_x_px": Attribute(
        "Error of the alignment to the right, in pixels of a 112 px picture.",
        0.0, "px", -8, 8, distribution=Normal(std=0.7, low=-3, high=3),
    ),
    "crop_y_px": Attribute(
        "Error of the alignment downwards, in pixels of a 112 px picture.",
        0.0, "px", -8, 8, distribution=Normal(std=0.7, low=-3, high=3),
    ),
    "crop_scale": Attribute(
        "Error of the alignment in size: above 1 the face is too large.",
        1.0, "ratio", 0.8, 1.25, distribution=Normal(mean=1, std=0.015, low=0.94, high=1.06),
    ),
}  # fmt: skip

CM_PER_FOCAL_MM: Final = 2.0  # distance of the camera: the film shows about half a metre across


Triple = tuple[Tensor, Tensor, Tensor]  # x, y and z, float32 (B, N) each: contiguous, so much faster than (B, N, 3)


def components(vectors: Tensor) -> Triple:
    """Vectors (B, N, 3) as three contiguous tensors (B, N)."""
    x, y, z = vectors.unbind(-1)
    return x.contiguous(), y.contiguous(), z.contiguous()


@dataclass(frozen=True)
class Camera:
    """Where B cameras stand, how the heads are turned, and how their pictures are cropped."""

    rotation: Tensor  # float32 (B, 3, 3), head to world; world axes as in `anatomy`, the camera looks along -z
    distance: Tensor  # float32 (B,), cm from the pivot
    scale: Tensor  # float32 (B,), the crop's similarity: cosine part, px per cm at the pivot
    skew: Tensor  # float32 (B,), its sine part
    shift: Tensor  # float32 (B, 2), px

    def turn(self, directions: Triple, follow: Tensor) -> Triple:
        """Directions in the head's frame to the world's; `follow` (N,) turns them in part (then not quite unit)."""
        x, y, z = directions
        turned = [
            self.rotation[:, i, 0, None] * x + self.rotation[:, i, 1, None] * y + self.rotation[:, i, 2, None] * z
            for i in range(3)
        ]
        return (x + (turned[0] - x) * follow, y + (turned[1] - y) * follow, z + (turned[2] - z) * follow)

    def pose(self, points: Triple, follow: Tensor) -> Triple:
        """Points in the head's frame to the world's, whose origin is the pivot."""
        return self.turn((points[0] - PIVOT[0], points[1] - PIVOT[1], points[2] - PIVOT[2]), follow)

    def project(self, world: Triple) -> tuple[Tensor, Tensor]:
        """World points to x and y in pixels of the aligned picture, each (B, N)."""
        x, y = _perspective(world, self.distance)
        scale, skew = self.scale[:, None], self.skew[:, None]
        return x * scale - y * skew + self.shift[:, :1], x * skew + y * scale + self.shift[:, 1:]


@dataclass(frozen=True)
class Crop:
    """The similarity that a framing asks for, of B pictures: turn, scale, and a point of the plane with its place."""

    scale: Tensor  # float32 (B,), cosine part, px per cm at the pivot
    skew: Tensor  # float32 (B,), sine part
    middle: tuple[Tensor, Tensor]  # x and y, float32 (B,) each, cm
    place: tuple[Tensor, Tensor]  # where it comes to lie, px


#: What crops a picture: from x and y of the five landmarks, (B, 5) each, cm to the right and down, and its size in px.
Framing = Callable[[Tensor, Tensor, int], Crop]


def template_crop(x: Tensor, y: Tensor, size: int) -> Crop:
    """The crop that brings the five landmarks nearest to the template."""
    template = x.new_tensor(TEMPLATE_PX) * (size / TEMPLATE_SIZE_PX)
    to_x, to_y = template[:, 0].expand_as(x), template[:, 1].expand_as(y)
    mid_x, mid_y, mid_to_x, mid_to_y = (_mean_of_five(values)[:, None] for values in (x, y, to_x, to_y))
    dx, dy, tx, ty = x - mid_x, y - mid_y, to_x - mid_to_x, to_y - mid_to_y
    spread = _mean_of_five(dx * dx + dy * dy)
    return Crop(
        scale=_mean_of_five(dx * tx + dy * ty) / spread,
        skew=_mean_of_five(dx * ty - dy * tx) / spread,
        middle=(mid_x[:, 0], mid_y[:, 0]),
        place=(mid_to_x[:, 0], mid_to_y[:, 0]),
    )


def ffhq_crop(x: Tensor, y: Tensor, size: int) -> Crop:
    """The square of the FFHQ pictures (Karras et al., CVPR 2019; `recreate_aligned_images` of their dataset).

    Upright along eyes and mouth together, as large as twice the distance of the eyes or 1.8 times that from eyes to
    mouth to either side, around a point a tenth of the way from the eyes to the mouth. Eyes are pupils here; there
    they are the middles of six points on the lids.
    """
    eyes_x, eyes_y, mouth_x, mouth_y = (0.5 * (values[:, i] + values[:, i + 1]) for i in (0, 3) for values in (x, y))
    across_x, across_y, down_x, down_y = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], mouth_x - eyes_x, mouth_y - eyes_y
    right_x, right_y = across_x + down_y, across_y - down_x
    right = (right_x * right_x + right_y * right_y).sqrt()
    across, down = (across_x * across_x + across_y * across_y).sqrt(), (down_x * down_x + down_y * down_y).sqrt()
    scale = 0.5 * size / torch.maximum(2.0 * across, 1.8 * down)
    centre = torch.full_like(scale, 0.5 * (size - 1))  # the centre of the first pixel is 0
    return Crop(
        scale=scale * right_x / right,
        skew=-scale * right_y / right,
        middle=(eyes_x + 0.1 * down_x, eyes_y + 0.1 * down_y),
        place=(centre, centre),
    )


def place_camera(
    attributes: Mapping[str, Tensor], landmarks: Tensor, size: int, framing: Framing = template_crop
) -> Camera:
    """The camera that sees the landmarks (B, 5, 3), cm, where the framing wants them in a size x size picture."""
    rotation = _rotation(attributes["yaw_deg"], attributes["pitch_deg"], attributes["roll_deg"])
    distance = attributes["focal_length_mm"] * CM_PER_FOCAL_MM
    zero = torch.zeros_like(distance)
    loose = Camera(rotation, distance, zero, zero, torch.stack((zero, zero), -1))
    x, y = _perspective(loose.pose(components(landmarks), torch.ones_like(landmarks[0, :, 0])), distance)
    crop = framing(x, y, size)
    scale, skew = crop.scale * attributes["crop_scale"], crop.skew * attributes["crop_scale"]
    (x, y), (to_x, to_y) = crop.middle, crop.place
    error_px = size / TEMPLATE_SIZE_PX
    shift_x = to_x - (x * scale - y * skew) + attributes["crop_x_px"] * error_px
    shift_y = to_y - (x * skew + y * scale) + attributes["crop_y_px"] * error_px
    return Camera(rotation, distance, scale, skew, torch.stack((shift_x, shift_y), -1))


def seen(points: Tensor, camera: Camera) -> Tensor:
    """Points of the head float32 (B, n, 3), cm, as the camera sees them: (B, n, 2), pixels."""
    world = camera.pose(components(points), torch.ones_like(points[0, :, 0]))
    return torch.stack(camera.project(world), -1)


def _rotation(yaw_deg: Tensor, pitch_deg: Tensor, roll_deg: Tensor) -> Tensor:
    """Tilt, then nod, then turn, so that yaw and pitch alone say where the nose points: (B, 3, 3)."""
    yaw, pitch, roll = (angle * (math.pi / 180) for angle in (yaw_deg, -pitch_deg, -roll_deg))
    (sy, cy), (sp, cp), (sr, cr) = ((angle.sin(), angle.cos()) for angle in (yaw, pitch, roll))
    rows = (
        (cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp),
        (cp * sr, cp * cr, -sp),
        (cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _perspective(world: Triple, distance: Tensor) -> tuple[Tensor, Tensor]:
    """World points on the plane through the pivot: x to the right and y downwards, cm, each (B, N)."""
    away = distance[:, None] / (distance[:, None] - world[2])
    return world[0] * away, -world[1] * away


def _mean_of_five(values: Tensor) -> Tensor:
    """Mean over the landmarks (B, 5), added in one fixed order."""
    return (values[:, 0] + values[:, 1] + values[:, 2] + values[:, 3] + values[:, 4]) * 0.2
