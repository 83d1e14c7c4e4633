"""The network of `vec2face_trained`: Vec2Face+ made small, and told more than poses.

As in Vec2Face+ a condition fills the places of masked and dropped tokens, and few tokens are kept, which carry the
person. The condition is the sum of what the picture of landmarks says and of what is told in numbers: attributes
(`synth.conditions`), and a style, random numbers that stand for what no attribute says (how the background is laid out,
the colours of clothes, how hair falls). The decoder of pixels hears the condition once more, at every level, and the
finest maps are given noise, "grain", to draw single hairs from. The
landmarks are those of the mean head in the wanted pose and expression, so that they say nothing of the person; by how
much a person's own lie elsewhere, a readout tells.

This module does not know where the numbers come from, nor how the network is trained (`synth.training.vec2face`).

Shapes: B pictures, D dimensions of the vector, W width of a token, C numbers that tell the attributes, Z of the style.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from samplers.attributes import Attribute
from samplers.errors import DatasetError
from synth import conditions
from synth.network_file import read_header
from synth.renderers.guides import dotted
from synth.renderers.vec2face.masking import TokenMask
from synth.renderers.vec2face.network import SIDE_PX, FeatureAutoencoder, PoseCondition, Sizes
from synth.section import InputFile

KIND = "vec2face"
_READOUT_WIDTH = 64


@dataclass(frozen=True)
class ToldSizes:
    """How large a network is."""

    autoencoder: Sizes
    told: int  # C
    style: int  # Z
    pose_channels: tuple[int, int, int, int] = (16, 32, 48, 64)

    @property
    def dimension(self) -> int:
        """D."""
        return self.autoencoder.dimension

    @property
    def grain(self) -> tuple[int, int, int]:
        """The shape of one picture's noise: maps, height, width."""
        pixels = self.autoencoder.pixels
        return pixels.grain, SIDE_PX // pixels.shuffle, SIDE_PX // pixels.shuffle

    def document(self) -> dict[str, Any]:
        """As it is stored beside weights."""
        return asdict(self)

    @classmethod
    def parsed(cls, document: Any) -> "ToldSizes":
        """What `document` gave. Raises ValueError for anything else."""
        return TypeAdapter(cls).validate_python(document)


class ToldVec2Face(nn.Module):
    """See the module."""

    def __init__(self, sizes: ToldSizes) -> None:
        super().__init__()
        width = sizes.autoencoder.width
        self.sizes = sizes
        self.autoencoder = FeatureAutoencoder(sizes.autoencoder)
        self.pose = PoseCondition(width, sizes.pose_channels)
        self.told = nn.Sequential(
            nn.Linear(sizes.told + sizes.style, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        # What is rare is learnt faster where it takes no turns.
        self.told_straight = nn.Linear(sizes.told, width, bias=False) if sizes.autoencoder.pixels.told else None
        self.elsewhere = nn.Sequential(
            nn.Linear(sizes.dimension + sizes.told, _READOUT_WIDTH), nn.SiLU(), nn.Linear(_READOUT_WIDTH, 10)
        )

    def condition(self, points: Tensor, told: Tensor, style: Tensor) -> Tensor:
        """What fills the places (B, W): of the mean head's landmarks (B, 5, 2), px, and numbers (B, C) and (B, Z)."""
        weight = self.pose.linear.weight
        pictures = dotted(points, SIDE_PX).permute(0, 3, 1, 2).to(weight.dtype).div_(127.5).sub_(1)
        posed: Tensor = self.pose(pictures.contiguous())
        told, style = told.to(weight.dtype), style.to(weight.dtype)
        spoken: Tensor = self.told(torch.cat((told, style), 1))
        return posed + spoken if self.told_straight is None else posed + spoken + self.told_straight(told)

    def forward(self, vector: Tensor, mask: TokenMask, condition: Tensor, grain: Tensor | None) -> Tensor:
        """Pictures float (B, 3, 112, 112), RGB, mostly within [-1, 1], of unit vectors (B, D).

        `grain` is noise of unit variance, (B, *sizes.grain), or None for smooth pictures.
        """
        feature = vector * self.sizes.dimension**0.5  # numbers of a size near one
        picture: Tensor = self.autoencoder(
            feature.to(condition.dtype), mask, condition, None if grain is None else grain.to(condition.dtype)
        )
        return picture

    def landmarks(self, vector: Tensor, told: Tensor, points: Tensor) -> Tensor:
        """Where the person's landmarks lie, (B, 5, 2) px, of those of the mean head."""
        feature = torch.cat((vector * self.sizes.dimension**0.5, told), 1)
        moved: Tensor = points + self.elsewhere(feature).view(-1, 5, 2)
        return moved


@dataclass(frozen=True)
class Trained:
    """What a file's header says."""

    sizes: ToldSizes
    conditions: Mapping[str, Attribute]


def described(sizes: ToldSizes, names: Mapping[str, Attribute]) -> dict[str, Any]:
    """A header's description of a network that is told these conditions."""
    return {"sizes": sizes.document(), "conditions": list(names)}


def read_description(weights: InputFile) -> Trained:
    """The other way. Raises StorageError and DatasetError, also where the description contradicts itself."""
    header = read_header(weights, KIND)
    try:
        sizes = ToldSizes.parsed(header.part("sizes"))
        names = TypeAdapter(tuple[str, ...]).validate_python(header.part("conditions"))
    except ValueError as damage:
        raise DatasetError(f"{weights.url}: its header is damaged: it does not say the network's sizes") from damage
    if unknown := set(names) - set(conditions.CONDITIONS):
        raise DatasetError(f"{weights.url} is told {min(unknown)}, which this version of Hypersynth does not know")
    known = conditions.declared(names)
    if conditions.width(known) != sizes.told:
        raise DatasetError(
            f"{weights.url} is told {sizes.told} numbers, but its conditions are {conditions.width(known)} in this "
            "version of Hypersynth"
        )
    return Trained(sizes, known)
