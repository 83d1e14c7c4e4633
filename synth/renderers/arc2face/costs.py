"""What Arc2Face costs, from its configs alone: the networks are run on the meta device, as they are run for pictures.

This module does not know weights, nor how fast a device is. What detects faces is not counted, nor what is drawn for a
ControlNet.

Shapes: B pictures in a micro-batch.
"""

from dataclasses import replace

import torch
from torch import Tensor

from synth.backend import Backend
from synth.cost import Cost, measured_cost
from synth.renderers.arc2face import networks
from synth.renderers.arc2face.diffusion import Diffusion
from synth.renderers.arc2face.text import EMBEDDING
from synth.renderers.settings import Arc2FaceSettings


def arc2face_cost(settings: Arc2FaceSettings, backend: Backend) -> Cost:
    """The cost of pictures with these settings. Raises as the renderer's preflight does, for the configs alone.

    Every step costs the same, so that two short runs tell what a long one takes.
    """
    opened = networks.empty_networks(settings, backend.torch_dtype)
    one, two = (_drawn(opened, settings, backend.micro_batch, steps) for steps in (1, 2))
    step = two.flops_per_picture - one.flops_per_picture
    return replace(two, flops_per_picture=one.flops_per_picture + (settings.sampler.steps - 1) * step)


def _drawn(opened: networks.Networks, settings: Arc2FaceSettings, count: int, steps: int) -> Cost:
    """Of so many pictures drawn together in so many steps."""
    sampler = settings.sampler.model_copy(update={"steps": steps})
    side_px = opened.side_px

    def draw() -> Tensor:
        with torch.device("meta"), torch.no_grad():
            diffusion = Diffusion(opened, sampler, settings.controlnet_scale)
            shown = None if opened.controlnet is None else torch.rand(count, 3, side_px, side_px)
            return diffusion.draw(torch.rand(count, EMBEDDING), torch.zeros(count, 2, dtype=torch.int64), shown)

    return measured_cost(list(opened.named().values()), count, draw)
