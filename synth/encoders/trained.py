"""Recognisers that `hypersynth train-model encoder` made: IResNets whose file says how large they are.

This module does not know how they are trained (`synth.training.encoder`), nor with what the embeddings are compared.
"""

import torch
from torch import Tensor
from torch.nn import functional

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.cost import Cost
from synth.encoders.conventions import CONVENTIONS, ConventionName
from synth.encoders.iresnet import IResNet, IResNetEncoder, IResNetSizes, iresnet_cost
from synth.encoders.settings import TrainedSettings
from synth.files import at_hand
from synth.network_file import read_header
from synth.section import InputFile
from synth.weights import load_weights, read_weights, refuse_unfit

_CONVENTION: ConventionName = "arcface"  # which the training feeds, too


class TrainedEncoder(IResNetEncoder):
    """A recogniser of our own, whose embeddings have unit length; gradients flow through `features`."""

    @staticmethod
    def preflight(settings: TrainedSettings) -> int:  # type: ignore[override]
        """The dimension of the weights, whose names and shapes are held against the network's."""
        sizes = _sizes(settings.weights)
        with torch.device("meta"):
            network = IResNet(sizes)
        refuse_unfit(network, read_weights(settings.weights), settings.weights.url)
        return sizes.dimension

    @classmethod
    def cost(cls, settings: TrainedSettings, backend: Backend, gradients: bool = False) -> Cost | None:  # type: ignore[override]
        """Of one look at a micro-batch, in float32; not known where the file is not at hand."""
        if not at_hand(settings.weights.url):
            return None
        return iresnet_cost(_sizes(settings.weights), _CONVENTION, settings.flip, backend, gradients)

    @classmethod
    def open(cls, settings: TrainedSettings, backend: Backend) -> "TrainedEncoder":  # type: ignore[override]
        """Load the weights, fold what can be folded, and go to the backend's device."""
        return cls(load_recogniser(settings.weights), CONVENTIONS[_CONVENTION], settings.flip, backend.device)

    def _embedded(self, values: Tensor) -> Tensor:
        return functional.normalize(super()._embedded(values), dim=1)


def load_recogniser(weights: InputFile) -> IResNet:
    """The network of a file, on the CPU, in float32. Raises StorageError and DatasetError."""
    with torch.device("meta"):
        network = IResNet(_sizes(weights))
    network = network.to_empty(device="cpu")
    load_weights(network, read_weights(weights), weights.url)
    return network


def _sizes(weights: InputFile) -> IResNetSizes:
    try:
        return IResNetSizes.parsed(read_header(weights, "encoder").part("sizes"))
    except ValueError as damage:
        raise DatasetError(f"{weights.url}: its header is damaged: it does not say the network's sizes") from damage
