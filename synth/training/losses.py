"""Losses that trainings share.

Shapes: B pictures, C classes, D dimensions, H x W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional

_SSIM_WINDOW, _SSIM_STEP = 7, 2
_SSIM_STEADY = (0.01**2 * 4, 0.03**2 * 4)  # for pixels in [-1, 1]


def margin_softmax(cosines: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """ArcFace's loss, one number, of cosines (B, C) to class centres: the right one's angle counts as `margin` larger.

    Where the enlarged angle would pass pi, the cosine itself is lowered instead, by so much that the loss still falls
    with the angle. Source: Deng et al., "ArcFace", CVPR 2019, equation 3; its code lowers by another constant.
    """
    right = cosines.gather(1, labels[:, None])[:, 0].clamp(-1 + 1e-6, 1 - 1e-6)
    angle = right.acos() + margin
    lowered = torch.where(angle < torch.pi, angle.cos(), right - margin * torch.pi / 4)
    logits = cosines.scatter(1, labels[:, None], lowered[:, None]) * scale
    return functional.cross_entropy(logits, labels)


def differences(first: Tensor, second: Tensor, weight: Tensor, scales: int = 3) -> Tensor:
    """Mean absolute differences of pictures float (B, 3, H, W), the mean over so many scales, each half the one before.

    `weight` (H, W), about one in the mean, says at the finest scale where differences count more.
    """
    found = [((first - second).abs() * weight).mean()]
    for _ in range(scales - 1):
        first, second = functional.avg_pool2d(first, 2), functional.avg_pool2d(second, 2)
        found.append((first - second).abs().mean())
    return torch.stack(found).mean()


def texture_difference(first: Tensor, second: Tensor) -> Tensor:
    """How much more or less fine detail there is, whatever its phase, in pictures float (B, C, H, W): one number.

    Detail is what lies between two blurs, above all of periods from 4 to 12 pixels; its root mean square in windows of
    8 x 8 pixels is compared. Without it, what cannot be foretold pixel by pixel, such as hair, is drawn smooth. The
    first blur takes alternating pixels away: nothing is gained by them, or else a network fills hair with them.
    """
    tap = torch.tensor([0.25, 0.5, 0.25], dtype=first.dtype, device=first.device)

    def detail(x: Tensor) -> Tensor:
        soft = functional.conv2d(
            functional.conv2d(x.flatten(0, 1)[:, None], tap.view(1, 1, 1, 3)), tap.view(1, 1, 3, 1)
        )
        fine = soft - functional.avg_pool2d(soft, 5, 1, 2, count_include_pad=False)
        return (functional.avg_pool2d(fine.square(), 8, 4) + 1e-5).sqrt()

    return (detail(first) - detail(second)).abs().mean()


def structural_likeness(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of pictures float (B, C, H, W) in [-1, 1], the mean over all: 1 where they are the same.

    With windows of 7 x 7 pixels that all count alike, at every second pixel. Source: Wang et al., "Image quality
    assessment: from error visibility to structural similarity", IEEE TIP 2004.
    """

    def mean(x: Tensor) -> Tensor:
        # Down, then across: the same mean in a third of the time.
        down = functional.avg_pool2d(x, (_SSIM_WINDOW, 1), (_SSIM_STEP, 1))
        return functional.avg_pool2d(down, (1, _SSIM_WINDOW), (1, _SSIM_STEP))

    steady_mean, steady_spread = _SSIM_STEADY
    a, b = mean(first), mean(second)
    aa, bb, ab = mean(first * first) - a * a, mean(second * second) - b * b, mean(first * second) - a * b
    likeness = (2 * a * b + steady_mean) * (2 * ab + steady_spread)
    return (likeness / ((a * a + b * b + steady_mean) * (aa + bb + steady_spread))).mean()
