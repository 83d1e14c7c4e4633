"""How large a diffusion network of our own is: what settings, files and the network agree on.

This module is light: it imports no network.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import TypeAdapter

SIDE_PX: Final = 112
SKETCH_PX: Final = 56
SKETCH_GROUPS: Final = 8  # of the sketch's channels that are normalised together


@dataclass(frozen=True)
class DiffusionSizes:
    """How large a network is, and what it is told."""

    dimension: int  # of embeddings
    told: int  # numbers that tell the attributes
    widths: tuple[int, ...] = (48, 96, 128)  # channels of each level; every level but the first halves the maps
    attention_from: int = 2  # levels from this on attend on the way up; the middle always does
    blocks: int = 1  # per level on the way down, and one more on the way up
    heads: int = 4
    groups: int = 16  # of channels that are normalised together
    tokens: int = 4  # of the person, and as many of the attributes
    token_width: int = 128
    places: int = 8  # learned maps of where a place is
    patch: int = 4  # side in pixels of what becomes one place
    sketch: int = 0  # channels of the sketch's finest maps; 0: there is none

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not go together."""
        halvings = len(self.widths) - 1
        if not self.widths or SIDE_PX % (self.patch << halvings):
            raise ValueError(f"{SIDE_PX} px are not patches of {self.patch} px that can be halved {halvings} times")
        if any(width % self.groups or width % self.heads for width in self.widths):
            raise ValueError(f"widths must be multiples of {self.groups} groups and of {self.heads} heads")
        if self.sketch % SKETCH_GROUPS or (self.sketch and (not self.places or self.patch % 2)):
            raise ValueError(
                f"a sketch needs places, an even patch, and channels that are multiples of {SKETCH_GROUPS}"
            )

    @property
    def side(self) -> int:
        """Of the folded pictures, in places."""
        return SIDE_PX // self.patch

    @property
    def channels(self) -> int:
        """Of the folded pictures."""
        return 3 * self.patch**2

    @property
    def whole(self) -> int:
        """Numbers of all conditions together, with two that say which of them are known."""
        return self.dimension + self.told + 2

    def unet(self) -> dict[str, Any]:
        """In the words of diffusers' `UNet2DConditionModel`."""
        levels = range(len(self.widths))
        up = ["CrossAttnUpBlock2D" if level >= self.attention_from else "UpBlock2D" for level in levels]
        return {
            "sample_size": self.side,
            "in_channels": self.channels + self.places,
            "out_channels": self.channels,
            "block_out_channels": self.widths,
            "layers_per_block": self.blocks,
            "down_block_types": ("DownBlock2D",) * len(self.widths),
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "up_block_types": tuple(reversed(up)),
            "attention_head_dim": self.heads,  # which diffusers takes for their number
            "cross_attention_dim": self.token_width,
            "norm_num_groups": self.groups,
            "class_embed_type": "projection",
            "projection_class_embeddings_input_dim": self.whole,
            "resnet_time_scale_shift": "scale_shift",
        }

    def document(self) -> dict[str, Any]:
        """As it is stored beside weights."""
        return asdict(self)

    @classmethod
    def parsed(cls, document: Any) -> "DiffusionSizes":
        """What `document` gave. Raises ValueError for anything else."""
        return TypeAdapter(cls).validate_python(document)
