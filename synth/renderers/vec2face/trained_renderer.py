"""Vec2Face with weights of our own, as a renderer: people of our encoder's sphere, and the training's conditions.

Mask, style and grain of a picture come from its key. Landmarks are known: those of the head that poses, moved to where
the person's lie. This module does not know how the weights came to be (`synth.training.vec2face`).

Shapes: B pictures.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from samplers import random
from samplers.attributes import Attribute, Normal
from samplers.errors import DatasetError
from synth import conditions
from synth.backend import Backend
from synth.cost import Cost
from synth.files import at_hand
from synth.network_file import read_header
from synth.renderer import Equipment, Portraits, Views
from synth.renderers.guides import CAMERA_AND_EXPRESSION, Guide
from synth.renderers.settings import Vec2FaceTrainedSettings
from synth.renderers.vec2face.costs import told_cost
from synth.renderers.vec2face.masking import PLACES, token_mask
from synth.renderers.vec2face.network import SIDE_PX
from synth.renderers.vec2face.quick import quicken
from synth.renderers.vec2face.renderer import in_bytes, mask_rate
from synth.renderers.vec2face.trained import KIND, ToldVec2Face, Trained, read_description
from synth.weights import load_weights, read_weights, refuse_unfit

_MASK_RATE = mask_rate(Normal(mean=0.85, std=0.05, low=0.8, high=0.9))  # as Vec2Face+


class Vec2FaceTrainedRenderer:
    """See the module."""

    revision: ClassVar[int] = 2
    attributes: ClassVar[Mapping[str, Attribute]] = {"mask_rate": _MASK_RATE, **conditions.CONDITIONS}

    def __init__(self, settings: Vec2FaceTrainedSettings, equipment: Equipment, network: ToldVec2Face) -> None:
        self._device, self._dtype = torch.device(equipment.backend.device), equipment.backend.torch_dtype
        self._conditions, self._dropped_share = conditions.declared(settings.conditions), settings.dropped_share
        self._network = network.to(self._device, self._dtype).eval().requires_grad_(False)
        self._network.elsewhere.float()  # pixels are wanted more exactly than half precision has them
        quicken(self._network.autoencoder)
        self._guide = Guide(SIDE_PX, equipment.backend.device, shape="mean", reads=tuple(CAMERA_AND_EXPRESSION))

    @staticmethod
    def vector_dimension(settings: Vec2FaceTrainedSettings) -> int:
        """That of the encoder with which the weights were trained, by the file's header."""
        return read_description(settings.weights).sizes.dimension

    @staticmethod
    def vector_encoder(settings: Vec2FaceTrainedSettings) -> str | None:
        """That with which the weights were trained, where their header says it."""
        return read_header(settings.weights, KIND).encoder

    @classmethod
    def declare(cls, settings: Vec2FaceTrainedSettings) -> Mapping[str, Attribute]:
        """The mask rate, and all that the network is told."""
        return {"mask_rate": _MASK_RATE, **conditions.declared(settings.conditions)}

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """Nothing is known of the people."""
        return {}

    @classmethod
    def preflight(cls, settings: Vec2FaceTrainedSettings) -> None:
        """Hold conditions, names and shapes against the network. Raises StorageError and DatasetError."""
        sizes = _fitting(settings).sizes
        with torch.device("meta"):
            network = ToldVec2Face(sizes)
        refuse_unfit(network, read_weights(settings.weights), settings.weights.url)

    @classmethod
    def open(cls, settings: Vec2FaceTrainedSettings, equipment: Equipment) -> "Vec2FaceTrainedRenderer":
        """Load the weights, strictly, onto the backend's device."""
        with torch.device("meta"):  # also: no initial weights are drawn
            network = ToldVec2Face(_fitting(settings).sizes)
        network = network.to_empty(device="cpu")
        load_weights(network, read_weights(settings.weights), settings.weights.url)
        return cls(settings, equipment, network)

    @classmethod
    def cost(cls, settings: Vec2FaceTrainedSettings, backend: Backend, encoders: Mapping[str, Cost]) -> Cost | None:
        """Of the network; not known where the file is not at hand."""
        if not at_hand(settings.weights.url):
            return None
        return told_cost(read_description(settings.weights).sizes, settings.dropped_share, backend)

    def fingerprint(self) -> dict[str, str]:
        """Nothing beside the libraries."""
        return {}

    def render(self, views: Views) -> Tensor:
        """Pictures uint8 (B, 112, 112, 3), RGB."""
        return self.portraits(views).images

    def portraits(self, views: Views) -> Portraits:
        """The pictures, and where the five landmarks lie. Raises RenderError where numbers overflowed."""
        views = views.to(self._device)
        points = self._guide.landmarks(views)
        told = conditions.told(self._conditions, views.attributes)
        style = random.normals(views.key, random.noise_index(views.key, "style"), self._network.sizes.style)
        noise = random.uniforms(views.key, random.noise_index(views.key, "tokens"), PLACES)
        mask = token_mask(noise, views.attributes["mask_rate"], self._dropped_share)
        with torch.inference_mode():
            condition = self._network.condition(points, told, style)
            pixels = self._network(views.vector.to(self._dtype), mask, condition, self._grain(views))
            landmarks = self._network.landmarks(views.vector, told, points)
        # What is made out here are ordinary tensors.
        return Portraits(in_bytes(pixels.float()), landmarks.clone())

    def _grain(self, views: Views) -> Tensor | None:
        """The noise for the finest maps, where the network has a use for it."""
        shape = self._network.sizes.grain
        if not shape[0]:
            return None
        return random.normals(views.key, random.noise_index(views.key, "grain"), math.prod(shape)).view(-1, *shape)


def _fitting(settings: Vec2FaceTrainedSettings) -> Trained:
    """What the header says. Raises DatasetError where the network is told other conditions than the recipe names."""
    found = read_description(settings.weights)
    wanted, known = list(conditions.declared(settings.conditions)), list(found.conditions)
    if wanted != known:
        raise DatasetError(
            f"{settings.weights.url} was trained with other conditions: set renderer.conditions to [{', '.join(known)}]"
        )
    return found
