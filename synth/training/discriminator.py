"""A patch discriminator: learns to tell drawn pictures from those of the data, patch by patch, and nothing else.

Sources: Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017 (patches, and
normalised channels); Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018, for the
hinge losses. Spectral norms themselves were tried: against a network that already draws well, such a discriminator did
not keep up, and said nothing. This module does not know what draws.

Shapes: B pictures, H x W pixels, h x w patches.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

_SLOPE = 0.2
_GROUPS = 4  # of channels that are normalised together


class PatchDiscriminator(nn.Module):
    """Three halvings, then one verdict for each place: a patch of 38 x 38 pixels."""

    def __init__(self, channels: int) -> None:
        """`channels` after the first halving; twice and three times as many follow."""
        super().__init__()
        widths = (3, channels, 2 * channels, 3 * channels)
        self.halvings = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 4, 2, 1, bias=before == 3),
                # Not at first: how much contrast there is tells, too.
                nn.Identity() if before == 3 else nn.GroupNorm(_GROUPS, after),
                nn.LeakyReLU(_SLOPE),
            )
            for before, after in pairwise(widths)
        )
        self.verdict = nn.Conv2d(widths[-1], 1, 3, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Verdicts (B, 1, h, w) on pictures float (B, 3, H, W) in [-1, 1]: positive where they seem real."""
        x = pictures.contiguous(memory_format=torch.channels_last)
        for halving in self.halvings:
            x = halving(x)
        verdict: Tensor = self.verdict(x)
        return verdict


def telling_apart(real: Tensor, drawn: Tensor) -> Tensor:
    """The discriminator's loss, of its verdicts."""
    return (1 - real.float()).relu().mean() + (1 + drawn.float()).relu().mean()


def being_taken(drawn: Tensor) -> Tensor:
    """The loss of what draws: to be taken for real."""
    return -drawn.float().mean()
