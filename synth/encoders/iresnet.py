"""IResNet recognisers from published weights: ArcFace, MagFace, and others that share the network.

Names and shapes are those of insightface's arcface_torch, so that published weights load strictly, from .pth or
.safetensors. Where a batch normalisation follows a convolution, the two become one at loading. This module does not
know what the embeddings are compared with.

Sources: Deng et al., "ArcFace", CVPR 2019, arXiv 1801.07698; Duta et al., "Improved residual networks", ICPR 2020,
arXiv 2004.04989; Meng et al., "MagFace", CVPR 2021, arXiv 2103.06627.

Shapes: B pictures, H x W pixels, D dimensions.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.cost import Cost, measured_cost
from synth.encoders.conventions import (
    CONVENTIONS,
    SIDE_PX,
    Convention,
    ConventionName,
    values_of_images,
    values_of_pixels,
)
from synth.encoders.settings import IResNetSettings
from synth.weights import load_weights, read_weights, refuse_unfit

#: Blocks in each of the four layers, by the name that the field gives to the depth.
BLOCKS: Mapping[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
}
_WIDTHS = (64, 128, 256, 512)
_LAST_SIDE = 7  # what four halvings leave of 112 px
_USUAL_DIMENSION = 512
_FIXED_SLOPE = 0.25  # that with which PReLU begins
#: Under these keys checkpoints keep the network beside optimisers and the like.
_WITHIN = ("state_dict", "model_state_dict", "state_dict_backbone", "backbone", "model", "net")
#: And before these names the network's own: of DataParallel, Lightning, and MagFace's two trainers.
_PREFIXES = ("", "module.", "model.", "backbone.", "features.module.", "module.features.", "features.", "model.module.")
_STEM = "conv1.weight"


@dataclass(frozen=True)
class IResNetSizes:
    """How large a network is; the defaults, but for the blocks, are the published ones."""

    blocks: tuple[int, int, int, int]
    dimension: int = _USUAL_DIMENSION
    stem: int = 64  # channels after the first convolution
    stem_stride: int = 1
    widths: tuple[int, int, int, int] = _WIDTHS
    strides: tuple[int, int, int, int] = (2, 2, 2, 2)
    slope: float | None = None  # of activations below zero; None: learned, one for each channel (PReLU)

    @classmethod
    def compact(
        cls, stem: int, widths: tuple[int, int, int, int], blocks: tuple[int, int, int, int], dimension: int
    ) -> "IResNetSizes":
        """Of our own networks: the first convolution halves the picture, and the second layer does not.

        Slopes are fixed: on a CPU, learning them takes a third of a training's time.
        """
        return cls(blocks, dimension, stem, 2, widths, (2, 1, 2, 2), _FIXED_SLOPE)

    def document(self) -> dict[str, Any]:
        """As it is stored beside weights."""
        return asdict(self)

    @classmethod
    def parsed(cls, document: Any) -> "IResNetSizes":
        """What `document` gave. Raises ValueError for anything else."""
        return TypeAdapter(cls).validate_python(document)


def _activation(width: int, slope: float | None) -> nn.Module:
    return nn.PReLU(width) if slope is None else nn.LeakyReLU(slope)


class _Block(nn.Module):
    """Two convolutions around a step of the stride, added to what came in."""

    def __init__(self, width_in: int, width: int, stride: int, epsilon: float, slope: float | None) -> None:
        super().__init__()
        self.bn1: nn.Module = nn.BatchNorm2d(width_in, epsilon)
        self.conv1: nn.Module = nn.Conv2d(width_in, width, 3, 1, 1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(width, epsilon)
        self.prelu = _activation(width, slope)
        self.conv2: nn.Module = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3: nn.Module = nn.BatchNorm2d(width, epsilon)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or width_in != width:
            shrink = nn.Conv2d(width_in, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shrink, nn.BatchNorm2d(width, epsilon))

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return changed + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """The network: pictures (B, 3, 112, 112), scaled as it wants, to embeddings (B, D) that are not normalised."""

    def __init__(self, sizes: IResNetSizes, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(3, sizes.stem, 3, sizes.stem_stride, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(sizes.stem, epsilon)
        self.prelu = _activation(sizes.stem, sizes.slope)
        width_in = sizes.stem
        layers = zip(sizes.blocks, sizes.widths, sizes.strides, strict=True)
        for number, (blocks, width, stride) in enumerate(layers, 1):
            first = _Block(width_in, width, stride, epsilon, sizes.slope)
            others = (_Block(width, width, 1, epsilon, sizes.slope) for _ in range(blocks - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *others))
            width_in = width
        self.bn2 = nn.BatchNorm2d(width_in, epsilon)
        self.fc: nn.Module = nn.Linear(width_in * _LAST_SIDE**2, sizes.dimension)
        self.features: nn.Module = nn.BatchNorm1d(sizes.dimension, epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (B, D) of (B, 3, 112, 112)."""
        x = self.prelu(self.bn1(self.conv1(x)))  # (B, 64, 112, 112)
        for number in range(1, len(_WIDTHS) + 1):
            x = self.get_submodule(f"layer{number}")(x)  # at last (B, 512, 7, 7)
        embedding: Tensor = self.features(self.fc(self.bn2(x).flatten(1)))  # (B, D)
        return embedding


