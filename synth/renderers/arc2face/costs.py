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

_FEW = 2  # steps, of the shorter run


def arc2face_cost(settings: Arc2FaceSettings, backend: Backend) -> Cost:
    """The cost of pictures with these settings. Raises as the renderer's preflight does, for the configs alone.

    Every step costs the same, so that two short runs tell what a long one takes.
    """
    steps = settings.sampler.steps
    short = _drawn(settings, backend, min(_FEW, steps))
    if steps <= _FEW:
        return short
    step = _drawn(settings, backend, _FEW + 1).flops_per_picture - short.flops_per_picture
    return replace(short, flops_per_picture=short.flops_per_picture + (steps - _FEW) * step)


def _drawn(settings: Arc2FaceSettings, backend: Backend, steps: int) -> Cost:
    """Of one micro-batch drawn in so many steps."""
    opened = networks.empty_networks(settings, backend.torch_dtype)
    sampler = settings.sampler.model_copy(update={"steps": steps})
    count, side_px = backend.micro_batch, opened.side_px

    def draw() -> Tensor:
        with torch.device("meta"), torch.no_grad():
            diffusion = Diffusion(opened, sampler, settings.controlnet_scale)
            shown = None if opened.controlnet is None else torch.rand(count, 3, side_px, side_px)
            return diffusion.draw(torch.rand(count, EMBEDDING), torch.zeros(count, 2, dtype=torch.int64), shown)

    return measured_cost(list(opened.named().values()), count, draw)
