"""How published face networks want their pictures: colour order and scaling, in one table.

A network that is fed the wrong order or scaling still gives embeddings, only worse ones: the field's most common silent
bug. So nothing but this table decides it, and a recipe names its row. Pictures here are RGB with values from 0 to 255.
This module does not know any network.

Shapes: B pictures, H x W pixels, S the side that a network wants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from samplers.errors import RenderError

SIDE_PX = 112  # of the aligned pictures that recognisers are trained on


@dataclass(frozen=True)
class Convention:
    """What one family of networks was trained on."""

    order: Literal["rgb", "bgr"]
    mean: float  # subtracted from values from 0 to 255
    std: float  # what is left is divided by it
    length_is_quality: bool  # whether the length of an embedding was trained to measure quality
    source: str

    def feed(self, values: Tensor) -> Tensor:
        """A network's input, of RGB pictures float (B, 3, H, W) with values from 0 to 255."""
        ordered = values.flip(1) if self.order == "bgr" else values
        return (ordered - self.mean) / self.std


#: The rows that encoders may name.
ConventionName = Literal["arcface", "magface", "magface_rgb", "adaface", "adaface_rgb"]

CONVENTIONS: Mapping[str, Convention] = {
    "arcface": Convention(
        "rgb",
        127.5,
        127.5,
        length_is_quality=False,
        source="deepinsight/insightface, recognition/arcface_torch/inference.py and model_zoo/arcface_onnx.py; also "
        "ElasticFace, and the ArcFace models of Vec2Face (HaiyuWu/Vec2Face)",
    ),
    "magface": Convention(
        "bgr",
        0.0,
        255.0,
        length_is_quality=True,
        source="IrvingMeng/MagFace, inference/gen_feat.py: cv2.imread, ToTensor, mean 0, std 1",
    ),
    "magface_rgb": Convention(
        "rgb",
        127.5,
        127.5,
        length_is_quality=True,
        source="trained again by Wu: HaiyuWu/SOTA-Face-Recognition-Train-and-Test, model_zoo/README.md; the MagFace of "
        "Vec2Face",
    ),
    "adaface": Convention(
        "bgr",
        127.5,
        127.5,
        length_is_quality=True,
        source="mk-minchul/AdaFace, inference.py",
    ),
    "adaface_rgb": Convention(
        "rgb",
        127.5,
        127.5,
        length_is_quality=True,
        source="trained again by Wu: HaiyuWu/SOTA-Face-Recognition-Train-and-Test, model_zoo/README.md",
    ),
    # Not a recogniser but a judge of head poses, here so that there is one table.
    "sixdrepnet": Convention(
        "bgr",
        0.0,
        255.0,
        length_is_quality=False,
        source="HaiyuWu/Vec2Face, pixel_generator/vec2face/model_vec2face.py: (bgr + 1) / 2, no more",
    ),
}


def values_of_images(images: Tensor, side_px: int = SIDE_PX) -> Tensor:
    """Values float32 (B, 3, S, S) from 0 to 255 of uint8 RGB pictures (B, H, W, 3), on their device (`fitted`).

    Raises RenderError for anything but such pictures.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.numel():
        raise RenderError(f"encoders take uint8 pictures (B, H, W, 3), not {images.dtype} {tuple(images.shape)}")
    return fitted(images.permute(0, 3, 1, 2).float(), side_px)


def values_of_pixels(pixels: Tensor, side_px: int = SIDE_PX) -> Tensor:
    """Values (B, 3, S, S) from 0 to 255 of RGB pictures float (B, 3, H, W) in [-1, 1]; gradients flow."""
    return fitted((pixels + 1) * 127.5, side_px)


def fitted(pictures: Tensor, side_px: int = SIDE_PX) -> Tensor:
    """Pictures float (B, 3, H, W) at the side S that a network wants: (B, 3, S, S), by averaging areas.

    Where H and W are k times S, each new pixel is the mean of k x k old ones, not rounded. Other sizes, smaller ones
    too, are averaged over areas that overlap or repeat by a pixel: they are seen, but a little less sharply.
    """
    height, width = pictures.shape[-2:]
    if height == width == side_px:
        return pictures
    if height % side_px == 0 and width % side_px == 0:  # also: its gradients are added in a fixed order on every device
        return functional.avg_pool2d(pictures, (height // side_px, width // side_px))
    return functional.adaptive_avg_pool2d(pictures, side_px)


def grading_conventions() -> list[str]:
    """The rows that encoders may name whose networks measure quality by the length of their embeddings."""
    return [name for name in get_args(ConventionName) if CONVENTIONS[name].length_is_quality]
