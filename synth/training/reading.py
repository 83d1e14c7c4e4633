"""A reader of attributes: learns, beside a network that draws, what pictures of the data show, and reads drawn ones.

What is small or rare in pictures, glasses, a hat, where somebody looks, hardly counts in losses of pixels, and a
network that draws leaves it away for long. Here every number that is told counts alike. Drawn pictures are held against
what is read off real ones, not against what was told: what cannot be read is not asked for.

Source: Odena et al., "Conditional image synthesis with auxiliary classifier GANs", ICML 2017, of which this is the
classifier, taught by real pictures alone. This module does not know what draws, nor what the numbers mean.

Shapes: B pictures, H x W pixels, C numbers told.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_NOISE = 0.05  # on all that is read, so that nobody can write to the reader in faint patterns
_PLACES = 7 * 7  # of pictures of 112 px, after four halvings
_LEAST_SPREAD = 0.02  # numbers that hardly ever differ are not blown up beyond that


def middle_and_spread(told: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (C,) of each number told, of the data's (n, C)."""
    return told.mean(0), told.std(0, correction=0).clamp(min=_LEAST_SPREAD)


class AttributeReader(nn.Module):
    """Four halvings, then all numbers at once, in units of their spread over the data."""

    mean: Tensor
    spread: Tensor

    def __init__(self, told: Tensor, channels: int) -> None:
        """`told`: those of the data, float32 (n, C); `channels` after the first halving, at most five times as many."""
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels, 5 * channels)
        self.halvings = nn.ModuleList(nn.Conv2d(*pair, 3, 2, 1) for pair in pairwise(widths))
        self.out = nn.Linear(widths[-1] * _PLACES, told.shape[1])
        mean, spread = middle_and_spread(told)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, pictures: Tensor) -> Tensor:
        """Readings float32 (B, C) of pictures float (B, 3, H, W) in [-1, 1]."""
        x = pictures.contiguous(memory_format=torch.channels_last)
        for halving in self.halvings:
            x = functional.silu(halving(x))
        readings: Tensor = self.out(x.flatten(1))
        return readings.float()

    def missed(self, drawn: Tensor, real: Tensor, generator: torch.Generator) -> Tensor:
        """What drawn pictures lack of what is read off real ones: squared differences float32 (B,)."""
        read = self._noisy(drawn, generator)
        with torch.no_grad():
            readable = self._noisy(real, generator)
        return (read - readable).square().mean(1)

    def misread(self, real: Tensor, told: Tensor, generator: torch.Generator) -> Tensor:
        """Its own loss: the mean squared error in units of the spread; one where nothing is read."""
        return (self._noisy(real, generator) - (told - self.mean) / self.spread).square().mean()

    def _noisy(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(pictures.shape[1:], generator=generator, device=pictures.device)
        readings: Tensor = self(pictures + _NOISE * noise)
        return readings
