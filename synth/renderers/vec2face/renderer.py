"""Vec2Face and Vec2Face+ as renderers: features at their full length to pictures, one network evaluation each.

Mask rate and token order belong to the picture: the rate is an attribute, the order comes from its key. With
`optimise`, AttrOP searches each picture's feature for targets, under one fixed mask. Vec2Face+ takes poses as pictures
of landmarks, drawn from our own procedural head, so that no landmark files are needed.

Shapes: B pictures, W width of a token.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from samplers import random
from samplers.attributes import Attribute, Normal
from samplers.errors import RecipeError
from synth.backend import Backend
from synth.cost import Cost
from synth.encoder import DifferentiableEncoder
from synth.renderer import Equipment, Portraits, Views, refuse_overflow
from synth.renderers.guides import POSE, Guide
from synth.renderers.settings import OptimisationSettings, Vec2FacePlusSettings, Vec2FaceSettings
from synth.renderers.vec2face.costs import vec2face_cost
from synth.renderers.vec2face.masking import PLACES, token_mask
from synth.renderers.vec2face.network import (
    FEATURE_DIMENSION,
    SIDE_PX,
    SIZES,
    FeatureAutoencoder,
    PoseCondition,
    merged_adapters,
)
from synth.renderers.vec2face.optimise import Target, optimise
from synth.renderers.vec2face.pose_network import open_pose_network, preflight_pose_network, yaw_deg
from synth.renderers.vec2face.quick import quicken
from synth.weights import load_weights, read_weights, refuse_unfit

#: The key of the network's tensors in a published checkpoint, and that of the pose network's.
_MODEL, _POSE_MODEL = "model_vec2face", "pose_model"


def mask_rate(law: Normal) -> Attribute:
    """The attribute, with the law by which a renderer draws it."""
    return Attribute(
        "Share of the tokens that are replaced by the whole feature: more gives pictures that differ more.",
        default=law.mean,
        unit="fraction",
        low=0.0,
        high=1.0,
        distribution=law,
    )


class Vec2FaceRenderer:
    """Vec2Face; see the module."""

    revision: ClassVar[int] = 1
    attributes: ClassVar[Mapping[str, Attribute]] = {
        # Published: truncated normal, `image_generation.py`.
        "mask_rate": mask_rate(Normal(mean=0.15, std=0.25, low=0.1, high=1.0)),
        "yaw_deg": POSE["yaw_deg"],
    }

    def __init__(self, settings: Vec2FaceSettings, equipment: Equipment, network: FeatureAutoencoder) -> None:
        self._settings = settings
        self._device, self._dtype = torch.device(equipment.backend.device), equipment.backend.torch_dtype
        self._network = network.to(self._device, self._dtype).eval()
        self._targets = _targets(settings.optimise, equipment)
        if settings.optimise is None:
            quicken(self._network)  # for use without gradients only
        else:
            self._network.requires_grad_(False)

    @staticmethod
    def vector_dimension(settings: Vec2FaceSettings) -> int:
        """Always the same."""
        return FEATURE_DIMENSION

    @staticmethod
    def vector_encoder(settings: Vec2FaceSettings) -> str | None:
        """Published files do not say so."""
        return None

    @classmethod
    def declare(cls, settings: Vec2FaceSettings) -> Mapping[str, Attribute]:
        """The mask rate, and the yaw that AttrOP is to reach where it has a target for it."""
        names = ["mask_rate"]
        if settings.optimise is not None and settings.optimise.pose is not None:
            names.append("yaw_deg")
        return {name: cls.attributes[name] for name in names}

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """Nothing is known of the people."""
        return {}

    @classmethod
    def preflight(cls, settings: Vec2FaceSettings) -> None:
        """Hold the weights' names and shapes against the network. Raises StorageError and DatasetError."""
        with torch.device("meta"):
            network = FeatureAutoencoder(SIZES[settings.network])
        refuse_unfit(network, _model_weights(settings), settings.weights.url)
        if settings.optimise is not None and settings.optimise.pose is not None:
            preflight_pose_network(settings.optimise.pose.weights)

    @classmethod
    def open(cls, settings: Vec2FaceSettings, equipment: Equipment) -> Self:
        """Load the weights, strictly, onto the backend's device."""
        return cls(settings, equipment, _loaded(settings))

    @classmethod
    def cost(cls, settings: Vec2FaceSettings, backend: Backend, encoders: Mapping[str, Cost]) -> Cost:
        """Of the networks at these sizes, AttrOP's searches included."""
        return vec2face_cost(settings, backend, encoders)

    def fingerprint(self) -> dict[str, str]:
        """Nothing beside the libraries."""
        return {}

    def render(self, views: Views) -> Tensor:
        """Pictures uint8 (B, 112, 112, 3), RGB."""
        return self.portraits(views).images

    def portraits(self, views: Views) -> Portraits:
        """The pictures, and with AttrOP which targets each of them meets (0 or 1) after how many steps.

        Raises RenderError where numbers overflowed.
        """
        views = views.to(self._device)
        feature = self._feature(views)
        mask = token_mask(
            random.uniforms(views.key, random.noise_index(views.key, "tokens"), PLACES),
            views.attributes["mask_rate"],
            self._settings.dropped_share,
        )
        condition = self._condition(views)

        def draw(feature: Tensor) -> Tensor:
            pixels: Tensor = self._network(feature.to(self._dtype), mask, condition)
            refuse_overflow(pixels, "vec2face")  # before infinity is cut off
            return pixels.float().clamp(-1, 1)

        if self._settings.optimise is None:
            with torch.inference_mode():
                pixels = draw(feature)
            return Portraits(in_bytes(pixels), None)  # made out here, it is an ordinary tensor
        return self._search(views, feature, draw)

    def _feature(self, views: Views) -> Tensor:
        norm = self._settings.feature_norm
        return views.vector * (views.norm[:, None] if norm is None else norm)

    def _condition(self, views: Views) -> Tensor | None:
        return None

    def _search(self, views: Views, feature: Tensor, draw: Callable[[Tensor], Tensor]) -> Portraits:
        settings = self._settings.optimise
        assert settings is not None
        targets = [make(views) for make in self._targets]
        found = optimise(draw, feature, targets, settings.steps, settings.rate)
        met = {f"{target.name}_met": found.met[:, at].float() for at, target in enumerate(targets)}
        return Portraits(in_bytes(found.pixels), None, {**met, "steps": found.steps.float()})


