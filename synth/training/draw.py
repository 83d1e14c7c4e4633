"""Random numbers of one step of a training, on its device. This module does not know what they are for."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Draws from one generator, one after the other."""

    generator: torch.Generator
    device: torch.device

    def uniform(self, *shape: int) -> Tensor:
        """float32, in [0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        """float32, of unit variance."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def whole(self, below: int, *shape: int) -> Tensor:
        """int64, from 0 to below `below`."""
        return torch.randint(below, shape, generator=self.generator, device=self.device)
