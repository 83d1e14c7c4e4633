"""Recognisers as ONNX graphs, run by onnxruntime: InsightFace's, Arc2Face's, exports of AdaFace.

A graph says itself what it takes and gives: side and number of pictures, features, and with AdaFace their norm apart.
Which colours and scaling it was trained with it does not say: that is the recipe's convention. This module does not
know what the embeddings are compared with, and no gradients flow here.

Shapes: B pictures, S the side that the graph wants, D dimensions.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.encoders.conventions import CONVENTIONS, SIDE_PX, Convention, values_of_images
from synth.encoders.onnx_graph import scales_its_input
from synth.encoders.settings import OnnxSettings
from synth.onnx_session import open_session, refused_plainly
from synth.section import InputFile

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class _Graph:
    """What a graph takes and gives."""

    input: str
    batch: int | None  # so many pictures at once; None: any number
    side_px: int
    feature: str
    norm: str | None  # where the feature comes normalised, and its length apart
    dimension: int


class OnnxEncoder:
    """A recogniser in an onnxruntime session."""

    def __init__(self, session: "InferenceSession", graph: _Graph, convention: Convention, flip: bool) -> None:
        self._session, self._graph, self._convention, self._flip = session, graph, convention, flip
        self.dimension = graph.dimension

    @staticmethod
    def preflight(settings: OnnxSettings) -> int:
        """The dimension of the graph's features: it is loaded on the CPU, and sees one blank picture."""
        return _look(open_session(settings.model, Backend()), settings.model).dimension

    @classmethod
    def cost(cls, settings: OnnxSettings, backend: Backend, gradients: bool = False) -> None:
        """Not known: only onnxruntime could tell, by running the graph."""

    @classmethod
    def open(cls, settings: OnnxSettings, backend: Backend) -> "OnnxEncoder":
        """Load the graph on the backend's device.

        Raises MissingPackageError where onnxruntime is not installed, or was built without that device.
        """
        path = settings.model.fetch()
        session = open_session(settings.model, backend)
        convention = CONVENTIONS[settings.convention]
        if convention.mean and scales_its_input(path):
            convention = replace(convention, mean=0.0, std=1.0)
        return cls(session, _look(session, settings.model), convention, settings.flip)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings float32 (B, D), on the CPU, of uint8 RGB pictures (B, H, W, 3) of any size (`fitted` to S).

        They are not normalised, unless the graph gives nothing else; of AdaFace the length is the norm that it gives.
        """
        seen = self._convention.feed(values_of_images(images.cpu(), self._graph.side_px))
        embedding = self._run(seen)
        if not self._flip:
            return embedding
        # The mean of both, not the field's sum: the same direction, and a length that still is that of one picture.
        return (embedding + self._run(seen.flip(3))) / 2

    def _run(self, pictures: Tensor) -> Tensor:
        size = self._graph.batch or len(pictures)
        return torch.cat([self._run_at_once(pictures[at : at + size]) for at in range(0, len(pictures), size)])

    def _run_at_once(self, pictures: Tensor) -> Tensor:
        count = len(pictures)
        if self._graph.batch is not None and count < self._graph.batch:
            pictures = torch.cat((pictures, pictures.new_zeros(self._graph.batch - count, *pictures.shape[1:])))
        wanted = [name for name in (self._graph.feature, self._graph.norm) if name is not None]
        found = self._session.run(wanted, {self._graph.input: pictures.contiguous().numpy()})
        feature, *norm = (torch.from_numpy(each[:count]).float() for each in found)
        return feature * norm[0].view(count, 1) if norm else feature

    def fingerprint(self) -> dict[str, str]:
        """The library that computes."""
        import onnxruntime

        return {"onnxruntime": onnxruntime.__version__}


def _look(session: "InferenceSession", model: InputFile) -> _Graph:
    """What the graph takes and gives. Raises DatasetError unless that is pictures and features."""
    name, batch, side = _taken(session, model)
    with refused_plainly(model):
        outputs = session.run(None, {name: np.zeros((batch or 1, 3, side, side), np.float32)})
    given = {each.name: found.shape for each, found in zip(session.get_outputs(), outputs, strict=True)}
    features = [output for output, shape in given.items() if len(shape) == 2 and shape[1] > 1]
    norms = [output for output, shape in given.items() if shape in ((batch or 1,), (batch or 1, 1))]
    if len(features) != 1 or len(norms) != len(given) - 1 or len(norms) > 1:
        listed = ", ".join(f"{output} {list(shape)}" for output, shape in given.items())
        raise DatasetError(f"{model.url} gives {listed}; due are features (batch, dimension), alone or with their norm")
    return _Graph(name, batch, side, features[0], norms[0] if norms else None, given[features[0]][1])


def _taken(session: "InferenceSession", model: InputFile) -> tuple[str, int | None, int]:
    """The name of the graph's input, the number of pictures that it wants if it wants one, and their side."""
    inputs = session.get_inputs()
    # Axes without a number of their own have a name, or nothing: they take any.
    shapes = [[axis if isinstance(axis, int) and axis > 0 else None for axis in each.shape] for each in inputs]
    if len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shapes[0]) == 4:
        batch, channels, *sides = shapes[0]
        wanted = {side for side in sides if side is not None} or {SIDE_PX}
        if channels in (3, None) and len(wanted) == 1:
            return inputs[0].name, batch, wanted.pop()
    listed = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
    raise DatasetError(f"{model.url} takes {listed}; due are square float32 pictures (batch, 3, side, side)")
