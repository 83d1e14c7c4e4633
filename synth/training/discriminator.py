"""A patch discriminator: learns to tell drawn pictures from those of the data, patch by patch, and nothing else.

It is told what the pictures should show, so that it sees, too, where something was left away: without that, a network
that draws nobody with a hat on would pass.

Sources: Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017 (patches); Miyato
et al., "Spectral normalization for generative adversarial networks", ICLR 2018, whose hinge losses these are; Miyato
and Koyama, "cGANs with projection discriminator", ICLR 2018 (conditions). This module does not know what draws.

Shapes: B pictures, H x W pixels, h x w patches, C numbers told.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Three halvings, then one verdict for each place: a patch of 38 x 38 pixels."""

    def __init__(self, channels: int, told: int) -> None:
        """`channels` after the first halving; twice and three times as many follow. `told` is C."""
        super().__init__()
        widths = (3, channels, 2 * channels, 3 * channels)
        halvings = [spectral_norm(nn.Conv2d(*pair, 4, 2, 1)) for pair in pairwise(widths)]
        self.halvings = nn.ModuleList(halvings)
        self.verdict = spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1))
        self.wanted = spectral_norm(nn.Linear(told, widths[-1]))

    def forward(self, pictures: Tensor, told: Tensor) -> Tensor:
        """Verdicts (B, 1, h, w) on pictures float (B, 3, H, W) in [-1, 1] that should show what is told, (B, C).

        Positive where they seem real, and to show it.
        """
        x = pictures.contiguous(memory_format=torch.channels_last)
        for halving in self.halvings:
            x = functional.leaky_relu(halving(x), _SLOPE)
        fits = (self.wanted(told)[..., None, None] * x).sum(1, keepdim=True) / x.shape[1] ** 0.5
        verdict: Tensor = self.verdict(x) + fits
        return verdict


def telling_apart(real: Tensor, drawn: Tensor) -> Tensor:
    """The discriminator's loss, of its verdicts."""
    return (1 - real.float()).relu().mean() + (1 + drawn.float()).relu().mean()


def being_taken(drawn: Tensor) -> Tensor:
    """The loss of what draws: to be taken for real."""
    return -drawn.float().mean()
