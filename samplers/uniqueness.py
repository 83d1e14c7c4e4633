"""Counting unique identities: how many vectors of a list are not too close to any that stands before them.

The rule is the one that Vec2Face publishes figures by: every earlier vector counts, unique itself or not. Since only
earlier vectors count, one pass answers for every prefix of the list. This module does not know the stricter rule of
`samplers.separation`, which asks only those that were kept.

Shapes: I vectors, D dimensions.
"""

from typing import Any

import torch
from torch import Tensor

from samplers.hands import Hands
from samplers.pairs import TILE, passes
from samplers.sphere import product

_HIDDEN = -2.0


def unique_so_far(vectors: Tensor, limit: float, hands: Hands) -> Tensor:
    """Which unit vectors (I, D) have no earlier one at a cosine above the limit, exactly: bool (I,).

    `cumsum` over the result is the number of unique identities in every prefix
    (HaiyuWu/Vec2Face, inter-separability-measurement.py, compares whole matrices for each).
    """
    held = hands.hold(vectors)
    firsts = range(0, len(vectors), TILE)
    tasks = ((held, first, limit) for first in reversed(firsts))  # the longest first
    return torch.cat(list(hands.run(_unique_rows, tasks))[::-1]) if len(vectors) else torch.ones(0, dtype=torch.bool)


def _unique_rows(vectors: Tensor, first: int, limit: float) -> Any:
    """Whether the vectors first .. first + TILE - 1 are unique among all before them."""
    rows = vectors[first : first + TILE]
    work = passes(vectors)
    refused = torch.zeros(len(rows), dtype=torch.bool, device=vectors.device)
    for at in range(0, first + 1, TILE):
        columns = vectors[at : at + TILE]
        tile = product(rows, columns)
        if at == first:
            tile.masked_fill_(torch.ones_like(tile, dtype=torch.bool).triu(), _HIDDEN)
        work.mark_too_close(rows, columns, tile, limit, refused)
    return ~refused.cpu()
