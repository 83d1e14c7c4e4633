"""Drawing: from ArcFace embeddings and the pictures' keys to squares of pixels, by latent diffusion.

Every picture's noise comes from its own key, and nothing is shared between the rows of a batch, so that a picture
depends on its own row alone (up to the rounding of kernels). This module does not know how faces are aligned, nor where
the conditions of a ControlNet come from.

Shapes: B pictures, L tokens, C channels; latents (B, C, h, h), pictures (B, 3, H, H) with H = 8 h. With guidance, the
networks see every picture twice: first for nobody, then for its person (2 B rows).
"""

from typing import Final

import torch
from torch import Tensor

from samplers import random
from synth.renderers.arc2face.networks import Networks
from synth.renderers.arc2face.sampling import dpm_steps, lcm_steps, sample
from synth.renderers.settings import DpmSampler, LcmSampler

PICTURES_AT_ONCE: Final = 4  # through the autoencoder, whose activations are 64 times as large as the UNet's


class Diffusion:
    """Draws; see the module."""

    def __init__(self, networks: Networks, sampler: DpmSampler | LcmSampler, controlnet_scale: float) -> None:
        self._networks, self._guidance, self._controlnet_scale = networks, sampler.guidance, controlnet_scale
        self._guided = sampler.guidance > 1  # at 1, what nobody gives would be multiplied by zero
        self._dtype: torch.dtype = networks.unet.dtype
        self.steps = dpm_steps(sampler.steps) if isinstance(sampler, DpmSampler) else lcm_steps(sampler.steps)
        with torch.inference_mode():
            self._nobody = networks.text_encoder.nobody()  # (1, L, C)

    def draw(self, embeddings: Tensor, key: Tensor, conditions: Tensor | None = None) -> Tensor:
        """RGB pictures float32 (B, 3, H, H) of unit embeddings (B, 512) and keys (B, 2).

        Grey levels from 0 to 255, neither rounded nor clamped.

        `conditions`, for a ControlNet: float32 (B, 3, H, H) in [0, 1].
        """
        read = self.read(embeddings)
        shown = None if conditions is None else self._doubled(conditions)
        latents = sample(
            self.steps,
            self._noise(key, "arc2face/latents"),
            lambda latents, time: self.predicted(latents, time, read, shown),
            lambda step: self._noise(key, f"arc2face/step {step}"),
        )
        return self.decoded(latents)

    def read(self, embeddings: Tensor) -> Tensor:
        """What the UNet is told of people (B, 512), and with guidance first of nobody: (B or 2 B, L, C)."""
        people = self._networks.text_encoder.people(embeddings)
        return torch.cat((self._nobody.expand_as(people), people)) if self._guided else people

    def predicted(self, latents: Tensor, time: int, read: Tensor, shown: Tensor | None) -> Tensor:
        """The noise in latents at one time, guided: float32 (B, C, h, h)."""
        seen = self._doubled(latents)
        times = torch.full((len(seen),), time, device=seen.device)
        controls = {}
        if self._networks.controlnet is not None:
            down, middle = self._networks.controlnet(
                seen, times, read, shown, conditioning_scale=self._controlnet_scale, return_dict=False
            )
            controls = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        noise: Tensor = self._networks.unet(seen, times, read, return_dict=False, **controls)[0].float()
        if not self._guided:
            return noise
        without, toward = noise.chunk(2)
        return without + self._guidance * (toward - without)

    def decoded(self, latents: Tensor) -> Tensor:
        """Pictures as `draw` gives them, from latents (B, C, h, h), a few at a time."""
        starts = range(0, len(latents), PICTURES_AT_ONCE)
        return torch.cat([self._decoded(latents[start : start + PICTURES_AT_ONCE]) for start in starts])

    def _doubled(self, values: Tensor) -> Tensor:
        values = values.to(self._dtype)
        return (torch.cat((values, values)) if self._guided else values).contiguous(memory_format=torch.channels_last)

    def _noise(self, key: Tensor, purpose: str) -> Tensor:
        """Noise of unit variance from keys (B, 2), for one purpose: float32 (B, C, h, h)."""
        channels, height, width = self._networks.latent_shape
        noise = random.normals(key, random.noise_index(key, purpose), channels * height * width)
        return noise.view(-1, channels, height, width)

    def _decoded(self, latents: Tensor) -> Tensor:
        vae = self._networks.vae
        scaled = (latents / vae.config.scaling_factor).to(vae.dtype).contiguous(memory_format=torch.channels_last)
        decoded: Tensor = vae.decode(scaled, return_dict=False)[0]
        return ((decoded.float() + 1) * 127.5).contiguous()
