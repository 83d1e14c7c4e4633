"""6DRepNet: how far a head is turned, read from its picture, for AttrOP's pose target; gradients reach the pixels.

The network is the published one in the form that is deployed (RepVGG-B1g2 with one convolution for each block's three
branches), with the published names, so that official weights load strictly; a training's checkpoint has other names,
and is refused. Its six numbers are the first two columns of a rotation matrix, before Gram-Schmidt, which only scales
the first; and the yaw is read from the first alone, so that the rest of the matrix is never made.

Pictures are fed as Vec2Face feeds them, since its thresholds were chosen so: BGR from 0 to 1 at 112 px, though the
network was trained on RGB at 224 px, normalised by ImageNet's mean and deviation. This module does not know what the
yaw is wanted for.

Sources: Hempel et al., "6D rotation representation for unconstrained head pose estimation", ICIP 2022, its repository
thohemp/6DRepNet (MIT) for names, shapes and angles; Ding et al., "RepVGG", CVPR 2021; Zhou et al., "On the continuity
of rotation representations in neural networks", CVPR 2019; HaiyuWu/Vec2Face, `gen_image`, for the pictures.

Shapes: B pictures, H x W pixels.
"""

from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.section import InputFile
from synth.weights import load_weights, read_weights, refuse_unfit

#: Under these keys checkpoints keep the network beside optimisers and the like.
_WITHIN = ("model_state_dict", "state_dict")
_FIRST_WIDTH = 64
_BLOCKS, _WIDTHS = (4, 6, 16, 1), (128, 256, 512, 2048)  # of layers 1 to 4
_SMALLEST = 1e-30  # a squared length whose root still has a finite gradient


class _Block(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int, groups: int) -> None:
        super().__init__()
        self.rbr_reparam = nn.Conv2d(width_in, width, 3, stride, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.rbr_reparam(x))


class PoseNetwork(nn.Module):
    """From pictures (B, 3, H, W), as they are fed, to the first two columns (B, 6) of a matrix, not orthonormal yet."""

    def __init__(self) -> None:
        super().__init__()
        self.layer0 = _Block(3, _FIRST_WIDTH, 2, 1)
        width_in, numbers = _FIRST_WIDTH, count(1)
        for layer, (blocks, width) in enumerate(zip(_BLOCKS, _WIDTHS, strict=True), 1):
            made = []
            for block in range(blocks):
                groups = 2 if next(numbers) % 2 == 0 else 1  # every second block, counted through all layers
                made.append(_Block(width_in, width, 2 if block == 0 else 1, groups))
                width_in = width
            self.add_module(f"layer{layer}", nn.Sequential(*made))
        self.linear_reg = nn.Linear(width_in, 6)

    def forward(self, x: Tensor) -> Tensor:
        """Columns (B, 6) of pictures (B, 3, H, W)."""
        for layer in range(len(_BLOCKS) + 1):
            x = self.get_submodule(f"layer{layer}")(x)  # at last (B, 2048, H / 32, W / 32), rounded up
        columns: Tensor = self.linear_reg(x.mean((2, 3)))
        return columns


def preflight_pose_network(weights: InputFile) -> None:
    """Hold the weights' names and shapes against the network. Raises StorageError and DatasetError."""
    refuse_unfit(_empty(), read_weights(weights, _WITHIN), weights.url)


def open_pose_network(weights: InputFile, device: str) -> nn.Module:
    """The network on a device, for `yaw_deg`; gradients flow through it, none reach its weights.

    Raises StorageError where the file cannot be had, DatasetError where it is not exactly this network's.
    """
    network = _empty().to_empty(device="cpu")
    load_weights(network, read_weights(weights, _WITHIN), weights.url)
    return network.eval().requires_grad_(False).to(device)


def yaw_deg(network: nn.Module, pixels: Tensor) -> Tensor:
    """How far the heads are turned to a side, float32 (B,) in degrees from -90 to 90, of RGB pictures.

    `pixels`: float32 (B, 3, H, W) in [-1, 1], on the network's device; the yaw is differentiable in them.
    """
    first = network((pixels.flip(1) + 1) / 2)[:, :3]  # the matrix's first column, at any length
    across = (first[:, 0] ** 2 + first[:, 1] ** 2).clamp(min=_SMALLEST).sqrt()
    return torch.rad2deg(torch.atan2(-first[:, 2], across))


def _empty() -> PoseNetwork:
    """The network without memory for its weights."""
    with torch.device("meta"):  # also: no initial weights are drawn
        return PoseNetwork()
