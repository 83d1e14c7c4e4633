"""The diffusion network of our own: diffusers' UNet on pictures folded into small maps, told a person and attributes.

A picture is folded by `patch`: 112 px of 3 colours become 28 x 28 places of 48 numbers, without an autoencoder. The
UNet predicts the picture itself, not noise (Li and He, "Back to basics: let denoising generative models denoise", arXiv
2511.13720). It is told the conditions twice: as tokens that it attends to, and as numbers that scale and shift its
channels together with the time, from which it learns fastest. Maps that are learned with the weights tell every place
where it is.

Where there is nothing but noise yet, a small network lays out faces that do not hold together. So a sketch comes first:
a picture of half the size that a decoder makes of the conditions alone, as good as what they tell. It is added to the
maps of places, and drawing may begin in a mixture of it and noise (Zheng et al., "Truncated diffusion probabilistic
models", ICLR 2023). This module does not know how pictures are sampled, nor how the network is trained.

Shapes: B pictures, H x H pixels, S x S of the sketch, D dimensions of an embedding, C numbers that tell attributes
(`synth.conditions`), K tokens of A numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from samplers.errors import MissingPackageError
from synth.renderers.diffusion.quick import quicken
from synth.renderers.diffusion.sizes import SIDE_PX, SKETCH_GROUPS, SKETCH_PX, DiffusionSizes
from synth.renderers.vec2face.pixels import PixelDecoder, PixelSizes

_SKETCH_WIDTH, _SKETCH_GRID, _SKETCH_SIDE = 192, 32, 7
_TIMES: Final = 1000.0  # the UNet's embedding of time is made for numbers up to this


@dataclass(frozen=True)
class Conditions:
    """What the network is told of B pictures; what is not known does not count."""

    identity: Tensor  # float32 (B, D), unit length
    told: Tensor  # float32 (B, C)
    knows_identity: Tensor  # bool (B,)
    knows_told: Tensor  # bool (B,)

    def of_nobody(self) -> "Conditions":
        """The same pictures, but the person is not told."""
        return replace(self, knows_identity=torch.zeros_like(self.knows_identity))

    def of_nothing(self) -> "Conditions":
        """As many pictures, of which nothing is told."""
        return replace(self.of_nobody(), knows_told=torch.zeros_like(self.knows_told))

    def first(self, count: int) -> "Conditions":
        """Those of the first few pictures."""
        kept = (self.identity, self.told, self.knows_identity, self.knows_told)
        return Conditions(*(each[:count] for each in kept))


@dataclass(frozen=True)
class Read:
    """Conditions as the UNet takes them: read once for all steps."""

    tokens: Tensor  # (B, K, A)
    whole: Tensor  # (B, D + C + 2)
    sketch: Tensor | None  # (B, 3, S, S)

    def beside(self, other: "Read") -> "Read":
        """These pictures, and behind them the other's."""
        sketches = None if self.sketch is None or other.sketch is None else torch.cat((self.sketch, other.sketch))
        return Read(torch.cat((self.tokens, other.tokens)), torch.cat((self.whole, other.whole)), sketches)


