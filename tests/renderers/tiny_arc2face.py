"""A whole Arc2Face in miniature, written to files: real classes, real formats, and noise for weights.

It draws 64 px pictures of nothing. The text encoder alone cannot be much smaller than this, since an embedding of 512
numbers has to fit into a word.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file
from torch import Tensor

from samplers import random
from samplers.attributes import Attribute, neutral_attributes
from synth.backend import Backend
from synth.renderer import Equipment, Renderer, Views, open_renderer
from synth.renderers.arc2face.text import TextConfig, TextEncoder
from synth.renderers.settings import Arc2FaceSettings

SIDE_PX = 64

#: Stable Diffusion 1.5's `scheduler_config.json`.
SCHEDULER = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}

TEXT: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 64,
    "num_attention_heads": 8,
    "num_hidden_layers": 2,
    "vocab_size": 2600,
}
_BLOCKS: dict[str, Any] = {
    "attention_head_dim": 4,
    "block_out_channels": [8, 16],
    "cross_attention_dim": 512,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": "0.6.0",
        "sample_size": 8,
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        **_BLOCKS,
    },
    "text_encoder": TEXT,
    "vae": {
        "block_out_channels": [4, 4, 8, 8],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    },
    "controlnet": {"conditioning_embedding_out_channels": [4, 4, 8, 8], **_BLOCKS},
}
_KINDS = {
    "unet": diffusers.UNet2DConditionModel,
    "vae": diffusers.AutoencoderKL,
    "controlnet": diffusers.ControlNetModel,
}
_OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def weights_of(name: str) -> dict[str, Tensor]:
    """Weights of one of the networks, under today's names."""
    with torch.device("meta"):
        network = (
            TextEncoder(TextConfig.of(TEXT, "")) if name == "text_encoder" else _KINDS[name].from_config(CONFIGS[name])
        )
    return {n: _drawn(n, tensor.shape) for n, tensor in network.state_dict().items()}


def _drawn(name: str, shape: torch.Size) -> Tensor:
    """Noise that keeps the size of what goes through, the same for the same name."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if "embedding.weight" in name:
        return noise * 0.02
    if len(shape) == 1:
        return noise * 0.1 + float("norm" in name and name.endswith("weight"))
    # What is read or shown would hardly matter to a network that is not trained: one word in 77 is the person's.
    strength = 10 if "attn2.to_v" in name or "attn2.to_q" in name else 2.5 if "cond_embedding" in name else 1
    return noise * strength / shape[1:].numel() ** 0.5


def as_published(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names in the published files: those of old versions of transformers and diffusers."""
    if name == "text_encoder":
        places = torch.arange(77)[None]
        return {"text_model.embeddings.position_ids": places} | {f"text_model.{n}": w for n, w in weights.items()}
    if name == "vae":
        for new, old in _OLD_NAMES.items():
            weights = {
                n.replace(f".{new}.", f".{old}.") if ".attentions." in n else n: weight for n, weight in weights.items()
            }
    return weights


def lora_of(weights: dict[str, Tensor], rank: int = 2, alpha: float = 1.0) -> dict[str, Tensor]:
    """Changes of all matrices and kernels of a UNet, named as the published LCM-LoRA names them."""
    lora = {}
    for name, weight in weights.items():
        if name.endswith(".weight") and weight.ndim > 1:
            module = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
            point = [1] * (weight.ndim - 2)
            lora[f"{module}.lora_down.weight"] = torch.zeros(rank, *weight.shape[1:])
            lora[f"{module}.lora_up.weight"] = torch.zeros(weight.shape[0], rank, *point)
            lora[f"{module}.alpha"] = torch.tensor(alpha)
    return {name: each if name.endswith("alpha") else _drawn(name, each.shape) * 0.3 for name, each in lora.items()}


def write(folder: Path) -> dict[str, Any]:
    """All files of a tiny Arc2Face, and the settings that name its UNet, text encoder and autoencoder."""
    named = {}
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
        weights = as_published(name, weights_of(name))
        if name == "text_encoder":  # published as a pickle
            torch.save(weights, folder / f"{name}.bin")
        else:
            save_file({n: w.contiguous() for n, w in weights.items()}, folder / f"{name}.safetensors")
        suffix = "bin" if name == "text_encoder" else "safetensors"
        named[name] = {"weights": f"{folder}/{name}.{suffix}", "config": f"{folder}/{name}.json"}
    save_file(lora_of(weights_of("unet")), folder / "lora.safetensors")
    del named["controlnet"]
    return {"kind": "arc2face", "sampler": {"kind": "dpm", "steps": 3}, **named}


def controlled(folder: Path) -> dict[str, Any]:
    """Settings for the ControlNet that `write` left in the folder."""
    return {"weights": f"{folder}/controlnet.safetensors", "config": f"{folder}/controlnet.json"}


def opened(settings: dict[str, Any], backend: Backend | None = None) -> Renderer:
    """The renderer of settings, through the public door."""
    return open_renderer(Arc2FaceSettings.model_validate(settings), Equipment(backend or Backend(), {}))


def views(count: int, declared: dict[str, Attribute] | None = None, **attributes: Tensor) -> Views:
    """Pictures of as many people, attributes neutral unless given."""
    identity = torch.arange(count)
    index = torch.stack((identity, identity * 0 + 3, identity * 0), 1)
    vector = torch.nn.functional.normalize(random.normals((1, 2), index, 512), dim=1)
    return Views(
        identity,
        vector,
        vector,
        torch.ones(count),
        {**neutral_attributes(declared or {}, count), **attributes},
        random.picture_keys(5, index),
        random.person_keys(5, identity),
    )
