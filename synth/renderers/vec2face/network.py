"""The Vec2Face network: a feature-masked autoencoder, and a decoder from its tokens to pixels.

Names and shapes are those of the published checkpoints, layers that inference never uses included, so that official
weights load strictly; networks of our own are smaller, and do without those layers. What the published code does
unusually is kept, since the weights were trained with it; comments say where. This module does not know where features,
masks or weights come from.

Source: Wu et al., "Vec2Face: Scaling face dataset generation with loosely constrained vectors", ICLR 2025,
arXiv 2409.02979; its repository HaiyuWu/Vec2Face (MIT) for names, shapes and constants.

Shapes: B pictures, W width of a token, K tokens kept, 49 = 7 x 7 places and one token of the whole feature before them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.renderers.vec2face.masking import PLACES, TokenMask
from synth.renderers.vec2face.pixels import PixelDecoder, PixelSizes

FEATURE_DIMENSION = 512
SIDE_PX = 112
_SIDE = 7  # tokens along each side of the picture
_EPSILON = 1e-6  # of every normalisation


@dataclass(frozen=True)
class Sizes:
    """How large a network is."""

    width: int = 768
    encoder_blocks: int = 12
    encoder_heads: int = 12
    decoder_blocks: int = 8
    decoder_heads: int = 16
    pixels: PixelSizes = field(default_factory=PixelSizes)
    dimension: int = FEATURE_DIMENSION
    spare_layers: bool = True  # also those that are not used where there always is a condition


#: The published sizes, and a tiny one for tests.
SIZES: Mapping[str, Sizes] = {
    "base": Sizes(),
    "large": Sizes(width=1024, encoder_blocks=24, encoder_heads=16),
    "tiny": Sizes(64, 2, 4, 2, 8, PixelSizes(channels_in=32, channels=32)),
}


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        parts = self.qkv(x).view(count, tokens, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        # Written out, in the published order: fifty tokens gain nothing from a fused kernel.
        exact = torch.promote_types(x.dtype, torch.float32)  # half precision is too coarse for the softmax
        likeness = query.to(exact) @ key.to(exact).transpose(-2, -1) * (width // self.heads) ** -0.5
        seen = likeness.softmax(-1).to(value.dtype) @ value
        mixed: Tensor = self.proj(seen.transpose(1, 2).reshape(count, tokens, width))
        return mixed


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return mixed


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = _Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        mixed: Tensor = x + self.mlp(self.norm2(x))
        return mixed


class _TokenPlaces(nn.Module):
    """Adds what tells the tokens' places, then normalises."""

    position_ids: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(PLACES + 1, width)
        self.LayerNorm = nn.LayerNorm(width, eps=_EPSILON)
        self.register_buffer("position_ids", torch.arange(PLACES + 1)[None])

    def forward(self, x: Tensor) -> Tensor:
        placed: Tensor = self.LayerNorm(x + self.position_embeddings.weight)
        return placed


