"""Pictures: which identity and view stand at which place of a dataset, computed, never listed.

A dataset of I identities with V views has I x V planned pictures, at places 0 .. I V - 1; shards are ranges of
places. The order `shuffled` scatters each person over all shards by a keyed bijection; `by_identity` keeps people
together. This module does not know what a shard holds besides places.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from samplers import random

Order = Literal["shuffled", "by_identity"]


@dataclass(frozen=True)
class Pictures:
    """All planned pictures of a dataset, in their order."""

    identities: int
    views: int
    seed: int
    order: Order = "shuffled"

    def __len__(self) -> int:
        return self.identities * self.views

    def at(self, first: int, last: int) -> Tensor:
        """(identity, view) of the places first .. last - 1: int64 (last - first, 2)."""
        place = torch.arange(first, last)
        if self.order == "shuffled":
            place = random.permute(random.key_of(self.seed, "order"), place, len(self))
        return torch.stack((place // self.views, place % self.views), -1)


def shard_range(pictures: int, shards: int, shard: int) -> tuple[int, int]:
    """The places of one of `shards` shards: first and last + 1. Sizes differ by at most one."""
    return pictures * shard // shards, pictures * (shard + 1) // shards
