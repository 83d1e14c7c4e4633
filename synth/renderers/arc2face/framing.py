"""From the square that Arc2Face draws to the aligned face: five points, a similarity, and a warp that does not alias.

Arc2Face was at last trained on FFHQ and CelebA-HQ, so that its pictures are framed as theirs: a frontal face has its
five points near `FFHQ_512_PX`, and one fixed crop aligns it to the ArcFace template. A turned face has them elsewhere;
there a detector must say where. This module does not know any detector, nor the network.

Coordinates are insightface's: x to the right, y down, and the centre of the first pixel is 0. Shapes: B pictures.
"""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from synth.renderer import TEMPLATE_PX, TEMPLATE_SIZE_PX

#: Mean places of the five points in 512 px pictures that are cropped as FFHQ's (`face_template` of facexlib,
#: face_restoration_helper.py: "standard 5 landmarks for FFHQ faces with 512 x 512"), in the order of `TEMPLATE_PX`.
FFHQ_512_PX: Final = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)
FFHQ_SIZE_PX: Final = 512


def template(size_px: int, device: torch.device | str = "cpu") -> Tensor:
    """The ArcFace template of a picture of size_px x size_px: float32 (5, 2)."""
    return torch.tensor(TEMPLATE_PX, device=device) * (size_px / TEMPLATE_SIZE_PX)


def frontal_points(side_px: int, device: torch.device | str = "cpu") -> Tensor:
    """Where a frontal face has its five points in a drawn picture of side_px x side_px: float32 (5, 2)."""
    return torch.tensor(FFHQ_512_PX, device=device) * (side_px / FFHQ_SIZE_PX)


def similarity(points: Tensor, to: Tensor) -> Tensor:
    """The turn, scaling and shift that bring points (B, 5, 2) nearest to others (5, 2): float32 (B, 2, 3).

    Least squares over similarities without reflection (Umeyama 1991), which in the plane has a closed form: seen as
    complex numbers, the factor is the covariance over the variance. Computed in float64. Points that all coincide give
    a matrix that is not finite.
    """
    points, to = points.double(), to.double().expand(len(points), -1, -1)
    middle, to_middle = points.mean(1), to.mean(1)
    (x, y), (to_x, to_y) = (points - middle[:, None]).unbind(2), (to - to_middle[:, None]).unbind(2)
    spread = (x * x + y * y).sum(1)
    along, across = (x * to_x + y * to_y).sum(1) / spread, (x * to_y - y * to_x).sum(1) / spread
    linear = torch.stack((torch.stack((along, -across), 1), torch.stack((across, along), 1)), 1)  # (B, 2, 2)
    shift = to_middle - (linear @ middle[:, :, None])[:, :, 0]
    return torch.cat((linear, shift[:, :, None]), 2).float()


def moved(points: Tensor, matrix: Tensor) -> Tensor:
    """Points (B, n, 2) under similarities (B, 2, 3): (B, n, 2)."""
    return points @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def inverse(matrix: Tensor) -> Tensor:
    """The similarities that undo others, float32 (B, 2, 3)."""
    linear = matrix[:, :, :2].double()
    scale = linear[:, 0, 0] ** 2 + linear[:, 1, 0] ** 2
    back = linear.transpose(1, 2) / scale[:, None, None]  # a similarity's inverse is its transpose, scaled
    return torch.cat((back, -(back @ matrix[:, :, 2:].double())), 2).float()


def warp(images: Tensor, matrix: Tensor, size_px: int) -> Tensor:
    """Pictures float32 (B, 3, H, H) as similarities (B, 2, 3) place them in size_px x size_px: (B, 3, size, size).

    Every pixel is the mean of k x k evenly spread points of its square, k = ceil(H / size), each read bilinearly, so
    that a face that fills the whole picture is still averaged over all its pixels. What lies outside is the edge's.
    """
    side = images.shape[-1]
    k = math.ceil(side / size_px)
    place = (torch.arange(size_px * k, device=images.device, dtype=torch.float32) + 0.5) / k - 0.5
    y, x = torch.meshgrid(place, place, indexing="ij")
    source = moved(torch.stack((x, y), -1).view(1, -1, 2).expand(len(images), -1, -1), inverse(matrix))
    grid = ((source + 0.5) * (2 / side) - 1).view(len(images), size_px * k, size_px * k, 2)
    points = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return avg_pool2d(points, k)
