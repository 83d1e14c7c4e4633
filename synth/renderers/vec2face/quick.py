"""The same network, quicker: layers exchanged for others that give the same numbers up to rounding.

What it changes, and why (figures in `bench/results/`):
- Doubling a picture by nearest neighbours and then convolving it 3 x 3 is one transposed convolution 4 x 4 of stride 2,
  whose taps are sums of the old ones: 4 / 9 of the multiplications.
- On a CPU, linear layers go through oneDNN, which here is twice as fast as the default library, and the large
  maps of the pictures are worked out one picture at a time, so that they stay in the cache.
- Tensors of pictures keep their channels last.

This module does not know what the network computes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.renderers.vec2face.network import FeatureAutoencoder
from synth.renderers.vec2face.pixels import PixelDecoder, Upsample


class DoublingConvolution(nn.Module):
    """A 3 x 3 convolution of a picture doubled by nearest neighbours, without doubling it first."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(doubling_kernel(convolution.weight.detach()), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', 2 H, 2 W)."""
        return functional.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)


class LearningDoubling(nn.Module):
    """The same for training: the 3 x 3 kernel stays the parameter, by its own name."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.conv = convolution

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', 2 H, 2 W)."""
        kernel = doubling_kernel(self.conv.weight)
        return functional.conv_transpose2d(x, kernel, self.conv.bias, stride=2, padding=1)


def doubling_kernel(kernel: Tensor) -> Tensor:
    """The transposed kernel (in, out, 4, 4) of a kernel (out, in, 3, 3) that is applied after doubling.

    Along each axis, output p takes from input i the taps k with (p + k - 1) // 2 = i; with t = p - 2 i + 1 these are
    k = 2 - t and k = 3 - t, where they exist.
    """
    spread = torch.tensor(
        [[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float64, device=kernel.device
    )  # (t, k)
    doubled = torch.einsum("sj,oijk,tk->iost", spread, kernel.double(), spread)
    return doubled.to(kernel.dtype).contiguous(memory_format=torch.channels_last)


class OneDnnLinear(nn.Module):
    """A linear layer through oneDNN's own layout; CPU and float32 only."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach().to_mkldnn()
        self.bias = linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        rows = x.reshape(-1, x.shape[-1]).to_mkldnn()
        return functional.linear(rows, self.weight, self.bias).to_dense().view(*x.shape[:-1], -1)


class OneByOne(nn.Module):
    """Decodes pictures one at a time where maps are large: they then stay in the cache, and need no fresh memory.

    Where weights are large, all pictures go together: oneDNN brings a layer's weights into its own order at every call.
    """

    def __init__(self, decoder: PixelDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, grid: Tensor, grain: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """As the decoder does."""
        coarse = self.decoder.coarse(grid.contiguous(memory_format=torch.channels_last), condition)

        def one(number: int) -> Tensor:
            row = slice(number, number + 1)
            return self.decoder.fine(
                coarse[row], None if grain is None else grain[row], None if condition is None else condition[row]
            )

        return torch.cat([one(number) for number in range(len(grid))])


def quicken_training(network: FeatureAutoencoder) -> None:
    """Exchange what can be exchanged in a network that is to be trained; the names of its weights stay."""
    decoder = network.im_decoder
    assert isinstance(decoder, PixelDecoder)
    for level in decoder.up:
        if isinstance(level.upsample, Upsample):
            level.upsample = LearningDoubling(level.upsample.conv)


def quicken(network: FeatureAutoencoder) -> None:
    """Exchange the layers of a network that is loaded and lies where it will be used; it can then be used only."""
    network.requires_grad_(False)
    decoder = network.im_decoder
    assert isinstance(decoder, PixelDecoder), "quickened twice"
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for level in decoder.up:
        if isinstance(level.upsample, Upsample):
            level.upsample = DoublingConvolution(level.upsample.conv)
    weight = network.norm.weight
    if weight.device.type == "cpu":
        network.im_decoder = OneByOne(decoder)
        if weight.dtype == torch.float32 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            _exchange_linear(network.blocks)
            _exchange_linear(network.decoder_blocks)


def _exchange_linear(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, OneDnnLinear(child))
        else:
            _exchange_linear(child)
