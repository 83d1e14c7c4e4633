"""Pixel diffusion of our own as a renderer: a person's embedding, and attributes, with noise from the picture's key.

    vector, attributes -> conditions -> sketch; key -> noise; UNet, step by step from a mixture of both -> picture

The vectors are unit embeddings of the encoder that the network was trained with (the built-in one), and the attributes
are those of `synth.conditions`. Training is `synth.training.diffusion`. This module does not know the UNet.

Shapes: B pictures, H x H pixels, D dimensions of the vectors.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import ClassVar

import torch
from torch import Tensor

from samplers import random
from samplers.attributes import Attribute
from samplers.errors import DatasetError
from synth import conditions
from synth.backend import Backend
from synth.cost import Cost, measured_cost
from synth.files import at_hand
from synth.network_file import NetworkFile, read_header
from synth.renderer import Equipment, Portraits, Views, refuse_overflow
from synth.renderers.diffusion.network import Conditions, DiffusionNetwork, Read, enlarged
from synth.renderers.diffusion.sampling import Step, flow_steps, sample
from synth.renderers.diffusion.sizes import SIDE_PX, DiffusionSizes
from synth.renderers.settings import DiffusionSettings, FlowSampler
from synth.weights import load_weights, read_weights, refuse_unfit

_SHAPE = (3, SIDE_PX, SIDE_PX)


class DiffusionRenderer:
    """Draws people from embeddings and attributes; see the module."""

    revision: ClassVar[int] = 2
    attributes: ClassVar[Mapping[str, Attribute]] = conditions.CONDITIONS

    def __init__(
        self, network: DiffusionNetwork, declared: Mapping[str, Attribute], sampler: FlowSampler, device: str
    ) -> None:
        """`declared` are the attributes that the network is told, in its order."""
        self._network, self._declared = network, declared
        self._begin = sampler.begin if network.sketch is not None else 1.0
        self._guidance, self._steps = sampler.guidance, flow_steps(sampler.model_copy(update={"begin": self._begin}))
        self._device = torch.device(device)

    @staticmethod
    def vector_dimension(settings: DiffusionSettings) -> int:
        """The header of the weights says it."""
        return _sizes(read_header(settings.weights, "diffusion")).dimension

    @staticmethod
    def vector_encoder(settings: DiffusionSettings) -> str | None:
        """That with which the weights were trained, where their header says it."""
        return read_header(settings.weights, "diffusion").encoder

    @staticmethod
    def declare(settings: DiffusionSettings) -> Mapping[str, Attribute]:
        """The conditions that the settings name. Raises RecipeError for one that is not known."""
        return conditions.declared(settings.conditions)

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """Nothing: what an embedding says of a person is not known here."""
        return {}

    @staticmethod
    def preflight(settings: DiffusionSettings) -> None:
        """The header against the settings; names and shapes of the weights against the network."""
        network, _ = _empty(settings)
        refuse_unfit(network, read_weights(settings.weights), settings.weights.url)

    @classmethod
    def cost(cls, settings: DiffusionSettings, backend: Backend, encoders: Mapping[str, Cost]) -> Cost | None:
        """Of all steps for one micro-batch; not known where the file is not at hand."""
        if not at_hand(settings.weights.url):
            return None
        network, declared = _empty(settings)
        network.to(backend.torch_dtype)
        drawer = cls(network, declared, settings.sampler, "meta")
        count, sizes = backend.micro_batch, network.sizes

        def draw() -> Tensor:
            with torch.device("meta"), torch.no_grad():
                told = Conditions(
                    torch.rand(count, sizes.dimension),
                    torch.rand(count, sizes.told),
                    torch.ones(count, dtype=torch.bool),
                    torch.ones(count, dtype=torch.bool),
                )
                return drawer.draw(told, torch.rand(count, *_SHAPE))

        return measured_cost((network,), count, draw)

    @classmethod
    def open(cls, settings: DiffusionSettings, equipment: Equipment) -> "DiffusionRenderer":
        """Load the network onto the backend's device, in its dtype."""
        backend = equipment.backend
        network, declared = _empty(settings)
        network.to_empty(device="cpu")
        load_weights(network, read_weights(settings.weights), settings.weights.url)
        network.to(backend.device, backend.torch_dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(network, declared, settings.sampler, backend.device)

    def render(self, views: Views) -> Tensor:
        """Pictures uint8 (B, H, H, 3), RGB. Raises RenderError where numbers overflowed."""
        views = views.to(self._device)
        known = torch.ones(len(views), dtype=torch.bool, device=self._device)
        with torch.inference_mode():
            told = conditions.told(self._declared, views.attributes)
            noise = random.normals(views.key, random.noise_index(views.key, "diffusion"), 3 * SIDE_PX**2)
            drawn = self.draw(Conditions(views.vector, told, known, known), noise.view(-1, *_SHAPE))
            refuse_overflow(drawn, "diffusion")
            levels = ((drawn.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return levels.clone()  # an ordinary tensor again

    def portraits(self, views: Views) -> Portraits:
        """The pictures; where features lie in them is not known."""
        return Portraits(self.render(views), None)

    def fingerprint(self) -> dict[str, str]:
        """The library of the network."""
        named = {"diffusers": version("diffusers")}
        if self._device.type == "cuda":
            named["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
        return named

    def draw(self, told: Conditions, noise: Tensor) -> Tensor:
        """Pictures float32 (B, 3, H, H), mostly within [-1, 1], from noise of unit variance (B, 3, H, H)."""
        person = self._network.read(told)
        nobody = person if all(step.knows_identity for step in self._steps) else self._network.read(told.of_nobody())
        nothing = self._network.read(told.of_nothing()) if any(step.guided for step in self._steps) else None

        def reading(step: Step) -> Read:
            return person if step.knows_identity else nobody

        def predict(mixed: Tensor, step: Step) -> Tensor:
            if nothing is None or not step.guided:
                share = mixed.new_full((len(mixed),), step.noise_share)
                return self._network(mixed, share, reading(step))  # type: ignore[no-any-return]
            share = mixed.new_full((2 * len(mixed),), step.noise_share)
            without, toward = self._network(torch.cat((mixed, mixed)), share, nothing.beside(reading(step))).chunk(2)
            return without + self._guidance * (toward - without)  # type: ignore[no-any-return]

        sketch = reading(self._steps[0]).sketch
        mixed = noise if sketch is None or self._begin == 1 else torch.lerp(enlarged(sketch), noise, self._begin)
        return sample(self._steps, mixed, predict)


def _empty(settings: DiffusionSettings) -> tuple[DiffusionNetwork, Mapping[str, Attribute]]:
    """The network of a file without its weights, and the attributes that it is told, in its order.

    Raises DatasetError for a header that is damaged or knows other conditions than the settings.
    """
    said = read_header(settings.weights, "diffusion")
    sizes, known = _sizes(said), said.part("conditions")
    wanted = conditions.declared(settings.conditions)
    if not isinstance(known, list) or set(known) != set(wanted):
        raise DatasetError(
            f"{settings.weights.url} knows other conditions than renderer.conditions: {_differences(known, wanted)}"
        )
    declared = {name: wanted[name] for name in known}
    if conditions.width(declared) != sizes.told:
        raise DatasetError(
            f"{settings.weights.url} was trained when its conditions took {sizes.told} numbers; now they take "
            f"{conditions.width(declared)}: train it again"
        )
    with torch.device("meta"):
        network = DiffusionNetwork(sizes)
    network.eval().requires_grad_(False)
    return network, declared


def _sizes(said: NetworkFile) -> DiffusionSizes:
    try:
        return DiffusionSizes.parsed(said.part("sizes"))
    except ValueError as damage:
        raise DatasetError(f"{said.url}: its header is damaged: it does not say the network's sizes") from damage


def _differences(known: object, wanted: Mapping[str, Attribute]) -> str:
    names = set(map(str, known)) if isinstance(known, list) else set()
    parts = {"only the file knows": sorted(names - set(wanted)), "only the recipe names": sorted(set(wanted) - names)}
    return "; ".join(f"{whose} {', '.join(some)}" for whose, some in parts.items() if some)
