"""The text encoder, and the two prompts that it reads: CLIP's causal transformer, and one word of it replaced.

Arc2Face says "photo of a id person" and writes the ArcFace embedding, padded with zeros, over the word "id". No public
interface of transformers takes the words' embeddings, and what lies behind it changes with every version, so that the
transformer stands here: forty lines, with the published names of weights. There is no tokenizer either, because only
two prompts are ever read. This module does not know what is done with what was read.

Shapes: B people, L tokens, C channels, N heads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention

from samplers.errors import DatasetError
from synth.renderers.arc2face.configs import TEXT_ENCODER

EMBEDDING: Final = 512  # numbers of an ArcFace embedding

#: Words of CLIP's vocabulary. "<start>" and "<end>" are its last two entries, and "<end>" also fills up a prompt.
_PHOTO, _OF, _A, _PERSON = 1125, 539, 320, 2533
_ID_PLACE: Final = 4  # of the token "id": what it is does not matter, for its embedding is replaced


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the transformer, in the words of transformers' `CLIPTextConfig`."""

    hidden_size: int
    intermediate_size: int
    layer_norm_eps: float
    max_position_embeddings: int
    num_attention_heads: int
    num_hidden_layers: int
    vocab_size: int
    hidden_act: str

    @classmethod
    def of(cls, config: Mapping[str, Any], url: str) -> "TextConfig":
        """Those of a published config, or of the text half of a whole CLIP's; what it does not name is ViT-L/14's.

        Raises DatasetError for an encoder that cannot hold an embedding or read the prompt.
        """
        named = config.get("text_config", config)
        found = cls(**{name: named.get(name, default) for name, default in TEXT_ENCODER.items()})
        if found.hidden_act not in _ACTIVATIONS:
            raise DatasetError(f"{url}: hidden_act {found.hidden_act!r} is none of {', '.join(_ACTIVATIONS)}")
        if found.hidden_size < EMBEDDING or found.hidden_size % found.num_attention_heads:
            raise DatasetError(
                f"{url}: hidden_size {found.hidden_size} must be {EMBEDDING} or more, and a multiple of the "
                f"{found.num_attention_heads} attention heads"
            )
        if found.vocab_size < _PERSON + 3:
            raise DatasetError(f"{url}: vocab_size {found.vocab_size} is too small for CLIP's vocabulary")
        return found


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


_ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {"quick_gelu": _quick_gelu, "gelu": gelu}


class _Attention(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Every token looks at itself and what stands before it: (B, L, C) to the same."""
        projections = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (each(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for each in projections)
        seen = scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, N, L, C / N)
        mixed: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return mixed


class _Mlp(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[config.hidden_act]
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) to the same, each token for itself."""
        mixed: Tensor = self.fc2(self.activation(self.fc1(x)))
        return mixed


class _Layer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.self_attn, self.mlp = _Attention(config), _Mlp(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) to the same."""
        x = x + self.self_attn(self.layer_norm1(x))
        mixed: Tensor = x + self.mlp(self.layer_norm2(x))
        return mixed


class _Embeddings(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)


class _Encoder(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))


class TextEncoder(nn.Module):
    """CLIP's text transformer up to its last layer norm, under the names of its published weights."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings, self.encoder = _Embeddings(config), _Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, embedded: Tensor) -> Tensor:
        """What the transformer makes of tokens' embeddings (B, L, C), places not yet added: (B, L, C)."""
        x = embedded + self.embeddings.position_embedding.weight[: embedded.shape[1]]
        for layer in self.encoder.layers:
            x = layer(x)
        read: Tensor = self.final_layer_norm(x)
        return read

    def embedded(self, tokens: Tensor) -> Tensor:
        """The embeddings (..., L, C) of tokens int64 (..., L)."""
        found: Tensor = self.embeddings.token_embedding(tokens)
        return found

    def people(self, embeddings: Tensor) -> Tensor:
        """Conditions of people, from their unit ArcFace embeddings (B, 512): (B, L, C), each from its own row alone."""
        words = self.embedded(self._tokens(_PHOTO, _OF, _A, 0, _PERSON)).expand(len(embeddings), -1, -1).clone()
        words[:, _ID_PLACE] = pad(embeddings.to(words.dtype), (0, words.shape[2] - EMBEDDING))
        return self(words)  # type: ignore[no-any-return]

    def nobody(self) -> Tensor:
        """The condition of the empty prompt, (1, L, C): what guidance leads away from.

        As in the published pipeline, it is read by the same fine-tuned encoder, not by the one of Stable Diffusion.
        """
        return self(self.embedded(self._tokens())[None])  # type: ignore[no-any-return]

    def _tokens(self, *words: int) -> Tensor:
        """A prompt as int64 (L,), filled up with the end token as Stable Diffusion's tokenizer does."""
        start, end = self.config.vocab_size - 2, self.config.vocab_size - 1
        filling = self.config.max_position_embeddings - 1 - len(words)
        device = self.embeddings.token_embedding.weight.device
        return torch.tensor([start, *words, *[end] * filling], device=device)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of `TextEncoder`, whichever version of transformers stored them.

    Versions 4 and before put `text_model.` before every name, and those before 4.31 also stored the places 0, 1, 2...
    as a buffer. Version 5 does neither.
    """
    shorter = {name.removeprefix("text_model."): tensor for name, tensor in weights.items()}
    return {name: tensor for name, tensor in shorter.items() if name != "embeddings.position_ids"}
