"""Which tokens of the feature-masked autoencoder are dropped and which replaced, for each picture by itself.

The published code draws one rate for a whole batch from global generators; here rate and order belong to the picture,
so that it never depends on its neighbours. This module does not know the network.

Shapes: B pictures, 49 places, K tokens kept.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PLACES = 49
_ROUNDING = 1e-5  # tokens: float32, in which rates come, often holds k / 49 a little too large


@dataclass(frozen=True)
class TokenMask:
    """What becomes of each picture's tokens."""

    kept: Tensor  # int64 (B, K + 1): ascending positions among the 50 tokens, 0 (the whole feature) first
    replaced: Tensor  # bool (B, 49): the feature, or a condition, stands here instead of the place's own token

    def select(self, rows: Tensor | slice) -> "TokenMask":
        """The same for some of the pictures."""
        return TokenMask(self.kept[rows], self.replaced[rows])


def token_mask(noise: Tensor, rate: Tensor, dropped_share: float) -> TokenMask:
    """The mask of pictures with noise (B, 49) and mask rate (B,): tokens go in the order of their noise, lowest first.

    ceil(49 x dropped_share) tokens are dropped, the same number for every picture, and ceil(49 x rate) are replaced;
    equal noise falls to the lower place, so that the numbers are always exact. Raises ValueError for a share that
    leaves no token.
    """
    dropped = math.ceil(PLACES * dropped_share)
    if not 0 <= dropped < PLACES:
        raise ValueError(f"a dropped share of {dropped_share:g} leaves none of {PLACES} tokens")
    order = noise.argsort(dim=1, stable=True)
    rank = order.argsort(dim=1)
    replaced = rank < (PLACES * rate.double() - _ROUNDING).ceil()[:, None]
    kept = order[:, dropped:].sort(1).values + 1
    return TokenMask(torch.cat((torch.zeros_like(kept[:, :1]), kept), 1), replaced)
