"""Changes of pictures that leave the person the same: what a recogniser in training must learn not to care about.

All are done on whole batches, on the pictures' own device, with random numbers from one generator. This module does not
know any network.

Shapes: B pictures, H x H pixels.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from synth.training.settings import Augmentation

_GREY = (0.299, 0.587, 0.114)


def augmented(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Pictures float32 (B, 3, H, H) in [-1, 1] of pictures uint8 (B, 3, H, H)."""
    draw = _Draw(len(images), images.device, generator)
    pictures = images.float().div_(255)
    pictures = _moved(pictures, settings, draw)
    pictures = _softened(pictures, settings.soft, draw)
    pictures = _exposed(pictures, settings, draw)
    pictures = _noisy(pictures, settings.noise, draw)
    pictures = _erased(pictures, settings.erase, draw)
    return pictures.clamp_(0, 1).mul_(2).sub_(1)


class _Draw:
    """Random numbers, one or more for each picture."""

    def __init__(self, count: int, device: torch.device, generator: torch.Generator) -> None:
        self.count, self.device, self.generator = count, device, generator

    def uniform(self, low: float, high: float, n: int = 1) -> Tensor:
        """float32 (B, n)."""
        return torch.rand(self.count, n, generator=self.generator, device=self.device) * (high - low) + low

    def chance(self, share: float) -> Tensor:
        """Which pictures: bool (B,)."""
        return torch.rand(self.count, generator=self.generator, device=self.device) < share


def _moved(pictures: Tensor, settings: Augmentation, draw: _Draw) -> Tensor:
    """Mirrored, shifted, scaled, turned; what comes in from outside repeats the edge."""
    angle = draw.uniform(-settings.turn_deg, settings.turn_deg)[:, 0] * (math.pi / 180)
    scale = 1 + draw.uniform(-settings.scale, settings.scale)[:, 0]
    shift = draw.uniform(-settings.shift_px, settings.shift_px, 2) * (2 / pictures.shape[-1])
    mirror = torch.where(draw.chance(settings.flip), -1.0, 1.0)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    theta = torch.stack((cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1]), 1).view(-1, 2, 3)
    grid = functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, "bilinear", "border", align_corners=False)


def _softened(pictures: Tensor, chance: float, draw: _Draw) -> Tensor:
    """Some pictures as few pixels would show them: averaged, then spread again."""
    chosen = draw.chance(chance).nonzero()[:, 0]
    side = pictures.shape[-1]
    # One size for a third of those that are chosen each: batches stay whole.
    shares = torch.rand(3, generator=draw.generator, device=draw.device).mul(0.6).add(0.32).tolist()
    for third, share in enumerate(shares):
        rows = chosen[third::3]
        if len(rows):
            few = functional.interpolate(pictures[rows], size=max(8, round(side * share)), mode="area")
            pictures[rows] = functional.interpolate(few, size=side, mode="bilinear", align_corners=False)
    return pictures


def _exposed(pictures: Tensor, settings: Augmentation, draw: _Draw) -> Tensor:
    """Gamma, gain of each colour, a slope of light across, and for some no colour at all."""
    strength = settings.exposure
    gamma = draw.uniform(-strength, strength).exp()[:, :, None, None]
    gain = (draw.uniform(-strength, strength) + draw.uniform(-strength / 3, strength / 3, 3)).exp()[:, :, None, None]
    slope = draw.uniform(-strength, strength, 2)
    along = torch.linspace(-1, 1, pictures.shape[-1], device=pictures.device)
    light = 1 + slope[:, :1, None] * along[:, None] + slope[:, 1:, None] * along
    pictures = pictures.clamp_(1e-4, 1).pow_(gamma) * gain * light[:, None]
    grey = (pictures * pictures.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)
    return torch.where(draw.chance(settings.grey)[:, None, None, None], grey, pictures)


def _noisy(pictures: Tensor, chance: float, draw: _Draw) -> Tensor:
    """Grain, for some."""
    rows = draw.chance(chance).nonzero()[:, 0]
    if len(rows):
        strength = draw.uniform(0.004, 0.05)[rows, :, None, None]
        shape = (len(rows), *pictures.shape[1:])
        pictures[rows] += strength * torch.randn(shape, generator=draw.generator, device=draw.device)
    return pictures


def _erased(pictures: Tensor, chance: float, draw: _Draw) -> Tensor:
    """A rectangle of one colour over up to a quarter of some pictures."""
    side = pictures.shape[-1]
    size, centre = draw.uniform(0.15, 0.5, 2) * side / 2, draw.uniform(0, 1, 2) * side
    place = torch.arange(side, device=pictures.device) + 0.5
    down = (place - centre[:, :1]).abs() < size[:, :1]
    across = (place - centre[:, 1:]).abs() < size[:, 1:]
    hidden = down[:, :, None] & across[:, None] & draw.chance(chance)[:, None, None]
    return torch.where(hidden[:, None], draw.uniform(0, 1, 3)[:, :, None, None], pictures)