def fold(network: IResNet) -> None:
    """Let each convolution and the last layer take over the normalisation after it, in place; evaluation only.

    What is normalised before a convolution stays: at the padded border the two are not one.
    """
    for part in network.modules():
        if isinstance(part, IResNet):
            part.conv1, part.bn1 = _one(part.conv1, part.bn1), nn.Identity()
            part.fc, part.features = _one(part.fc, part.features), nn.Identity()
        elif isinstance(part, _Block):
            part.conv1, part.bn2 = _one(part.conv1, part.bn2), nn.Identity()
            part.conv2, part.bn3 = _one(part.conv2, part.bn3), nn.Identity()
            if part.downsample is not None:
                part.downsample = nn.Sequential(_one(part.downsample[0], part.downsample[1]), nn.Identity())


def _one(layer: nn.Module, normalisation: nn.Module) -> nn.Module:
    if isinstance(layer, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
        return fuse_conv_bn_eval(layer, normalisation)
    if isinstance(layer, nn.Linear) and isinstance(normalisation, nn.BatchNorm1d):
        return fuse_linear_bn_eval(layer, normalisation)
    return layer  # folded before


def _read(settings: IResNetSettings) -> dict[str, Tensor]:
    """The network's own weights in the file. What lies outside its prefix (the head of a training) is left out."""
    found = read_weights(settings.weights, _WITHIN)
    prefix = next((prefix for prefix in _PREFIXES if prefix + _STEM in found), "")
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def _empty(settings: IResNetSettings, weights: Mapping[str, Tensor]) -> IResNet:
    """The network without memory for its weights, wide enough for them. Raises DatasetError for another depth."""
    _refuse_other_depth(settings, weights)
    last = weights.get("features.weight", weights.get("features.bias"))
    dimension = len(last) if last is not None and last.ndim == 1 and len(last) else _USUAL_DIMENSION
    # The MagFace of its authors was trained with another epsilon (IrvingMeng/MagFace, models/iresnet.py).
    epsilon = 2e-5 if settings.convention == "magface" else 1e-5
    with torch.device("meta"):  # also: no initial weights are drawn
        return IResNet(IResNetSizes(BLOCKS[settings.layers], dimension), epsilon)


def _refuse_other_depth(settings: IResNetSettings, weights: Mapping[str, Tensor]) -> None:
    """Raises DatasetError where the weights are those of another depth, and says of which."""
    parts = {tuple(name.split(".")[:2]) for name in weights if name.startswith("layer")}
    found = tuple(sum(part[0] == f"layer{number}" for part in parts) for number in range(1, len(_WIDTHS) + 1))
    if _STEM not in weights or found == BLOCKS[settings.layers]:
        return  # whatever else is wrong is told by name
    depth = next((f"IResNet-{depth}" for depth, blocks in BLOCKS.items() if blocks == found), "no IResNet known here")
    raise DatasetError(
        f"{settings.weights.url} is not IResNet-{settings.layers}: its layers have {', '.join(map(str, found))} blocks "
        f"({depth}); change the encoder's `layers`, or its weights"
    )


class IResNetEncoder:
    """A recogniser; gradients flow through `features`, none reach the weights."""

    def __init__(self, network: IResNet, convention: Convention, flip: bool, device: str) -> None:
        """`network` has its weights; it is folded and brought to the device."""
        network.eval().requires_grad_(False)
        fold(network)
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._convention, self._flip, self._device = convention, flip, torch.device(device)
        self.dimension = _dimension(network)

    @staticmethod
    def preflight(settings: IResNetSettings) -> int:
        """The dimension of the weights, whose names and shapes are held against the network's."""
        weights = _read(settings)
        network = _empty(settings, weights)
        refuse_unfit(network, weights, settings.weights.url)
        return _dimension(network)

    @classmethod
    def cost(cls, settings: IResNetSettings, backend: Backend, gradients: bool = False) -> Cost:
        """Of one look at a micro-batch of pictures of 112 px, in float32, whatever the backend's dtype."""
        sizes = IResNetSizes(BLOCKS[settings.layers])
        return iresnet_cost(sizes, settings.convention, settings.flip, backend, gradients)

    @classmethod
    def open(cls, settings: IResNetSettings, backend: Backend) -> "IResNetEncoder":
        """Load the weights, fold what can be folded, and go to the backend's device."""
        weights = _read(settings)
        network = _empty(settings, weights)
        refuse_unfit(network, weights, settings.weights.url)  # before memory is taken
        network = network.to_empty(device="cpu")
        load_weights(network, weights, settings.weights.url)
        return cls(network, CONVENTIONS[settings.convention], settings.flip, backend.device)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings float32 (B, D), on the CPU, of uint8 RGB pictures (B, H, W, 3) of any size (`fitted` to 112 px).

        They are not normalised: of MagFace their length is the quality.
        """
        with torch.inference_mode():
            return self._embedded(values_of_images(images.to(self._device))).cpu()

    def features(self, pixels: Tensor) -> Tensor:
        """Embeddings float32 (B, D), on the backend's device, of RGB pictures float (B, 3, H, W) there, in [-1, 1].

        The same as `embed` gives, but for the rounding of pictures to whole numbers; gradients flow to the pixels.
        """
        return self._embedded(values_of_pixels(pixels.float()))

    def _embedded(self, values: Tensor) -> Tensor:
        seen = self._convention.feed(values).contiguous(memory_format=torch.channels_last)
        embedding: Tensor = self._network(seen)
        if not self._flip:
            return embedding
        # The mean of both, not the field's sum: the same direction, and a length that still is that of one picture.
        mirrored: Tensor = self._network(seen.flip(3))
        return (embedding + mirrored) / 2

    def fingerprint(self) -> dict[str, str]:
        """Nothing: PyTorch computes, and is named anyway."""
        return {}


def iresnet_cost(
    sizes: IResNetSizes, convention: ConventionName, flip: bool, backend: Backend, gradients: bool
) -> Cost:
    """What one look of such a network at a micro-batch of pictures of 112 px takes, in float32."""
    with torch.device("meta"):
        network = IResNet(sizes)
    encoder = IResNetEncoder(network, CONVENTIONS[convention], flip, "meta")
    shape = (backend.micro_batch, 3, SIDE_PX, SIDE_PX)

    def look() -> Tensor:
        with torch.set_grad_enabled(gradients):
            pixels = torch.rand(shape, device="meta").requires_grad_(gradients)
            embedding = encoder.features(pixels)
            if gradients:
                embedding.sum().backward()  # type: ignore[no-untyped-call]
            return embedding

    return measured_cost((network,), backend.micro_batch, look)


def _dimension(network: IResNet) -> int:
    assert isinstance(network.fc, nn.Linear)
    return network.fc.out_features