class Vec2FacePlusRenderer(Vec2FaceRenderer):
    """Vec2Face+; see the module."""

    attributes: ClassVar[Mapping[str, Attribute]] = {
        # Published: `pose_control.py`.
        "mask_rate": mask_rate(Normal(mean=0.85, std=0.05, low=0.8, high=0.9)),
        **POSE,
    }

    def __init__(
        self,
        settings: Vec2FacePlusSettings,
        equipment: Equipment,
        network: FeatureAutoencoder,
        pose: PoseCondition,
    ) -> None:
        super().__init__(settings, equipment, network)
        self._pose = pose.to(self._device, self._dtype).eval().requires_grad_(False)
        self._guide = Guide(SIDE_PX, equipment.backend.device)

    @classmethod
    def declare(cls, settings: Vec2FaceSettings) -> Mapping[str, Attribute]:
        """The mask rate and the pose."""
        return cls.attributes

    @classmethod
    def preflight(cls, settings: Vec2FaceSettings) -> None:
        """Hold both networks' weights against them."""
        assert isinstance(settings, Vec2FacePlusSettings)
        super().preflight(settings)
        with torch.device("meta"):
            pose = PoseCondition(SIZES[settings.network].width)
        file = settings.pose_weights or settings.weights
        refuse_unfit(pose, read_weights(file, (_POSE_MODEL,)), file.url)

    @classmethod
    def open(cls, settings: Vec2FaceSettings, equipment: Equipment) -> Self:
        """Load both networks, strictly; adapters are merged into the layers that they adapt."""
        assert isinstance(settings, Vec2FacePlusSettings)
        pose, file = PoseCondition(SIZES[settings.network].width), settings.pose_weights or settings.weights
        load_weights(pose, read_weights(file, (_POSE_MODEL,)), file.url)
        return cls(settings, equipment, _loaded(settings), pose)

    def _condition(self, views: Views) -> Tensor:
        pictures = self._guide.landmark_pictures(views).to(self._device)
        with torch.inference_mode():
            scaled = pictures.permute(0, 3, 1, 2).to(self._dtype) / 127.5 - 1
            condition: Tensor = self._pose(scaled.contiguous())
        return condition.clone()  # an ordinary tensor again, for AttrOP


def _model_weights(settings: Vec2FaceSettings) -> dict[str, Tensor]:
    weights = read_weights(settings.weights, (_MODEL,))
    if isinstance(settings, Vec2FacePlusSettings):
        return merged_adapters(weights, settings.adapter_alpha)
    return weights


def _loaded(settings: Vec2FaceSettings) -> FeatureAutoencoder:
    network = FeatureAutoencoder(SIZES[settings.network])
    load_weights(network, _model_weights(settings), settings.weights.url)
    return network


def in_bytes(pixels: Tensor) -> Tensor:
    """Pixels float (B, 3, H, W) in [-1, 1] as uint8 (B, H, W, 3): cut off, as the published code does.

    Raises RenderError where a number overflowed.
    """
    refuse_overflow(pixels, "vec2face")
    return ((pixels + 1) * 127.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


_Targets = tuple[Callable[[Views], Target], ...]


def _targets(settings: OptimisationSettings | None, equipment: Equipment) -> _Targets:
    """AttrOP's targets, to be completed with the views of a batch."""
    made: list[Callable[[Views], Target]] = []
    if settings is None:
        return ()
    if (identity := settings.identity) is not None:
        encoder = _differentiable(equipment, identity.encoder)
        made.append(
            lambda views: Target(
                "identity",
                lambda pixels: 1 - functional.cosine_similarity(encoder.features(pixels), views.anchor, dim=1),
                identity.max_distance,
                identity.weight,
            )
        )
    if (quality := settings.quality) is not None:
        grader = _differentiable(equipment, quality.encoder)
        made.append(
            lambda views: Target(
                "quality",
                lambda pixels: (quality.min - grader.features(pixels).norm(dim=1)).clamp(min=0),
                quality.tolerance,
                quality.weight,
            )
        )
    if (pose := settings.pose) is not None:
        reader = open_pose_network(pose.weights, equipment.backend.device)
        made.append(
            lambda views: Target(
                "pose",
                lambda pixels: (views.attributes["yaw_deg"].abs() - yaw_deg(reader, pixels).abs()).abs(),
                pose.tolerance_deg,
                pose.weight,
            )
        )
    return tuple(made)


def _differentiable(equipment: Equipment, name: str) -> DifferentiableEncoder:
    encoder = equipment.encoders[name]
    if not isinstance(encoder, DifferentiableEncoder):
        raise RecipeError(
            f"AttrOP needs gradients through the encoder {name!r}: use an iresnet, not {type(encoder).__name__}"
        )
    return encoder
