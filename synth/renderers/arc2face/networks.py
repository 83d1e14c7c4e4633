"""The networks of Arc2Face: built as their configs say, and filled from the files that a recipe names, strictly.

UNet, autoencoder and ControlNet are diffusers' own classes; the text encoder is ours (`text`). They are built on the
meta device first, where they cost nothing, so that every file can be held against them before anything is loaded. This
module does not know how pictures are drawn.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from samplers.errors import DatasetError, MissingPackageError
from synth.backend import Backend
from synth.renderers.arc2face import configs, text
from synth.renderers.arc2face.lora import changes
from synth.renderers.arc2face.text import TextConfig, TextEncoder
from synth.renderers.settings import Arc2FaceSettings, NetworkFiles
from synth.section import InputFile
from synth.weights import load_weights, read_weights, refuse_unfit

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Networks:
    """All that draws, on one device."""

    unet: Any  # diffusers' UNet2DConditionModel
    text_encoder: TextEncoder
    vae: Any  # diffusers' AutoencoderKL
    controlnet: Any | None  # diffusers' ControlNetModel

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture's latents."""
        side = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), side, side

    @property
    def side_px(self) -> int:
        """Side of the pictures that are drawn: every block of the autoencoder but one doubles it."""
        return self.latent_shape[1] << (len(self.vae.config.block_out_channels) - 1)

    def named(self) -> dict[str, nn.Module]:
        """The networks that there are, by their names in the settings."""
        four = {name: getattr(self, name) for name in ("unet", "text_encoder", "vae", "controlnet")}
        return {name: network for name, network in four.items() if network is not None}


def preflight(settings: Arc2FaceSettings) -> None:
    """Hold every file against the networks, names and shapes.

    Raises DatasetError, StorageError and MissingPackageError.
    """
    networks = empty_networks(settings, torch.float32)
    for name, network in networks.named().items():
        files: NetworkFiles = getattr(settings, name)
        refuse_unfit(network, _read(name, files), files.weights.url)
    if settings.lcm_lora is not None:
        changes(networks.unet.state_dict(), read_weights(settings.lcm_lora), settings.lcm_lora.url)


def open_networks(settings: Arc2FaceSettings, backend: Backend) -> Networks:
    """Load everything onto the backend's device, in its dtype. Raises as `preflight`."""
    networks = empty_networks(settings, backend.torch_dtype)
    for name, network in networks.named().items():
        files: NetworkFiles = getattr(settings, name)
        weights = _read(name, files)
        refuse_unfit(network, weights, files.weights.url)
        if name == "unet" and settings.lcm_lora is not None:
            weights = _merged(weights, settings.lcm_lora)
        assert {each for each, _ in network.named_buffers()} <= set(weights), "a buffer would be left unset"
        network.to_empty(device=backend.device)
        load_weights(network, weights, files.weights.url)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return networks


def empty_networks(settings: Arc2FaceSettings, dtype: torch.dtype) -> Networks:
    """The networks on the meta device, ready but for their weights.

    Beside float16 the autoencoder keeps float32: that of Stable Diffusion 1.5 overflows in float16. Raises DatasetError
    for configs that do not go together, and MissingPackageError without diffusers.
    """
    try:
        import diffusers
    except ImportError as missing:
        raise MissingPackageError(
            "the arc2face renderer needs diffusers: pip install 'hypersynth[models]'"
        ) from missing
    unet = _built(diffusers.UNet2DConditionModel, settings.unet, configs.UNET)
    vae = _built(diffusers.AutoencoderKL, settings.vae, configs.VAE)
    controlnet = settings.controlnet and _built(diffusers.ControlNetModel, settings.controlnet, configs.CONTROLNET)
    named = _config(settings.text_encoder, configs.TEXT_ENCODER)
    with torch.device("meta"):
        reader = TextEncoder(TextConfig.of(named, _whose(settings.text_encoder)))
    networks = Networks(unet, reader, vae, controlnet)
    _refuse_strangers(networks, settings)
    for name, network in networks.named().items():
        # Not the network's own `to`: diffusers' warns of modules to be kept in float32, of which there are none.
        nn.Module.to(network, torch.float32 if name == "vae" and dtype == torch.float16 else dtype)
        network.eval().requires_grad_(False)
    return networks


