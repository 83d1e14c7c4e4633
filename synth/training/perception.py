"""A frozen recogniser as the judge of drawn pictures: what it sees along the way, and whom it sees.

Gradients flow to the pictures, none to the recogniser. This module does not know what draws them.

Shapes: B pictures, H x W pixels, D dimensions of the embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from synth.encoders.iresnet import IResNet, fold
from synth.encoders.trained import load_recogniser
from synth.section import InputFile

_COMPARED = 3  # of the four layers: what the last one says of a picture, the embedding says, too
_EPSILON = 1e-4
_SIDE_PX = 112
_JITTER_PX, _JITTER_NOISE = 3, 0.02


@dataclass(frozen=True)
class Sight:
    """What the recogniser makes of B pictures."""

    maps: tuple[Tensor, ...]  # (B, C, h, w) each, the outputs of its first layers
    embedding: Tensor  # float32 (B, D), unit length


@dataclass(frozen=True)
class Jitter:
    """A change that all pictures of a step undergo alike before the recogniser looks: mirrored or not, shifted, noisy.

    So it cannot be pleased by single pixels.
    """

    mirror: bool
    across: int
    down: int
    noise: Tensor  # float32 (1, 3, H, H)

    @classmethod
    def drawn(cls, generator: torch.Generator, device: torch.device) -> "Jitter":
        """One by chance."""
        mirror, across, down = torch.rand(3, generator=generator, device=device).tolist()
        noise = torch.randn(1, 3, _SIDE_PX, _SIDE_PX, generator=generator, device=device) * _JITTER_NOISE
        shifts = 2 * _JITTER_PX + 1
        return cls(mirror < 0.5, int(across * shifts), int(down * shifts), noise)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures float (B, 3, 112, 112), changed."""
        wide = functional.pad(pictures, [_JITTER_PX] * 4, mode="replicate")
        moved = wide[:, :, self.down : self.down + _SIDE_PX, self.across : self.across + _SIDE_PX] + self.noise
        return moved.flip(3) if self.mirror else moved


class Perception:
    """A recogniser of a file, looking on."""

    def __init__(self, encoder: InputFile, device: torch.device) -> None:
        """Raises StorageError and DatasetError where the file cannot be read, or holds no recogniser of ours."""
        network = load_recogniser(encoder).eval().requires_grad_(False)
        fold(network)
        self._network: IResNet = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def look(self, pictures: Tensor) -> Sight:
        """What it sees in pictures float (B, 3, 112, 112), RGB in [-1, 1]."""
        maps = self.maps(pictures)
        x = self._network.get_submodule("layer4")(maps[-1])
        embedding: Tensor = self._network.features(self._network.fc(self._network.bn2(x).flatten(1)))
        return Sight(maps, functional.normalize(embedding.float(), dim=1))

    def maps(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """The outputs of its first layers alone, cheaper."""
        network = self._network
        x = network.prelu(network.bn1(network.conv1(pictures.contiguous(memory_format=torch.channels_last))))
        found = []
        for number in range(1, _COMPARED + 1):
            x = network.get_submodule(f"layer{number}")(x)
            found.append(x)
        return tuple(found)


def unlike(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    """How unlike two pictures' maps are, the mean over layers, places and pictures: 0 where they are the same.

    At each place both are scaled to unit length over the channels, as in LPIPS (Zhang et al., CVPR 2018), so that every
    layer counts alike: 2 is what has nothing in common, 4 opposites.
    """
    distances = [(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in zip(first, second, strict=True)]
    return torch.stack(distances).mean()


def _unit(x: Tensor) -> Tensor:
    x = x.float()
    return x * (x.square().sum(1, keepdim=True) + _EPSILON).rsqrt()