class _Unused(nn.Module):
    """Holds parameters that checkpoints carry and inference never reads."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.add_module(name, layer)


class FeatureAutoencoder(nn.Module):
    """From face features to pictures: see the module."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.token_emb = _TokenPlaces(width)
        self.latent_prior_proj_f = nn.Linear(sizes.dimension, width)
        self.feature_token = nn.Linear(1, PLACES)
        if sizes.spare_layers:
            self.center_token = nn.Linear(width, PLACES)  # unused
        self.im_decoder: nn.Module = PixelDecoder(sizes.pixels)
        self.im_decoder_proj = nn.Linear(width, sizes.pixels.channels_in)
        if sizes.spare_layers:
            self.patch_embed = _Unused("proj", nn.Conv2d(3, width, 16, 16))
        self.blocks = nn.Sequential(*(_Block(width, sizes.encoder_heads) for _ in range(sizes.encoder_blocks)))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        if sizes.spare_layers:
            self.decoder_embed = nn.Linear(width, width)
        self.decoder_pos_embed_learned = nn.Parameter(torch.zeros(1, PLACES + 1, width))
        self.decoder_blocks = nn.Sequential(*(_Block(width, sizes.decoder_heads) for _ in range(sizes.decoder_blocks)))
        self.decoder_norm = nn.LayerNorm(width, eps=_EPSILON)

    def forward(
        self, feature: Tensor, mask: TokenMask, condition: Tensor | None = None, grain: Tensor | None = None
    ) -> Tensor:
        """Pictures float (B, 3, 112, 112), RGB, mostly within [-1, 1], of features (B, D) at their full length.

        `condition` (B, W), where there is one, fills the masked places instead of the feature's own token, and decoders
        of pixels that are told of it hear it again; `grain` is noise for those that draw from it
        (`synth.renderers.vec2face.pixels`).
        """
        latent = self.decode(self.encode(feature, mask), mask, condition)
        grid = latent.transpose(1, 2).reshape(len(latent), -1, _SIDE, _SIDE)
        picture: Tensor = self.im_decoder(grid, grain, condition)
        return picture

    def encode(self, feature: Tensor, mask: TokenMask) -> Tensor:
        """The tokens that are kept, after the encoder: (B, K + 1, W)."""
        whole = self.latent_prior_proj_f(feature)[:, None]  # (B, 1, W)
        # A linear layer from one number to 49, applied to each of the W channels: an outer product.
        tokens = whole * self.feature_token.weight + self.feature_token.bias[:, None]
        tokens = torch.where(mask.replaced[..., None], whole, tokens)
        placed = self.token_emb(torch.cat((whole, tokens), 1))
        kept = placed.gather(1, mask.kept[..., None].expand(-1, -1, placed.shape[2]))
        encoded: Tensor = self.norm(self.blocks(kept))
        return encoded

    def decode(self, kept: Tensor, mask: TokenMask, condition: Tensor | None) -> Tensor:
        """What the pixels are made from, at all 49 places: (B, 49, channels)."""
        if condition is None:
            kept = self.decoder_embed(kept)
            filling = kept[:, :1]
        else:  # trained without decoder_embed
            filling = condition[:, None].to(kept.dtype)  # under autocast they differ
        tokens = filling.expand(-1, PLACES + 1, -1)
        tokens = tokens.scatter(1, mask.kept[..., None].expand_as(kept), kept)
        masked = functional.pad(mask.replaced, (1, 0))[..., None]
        tokens = torch.where(masked, filling, tokens) + self.decoder_pos_embed_learned
        tokens = self.decoder_norm(self.decoder_blocks(tokens))
        projected: Tensor = self.im_decoder_proj(tokens[:, 1:])
        return projected


class PoseCondition(nn.Module):
    """From a picture of landmarks to the condition of Vec2Face+ (arXiv 2507.17192), with the published names."""

    def __init__(self, width: int = 768, channels: tuple[int, int, int, int] = (32, 64, 128, 256)) -> None:
        super().__init__()
        for layer, (before, after) in enumerate(pairwise((3, *channels)), start=1):
            self.add_module(f"conv{layer}", nn.Conv2d(before, after, 3, stride=2, padding=1))
        self.linear = nn.Linear(channels[-1] * _SIDE**2, width)

    def forward(self, pictures: Tensor) -> Tensor:
        """Conditions (B, W) of pictures of landmarks, float (B, 3, 112, 112), RGB in [-1, 1]."""
        x = pictures
        for layer in range(1, 5):
            x = functional.relu(self.get_submodule(f"conv{layer}")(x))
        condition: Tensor = self.linear(x.flatten(1))
        return condition


def merged_adapters(weights: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Weights with low-rank adapters put into the layers that they adapt: W + alpha / r * B A.

    An adapted layer has `base.weight`, `base.bias`, `A` (r, in) and `B` (out, r) under its name; all others stay.
    Source: Hu et al., "LoRA", ICLR 2022; names as in the repository HaiyuWu/Vec2Face_plus.
    """
    adapted = {name.rpartition(".")[0] for name in weights if name.endswith(".A")}
    merged = {
        # Without an adapter the name stays as it is, and the strict comparison of names tells that one is missing.
        name.replace(".base.", ".") if name.partition(".base.")[0] in adapted else name: tensor
        for name, tensor in weights.items()
    }
    for name in weights:
        layer, _, part = name.rpartition(".")
        if part == "A" and f"{layer}.B" in weights and f"{layer}.base.weight" in weights:
            down, up = merged.pop(name).double(), merged.pop(f"{layer}.B").double()
            base = merged[f"{layer}.weight"]
            if up.shape[1:] == down.shape[:1] and (up.shape[0], down.shape[1]) == base.shape:
                merged[f"{layer}.weight"] = (base.double() + alpha / len(down) * (up @ down)).to(base.dtype)
            else:  # left as it is: the strict comparison of names names it
                merged[name], merged[f"{layer}.B"] = weights[name], weights[f"{layer}.B"]
    return merged