def _merged(weights: Weights, file: InputFile) -> Weights:
    """A UNet's weights with a LoRA's changes added."""
    changed = changes(weights, read_weights(file), file.url)
    return {**weights, **{name: change.added_to(weights[name]) for name, change in changed.items()}}


def _built(kind: Any, files: NetworkFiles, default: Mapping[str, Any]) -> Any:
    config = _config(files, default)
    if config.get("_class_name", kind.__name__) != kind.__name__:
        raise DatasetError(f"{_whose(files)} is the config of a {config['_class_name']}, not of a {kind.__name__}")
    try:
        with torch.device("meta"):
            return kind.from_config(config)
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as refusal:
        first = str(refusal).strip().partition("\n")[0]
        raise DatasetError(f"{_whose(files)} does not describe a {kind.__name__}: {first}") from refusal


def _config(files: NetworkFiles, default: Mapping[str, Any]) -> dict[str, Any]:
    if files.config is None:
        return dict(default)
    name, data = files.config.read()
    try:
        found = json.loads(data)
    except ValueError as damage:
        raise DatasetError(f"{files.config.url} is no JSON: {damage}") from damage
    if not isinstance(found, dict):
        raise DatasetError(f"{files.config.url} ({name}) holds a {type(found).__name__}, not a config")
    return found


def _whose(files: NetworkFiles) -> str:
    """The file to name where a config is wrong."""
    return files.config.url if files.config is not None else f"the default config for {files.weights.url}"


def _refuse_strangers(networks: Networks, settings: Arc2FaceSettings) -> None:
    """Raises DatasetError for networks that cannot work together, or not in the way that is done here."""
    unet, vae, controlnet = networks.unet.config, networks.vae.config, networks.controlnet
    width = networks.text_encoder.config.hidden_size
    wrong = []
    if unet.cross_attention_dim != width:
        wrong.append(f"the UNet attends to {unet.cross_attention_dim} channels, the text encoder gives {width}")
    if not unet.in_channels == unet.out_channels == vae.latent_channels:
        wrong.append(
            f"the UNet takes {unet.in_channels} and gives {unet.out_channels} channels of latents, "
            f"the autoencoder has {vae.latent_channels}"
        )
    if not isinstance(unet.sample_size, int):
        wrong.append("the UNet's sample_size is not one number")
    if unet.time_cond_proj_dim is not None:
        wrong.append("the UNet wants its guidance told (time_cond_proj_dim): distil by LCM-LoRA instead")
    if controlnet is not None:
        # Condition pictures are as large as what is drawn, and every stage of their embedding but the last halves them.
        stages = len(controlnet.config.conditioning_embedding_out_channels)
        if controlnet.config.cross_attention_dim != width or stages != len(vae.block_out_channels):
            wrong.append("the ControlNet belongs to another text encoder or autoencoder")
    if wrong:
        raise DatasetError(f"{settings.unet.weights.url} and the other networks do not fit: {'; '.join(wrong)}")


def _read(name: str, files: NetworkFiles) -> Weights:
    """Weights under today's names."""
    renamed = _RENAMED.get(name)
    weights = read_weights(files.weights, ("state_dict",))
    return renamed(weights) if renamed else weights


#: What diffusers called the parts of the autoencoder's attention before 0.18, as the published one still does.
_OLD_ATTENTION: Final = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME: Final = re.compile(r"(.*\.attentions\.\d+\.)(query|key|value|proj_attn)\.(weight|bias)$")


def renamed_vae(weights: Weights) -> Weights:
    """An autoencoder's weights under diffusers' names of today."""
    return {
        _OLD_NAME.sub(lambda found: f"{found[1]}{_OLD_ATTENTION[found[2]]}.{found[3]}", name): tensor
        for name, tensor in weights.items()
    }


_RENAMED: Final[Mapping[str, Callable[[Weights], Weights]]] = {"vae": renamed_vae, "text_encoder": text.renamed}