class Sketch(nn.Module):
    """A small picture of what conditions alone tell: a grid of 7 x 7 places, and Vec2Face's decoder of pixels."""

    def __init__(self, sizes: DiffusionSizes) -> None:
        super().__init__()
        self._fold = sizes.patch * SKETCH_PX // SIDE_PX
        pixels = PixelSizes(
            _SKETCH_GRID,
            sizes.sketch,
            factors=(1, 2, 2),
            blocks=1,
            groups=SKETCH_GROUPS,
            shuffle=2,
            told=_SKETCH_WIDTH,
        )
        self.read = nn.Sequential(nn.Linear(sizes.whole, _SKETCH_WIDTH), nn.SiLU())
        self.grid = nn.Linear(_SKETCH_WIDTH, _SKETCH_GRID * _SKETCH_SIDE**2)
        self.pixels = PixelDecoder(pixels)
        self.maps = nn.Conv2d(3 * self._fold**2, sizes.places, 1)
        for weight in self.maps.parameters():
            nn.init.zeros_(weight)

    def forward(self, whole: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) of conditions (B, D + C + 2)."""
        told = self.read(whole)
        grid = self.grid(told).view(-1, _SKETCH_GRID, _SKETCH_SIDE, _SKETCH_SIDE)
        picture: Tensor = self.pixels(grid.contiguous(memory_format=torch.channels_last), condition=told)
        return picture

    def spread(self, picture: Tensor) -> Tensor:
        """What the maps of places are told of such pictures: (B, places, side, side)."""
        maps: Tensor = self.maps(functional.pixel_unshuffle(picture, self._fold))
        return maps


class DiffusionNetwork(nn.Module):
    """From pictures with noise to pictures; see the module. Raises MissingPackageError without diffusers."""

    def __init__(self, sizes: DiffusionSizes) -> None:
        super().__init__()
        try:
            from diffusers import UNet2DConditionModel
            from diffusers.models.attention_processor import AttnProcessor
        except ImportError as missing:
            raise MissingPackageError(
                "the diffusion renderer needs diffusers: pip install 'hypersynth[models]'"
            ) from missing
        self.sizes = sizes
        self.unet = UNet2DConditionModel(**sizes.unet())
        # Written out: few places gain nothing from a fused kernel, whose way back is slow on a CPU.
        self.unet.set_attn_processor(AttnProcessor())
        quicken(self.unet)
        self.identity_tokens = nn.Linear(sizes.dimension, sizes.tokens * sizes.token_width)
        self.told_tokens = nn.Linear(sizes.told, sizes.tokens * sizes.token_width)
        self.no_identity = nn.Parameter(torch.zeros(sizes.tokens, sizes.token_width))
        self.no_told = nn.Parameter(torch.zeros(sizes.tokens, sizes.token_width))
        self.places = nn.Parameter(torch.randn(sizes.places, sizes.side, sizes.side))
        self.sketch = Sketch(sizes) if sizes.sketch else None

    def read(self, conditions: Conditions) -> Read:
        """What `forward` is told."""
        dtype, shape = self.places.dtype, (-1, self.sizes.tokens, self.sizes.token_width)
        knows_identity, knows_told = conditions.knows_identity[:, None], conditions.knows_told[:, None]
        # Numbers of a size near one, as those that tell attributes are.
        identity = (conditions.identity * self.sizes.dimension**0.5).to(dtype) * knows_identity
        told = conditions.told.to(dtype) * knows_told
        of_person = self.identity_tokens(identity).view(shape)
        of_picture = self.told_tokens(told).view(shape)
        of_person = torch.where(knows_identity[..., None], of_person, self.no_identity.to(of_person.dtype))
        of_picture = torch.where(knows_told[..., None], of_picture, self.no_told.to(of_picture.dtype))
        whole = torch.cat((identity, told, knows_identity.to(dtype), knows_told.to(dtype)), 1)
        sketch = None if self.sketch is None else self.sketch(whole)
        return Read(torch.cat((of_person, of_picture), 1), whole, sketch)

    def forward(self, mixed: Tensor, noise_share: Tensor, read: Read) -> Tensor:
        """Pictures float32 (B, 3, H, H), mostly within [-1, 1], of mixtures of pictures and noise (B, 3, H, H).

        `noise_share` (B,) is t of `synth.renderers.diffusion.sampling`.
        """
        folded = functional.pixel_unshuffle(mixed.to(self.places.dtype), self.sizes.patch)
        maps = self.places.expand(len(folded), -1, -1, -1)
        if self.sketch is not None and read.sketch is not None:
            maps = maps + self.sketch.spread(read.sketch).to(maps.dtype)
        seen = torch.cat((folded, maps), 1)
        seen = seen.contiguous(memory_format=torch.channels_last)
        clean: Tensor = self.unet(seen, noise_share * _TIMES, read.tokens, class_labels=read.whole, return_dict=False)[
            0
        ]
        return functional.pixel_shuffle(clean.float(), self.sizes.patch)


def describe_network(sizes: DiffusionSizes, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """What the header of a file of weights says."""
    return {
        "sizes": sizes.document(),
        "unet": sizes.unet(),  # for whoever builds it without Hypersynth
        "dimension": sizes.dimension,
        "conditions": list(conditions),
    }


def enlarged(sketch: Tensor) -> Tensor:
    """Sketches (B, 3, S, S) as pictures float32 (B, 3, H, H)."""
    return functional.interpolate(sketch.float(), size=(SIDE_PX, SIDE_PX), mode="bilinear")
