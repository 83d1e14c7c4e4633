"""From a 7 x 7 grid of tokens to a picture: the decoder of a VQGAN, as Vec2Face's checkpoints have it.

Networks of our own are smaller, and their finest maps are half the picture's size: the last convolution then gives the
2 x 2 pixels of each place at once (pixel shuffle). They can also be given noise, "grain", from which they draw what no
token foretells, such as single hairs; without it networks fill such places with grids (Karras et al., "A style-based
generator architecture", CVPR 2019). And they can be told the condition once more: it scales and shifts the maps of
every level, since what is rare, a hat or glasses, is learnt slowly through tokens alone (Perez et al., "FiLM", AAAI
2018).

Source: Esser et al., "Taming Transformers for High-Resolution Image Synthesis", CVPR 2021; constants of
`configs/vec2face/vqgan.yaml` in HaiyuWu/Vec2Face (MIT). This module does not know what the grid says.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-6
_FINE = 3  # levels
_GRAINED = 2  # the finest of them


@dataclass(frozen=True)
class PixelSizes:
    """How large the decoder is; the defaults are the published ones."""

    channels_in: int = 256
    channels: int = 128  # of the finest maps; times a factor at each coarser level
    factors: tuple[int, ...] = (1, 1, 2, 2, 4)  # from the finest maps, 112 px, to the grid's own, 7
    blocks: int = 2  # per level
    groups: int = 32  # of channels that are normalised together
    shuffle: int = 1  # pixels along each side of a place of the finest maps
    grain: int = 0  # maps of noise that the two finest levels are given
    told: int = 0  # W, the width of a condition that scales and shifts the maps of every level


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=_EPSILON)


def _conv(before: int, after: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=bias)


class _Residual(nn.Module):
    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.norm1 = _norm(before, groups)
        self.conv1 = _conv(before, after, bias=False)
        self.norm2 = _norm(after, groups)
        self.conv2 = _conv(after, after, bias=False)
        self.nin_shortcut = nn.Conv2d(after, after, 1, bias=False) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.silu(self.norm1(x)))
        y = self.conv2(functional.silu(self.norm2(y)))
        # Where channels change, the published code takes the shortcut from the result, not from the input.
        joined: Tensor = (x if self.nin_shortcut is None else self.nin_shortcut(y)) + y
        return joined


class Upsample(nn.Module):
    """Doubles a picture by nearest neighbours, then convolves it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2 H, 2 W)."""
        doubled: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class _Level(nn.Module):
    def __init__(self, widths: list[int], groups: int, upsample: bool, told: int) -> None:
        """`widths`: channels that come in, and after each block; `told`: the width of a condition, or 0."""
        super().__init__()
        after = widths[-1]
        self.block = nn.Sequential(*(_Residual(*pair, groups) for pair in pairwise(widths)))
        self.told = nn.Linear(told, 2 * after) if told else None
        self.upsample = Upsample(after) if upsample else None

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        y: Tensor = self.block(x)
        if self.told is not None and condition is not None:
            scale, shift = self.told(condition)[..., None, None].chunk(2, 1)
            y = y * (1 + scale) + shift
        return y if self.upsample is None else self.upsample(y)


class _Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = _Residual(channels, channels, groups)
        self.block_2 = _Residual(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block_2(self.block_1(x))
        return y


class PixelDecoder(nn.Module):
    """See the module."""

    def __init__(self, sizes: PixelSizes) -> None:
        super().__init__()
        widths = [sizes.channels * factor for factor in sizes.factors]
        self.conv_in = _conv(sizes.channels_in, widths[-1])
        self.mid = _Middle(widths[-1], sizes.groups)
        before = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            _Level([before[level], *[widths[level]] * sizes.blocks], sizes.groups, level > 0, sizes.told)
            for level in range(len(widths))
        )
        self.norm_out = _norm(widths[0], sizes.groups)
        self.conv_out = _conv(widths[0], 3 * sizes.shuffle**2)
        self.grain = nn.ModuleList(
            nn.Conv2d(sizes.grain, before[level], 1, bias=False) for level in range(_GRAINED if sizes.grain else 0)
        )
        self._shuffle = sizes.shuffle

    def forward(self, grid: Tensor, grain: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Pictures float (B, 3, 16 H, 16 W), mostly within [-1, 1], of a grid (B, channels, H, W).

        `grain` (B, maps, h, w), of unit variance and as large as the finest maps, and `condition` (B, W), for networks
        that have any use for them.
        """
        return self.fine(self.coarse(grid, condition), grain, condition)

    def coarse(self, grid: Tensor, condition: Tensor | None = None) -> Tensor:
        """The first part, where weights are large and maps small: all but the three finest levels."""
        x: Tensor = self.mid(self.conv_in(grid))
        for level in reversed(self.up[_FINE:]):
            x = level(x, condition)
        return x

    def fine(self, x: Tensor, grain: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """The rest, where weights are small and maps large."""
        for number in reversed(range(min(_FINE, len(self.up)))):
            if grain is not None and number < len(self.grain):
                # Means of n x n numbers, n times as large, vary as much as single ones.
                x = x + self.grain[number](functional.avg_pool2d(grain, 2**number) * 2**number)
            x = self.up[number](x, condition)
        picture: Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return picture if self._shuffle == 1 else functional.pixel_shuffle(picture, self._shuffle)
