"""What Vec2Face costs, from its sizes alone: the networks are run on the meta device, as they are run for pictures.

This module does not know weights, nor how fast a device is.

Shapes: B pictures in a micro-batch.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from synth.backend import Backend
from synth.cost import Cost, measured_cost
from synth.renderers.settings import OptimisationSettings, Vec2FacePlusSettings, Vec2FaceSettings
from synth.renderers.vec2face.masking import PLACES, token_mask
from synth.renderers.vec2face.network import FEATURE_DIMENSION, SIDE_PX, SIZES, FeatureAutoencoder, PoseCondition
from synth.renderers.vec2face.pixels import PixelDecoder
from synth.renderers.vec2face.pose_network import PoseNetwork, yaw_deg
from synth.renderers.vec2face.quick import OneByOne, quicken
from synth.renderers.vec2face.trained import ToldSizes, ToldVec2Face


def vec2face_cost(settings: Vec2FaceSettings, backend: Backend, encoders: Mapping[str, Cost]) -> Cost:
    """The cost of pictures with these settings; `encoders` as in `synth.renderer.Renderer.cost`.

    AttrOP is charged all its steps, for every picture. What drawing the landmarks of Vec2Face+ takes is left out.
    """
    plus = isinstance(settings, Vec2FacePlusSettings)
    cost = _autoencoder(settings, backend, plus)
    if plus:
        cost = _condition(SIZES[settings.network].width, backend).then(cost)
    return cost if settings.optimise is None else _searched(cost, settings.optimise, backend, encoders)


def _autoencoder(settings: Vec2FaceSettings, backend: Backend, plus: bool) -> Cost:
    """Of one micro-batch drawn once, with gradients where AttrOP wants them."""
    count, dtype, sizes = backend.micro_batch, backend.torch_dtype, SIZES[settings.network]
    with torch.device("meta"):
        network = FeatureAutoencoder(sizes).to(dtype).requires_grad_(False)
    if settings.optimise is None:
        _quickened(network, backend)

    def draw() -> Tensor:
        with torch.device("meta"), torch.set_grad_enabled(settings.optimise is not None):
            feature = torch.rand(count, FEATURE_DIMENSION).requires_grad_(settings.optimise is not None)
            mask = token_mask(torch.rand(count, PLACES), torch.rand(count), settings.dropped_share)
            condition = torch.rand(count, sizes.width, dtype=dtype) if plus else None
            pixels: Tensor = network(feature.to(dtype), mask, condition).float().clamp(-1, 1)
            if pixels.requires_grad:
                pixels.sum().backward()  # type: ignore[no-untyped-call]
            return pixels

    return measured_cost((network,), count, draw)


def told_cost(sizes: ToldSizes, dropped_share: float, backend: Backend) -> Cost:
    """The cost of pictures by a network of our own. What posing the head takes is left out."""
    count, dtype = backend.micro_batch, backend.torch_dtype
    with torch.device("meta"):
        network = ToldVec2Face(sizes).to(dtype).requires_grad_(False)
    _quickened(network.autoencoder, backend)

    def draw() -> Tensor:
        with torch.device("meta"), torch.inference_mode():
            told, style = torch.rand(count, sizes.told), torch.rand(count, sizes.style)
            mask = token_mask(torch.rand(count, PLACES), torch.rand(count), dropped_share)
            spoken = network.told(torch.cat((told, style), 1).to(dtype))
            posed = network.pose(torch.rand(count, 3, SIDE_PX, SIDE_PX, dtype=dtype))
            grain = torch.rand(count, *sizes.grain, dtype=dtype) if sizes.grain[0] else None
            pixels: Tensor = network(torch.rand(count, sizes.dimension, dtype=dtype), mask, posed + spoken, grain)
            return pixels.float().clamp(-1, 1)

    return measured_cost((network,), count, draw)


def _quickened(network: FeatureAutoencoder, backend: Backend) -> None:
    """As on the backend's device, which `quicken` cannot tell from the meta device."""
    quicken(network)
    if backend.device == "cpu":
        assert isinstance(network.im_decoder, PixelDecoder)
        network.im_decoder = OneByOne(network.im_decoder)


def _condition(width: int, backend: Backend) -> Cost:
    """Of the conditions of Vec2Face+ for one micro-batch."""
    shape, dtype = (backend.micro_batch, 3, SIDE_PX, SIDE_PX), backend.torch_dtype
    with torch.device("meta"):
        network = PoseCondition(width).to(dtype).requires_grad_(False)
    return measured_cost((network,), shape[0], lambda: network(torch.rand(shape, dtype=dtype, device="meta")))


def _searched(one: Cost, settings: OptimisationSettings, backend: Backend, encoders: Mapping[str, Cost]) -> Cost:
    """Of a whole search: the picture and its judges at every step, their tensors alive together."""
    judges = {target.encoder for target in (settings.identity, settings.quality) if target is not None}
    for name in judges & set(encoders):
        one = one.beside(replace(encoders[name], parameter_bytes=0))  # its weights are counted with the encoders
    if settings.pose is not None:
        one = one.beside(_pose_reader(backend.micro_batch))
    return one.repeated(settings.steps + 1)


def _pose_reader(count: int) -> Cost:
    """Of one look of the pose network at a micro-batch, with gradients."""
    with torch.device("meta"):
        network = PoseNetwork().requires_grad_(False)

    def look() -> None:
        with torch.enable_grad():
            pixels = torch.rand(count, 3, SIDE_PX, SIDE_PX, device="meta", requires_grad=True)
            yaw_deg(network, pixels).sum().backward()  # type: ignore[no-untyped-call]

    return measured_cost((network,), count, look)
