"""The `renderer` section of a recipe: which renderer, with which weights, as settings.

This module is light: it imports no renderer. Files named here are read when the renderer is opened, not before.
"""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from synth.section import InputFile, Section

_LARGEST_DROPPED = 0.97  # leaves one of Vec2Face's 49 tokens
_Share = Annotated[float, Field(ge=0, le=1)]


class RendererSection(Section):
    """What all renderers' settings have."""

    #: The setting without which a recipe does not have all of the renderer's attributes, where there is one.
    unlocks_attributes: ClassVar[str] = ""

    @property
    def used_encoders(self) -> tuple[str, ...]:
        """The names of the recipe's encoders that the renderer needs."""
        return ()

    @property
    def grading_encoders(self) -> tuple[str, ...]:
        """Those of them whose embeddings' length is taken for quality."""
        return ()

    @property
    def anchor_encoders(self) -> tuple[str, ...]:
        """Those of them whose embeddings the renderer compares with people's vectors."""
        return ()


class HeadSettings(RendererSection):
    """The procedural head."""

    kind: Literal["head"] = "head"
    size: int = Field(112, ge=64, le=512, description="side of a picture in pixels")
    kernel: Literal["auto", "numba", "torch"] = Field("auto", description="rasteriser; both give the same pictures")


class BarcodeSettings(RendererSection):
    """The exact fake: numbers drawn as pixels."""

    kind: Literal["barcode"] = "barcode"
    size: int = Field(112, ge=16, le=512, description="side of a picture in pixels")


class IdentityTarget(Section):
    """The picture is to show the person."""

    encoder: str = Field(description="an iresnet of the recipe's encoders, that of the prior's features")
    max_distance: float = Field(0.3, gt=0, le=2, description="1 - cosine of the embedding to the person's anchor")
    weight: float = Field(100, ge=0)


class QualityTarget(Section):
    """The picture is to be good for recognition."""

    encoder: str = Field(description="an iresnet whose embeddings' length is quality (MagFace)")
    min: float = Field(27, gt=0, description="length of the embedding")
    tolerance: float = Field(1, ge=0, description="met from min - tolerance on")
    weight: float = Field(1, ge=0)


class PoseTarget(Section):
    """The head is to be turned as the attribute `yaw_deg` says, to either side, by a network that reads poses."""

    weights: InputFile = Field(description="6DRepNet, RepVGG-B1g2")
    tolerance_deg: float = Field(5, gt=0)
    weight: float = Field(1, ge=0)


class OptimisationSettings(Section):
    """AttrOP: search, from each picture's feature, for one whose picture meets targets."""

    steps: int = Field(10, ge=1, le=200, description="gradient steps at most; a picture that meets all targets stops")
    rate: float = Field(0.1, gt=0, description="Adam's learning rate")
    identity: IdentityTarget | None = None
    quality: QualityTarget | None = None
    pose: PoseTarget | None = None

    @model_validator(mode="after")
    def _has_targets(self) -> "OptimisationSettings":
        if not (self.identity or self.quality or self.pose):
            raise ValueError("there is no target: name identity, quality or pose")
        return self


class Vec2FaceSettings(RendererSection):
    """Vec2Face (Wu et al., ICLR 2025): a feature-masked autoencoder, official weights."""

    unlocks_attributes: ClassVar[str] = "renderer.optimise.pose"

    kind: Literal["vec2face"] = "vec2face"
    size: Literal[112] = 112
    network: Literal["base", "large", "tiny"] = "base"
    weights: InputFile = Field(description="a published checkpoint, or its model's tensors alone")
    dropped_share: float = Field(0.1, ge=0, le=_LARGEST_DROPPED, description="of 49 tokens, dropped from every picture")
    feature_norm: float | None = Field(None, gt=0, description="length of the features; null: as the prior drew them")
    optimise: OptimisationSettings | None = Field(None, description="AttrOP")

    @property
    def used_encoders(self) -> tuple[str, ...]:
        """Those of AttrOP's targets."""
        if self.optimise is None:
            return ()
        targets = (self.optimise.identity, self.optimise.quality)
        return tuple(dict.fromkeys(target.encoder for target in targets if target is not None))

    @property
    def grading_encoders(self) -> tuple[str, ...]:
        """That of AttrOP's quality target."""
        return () if self.optimise is None or self.optimise.quality is None else (self.optimise.quality.encoder,)

    @property
    def anchor_encoders(self) -> tuple[str, ...]:
        """That of AttrOP's identity target."""
        if self.optimise is None or self.optimise.identity is None:
            return ()
        return (self.optimise.identity.encoder,)


class Vec2FacePlusSettings(Vec2FaceSettings):
    """Vec2Face+ (arXiv 2507.17192): the same with low-rank adapters, and poses by pictures of landmarks."""

    unlocks_attributes: ClassVar[str] = ""

    kind: Literal["vec2face_plus"] = "vec2face_plus"  # type: ignore[assignment]
    pose_weights: InputFile | None = Field(None, description="of the pose network; null: in the same checkpoint")
    adapter_alpha: float = Field(32, gt=0)
    dropped_share: float = Field(0.8, ge=0, le=_LARGEST_DROPPED, description="of 49 tokens, dropped from every picture")


class Vec2FaceTrainedSettings(RendererSection):
    """Vec2Face as `hypersynth train-model vec2face` trains it, ours or yours; the file says its sizes."""

    kind: Literal["vec2face_trained"] = "vec2face_trained"
    size: Literal[112] = 112
    weights: InputFile = InputFile(url="builtin://vec2face.safetensors")
    conditions: tuple[str, ...] | None = Field(None, description="that it was trained with, in order; null: all")
    dropped_share: float = Field(0.8, ge=0, le=_LARGEST_DROPPED, description="of 49 tokens, dropped from every picture")


class NetworkFiles(Section):
    """A network: its weights, and where its sizes are not Stable Diffusion 1.5's, its config."""

    weights: InputFile
    config: InputFile | None = Field(None, description="config.json as diffusers or transformers store it")


class DpmSampler(Section):
    """DPM-Solver++ with guidance: 25 steps, each with two evaluations of the UNet."""

    kind: Literal["dpm"] = "dpm"
    steps: int = Field(25, ge=2, le=200)
    guidance: float = Field(3.0, ge=1, le=30, description="away from the empty prompt; 1 is none, in half the time")


class LcmSampler(Section):
    """Consistency steps, for a UNet that was distilled, as by LCM-LoRA: two to four, one evaluation each."""

    kind: Literal["lcm"] = "lcm"
    steps: int = Field(4, ge=1, le=8)
    guidance: float = Field(1.0, ge=1, le=3, description="even small values above 1 saturate the colours")


class FixedCrop(Section):
    """One crop for all pictures, right where the face is frontal."""

    kind: Literal["fixed_crop"] = "fixed_crop"


class DetectedPoints(Section):
    """Aligned by the five points that a detector finds."""

    kind: Literal["detected"] = "detected"
    detector: InputFile = Field(description="SCRFD or insightface's RetinaFace with landmarks, ONNX")
    input_px: int = Field(512, ge=64, le=2048, multiple_of=32, description="side of what a graph of no fixed size sees")


class Arc2FaceSettings(RendererSection):
    """Arc2Face (Papantoniou et al., ECCV 2024): latent diffusion from ArcFace embeddings, official weights."""

    unlocks_attributes: ClassVar[str] = "renderer.controlnet"

    kind: Literal["arc2face"] = "arc2face"
    size: int = Field(112, ge=112, le=448, multiple_of=112, description="side of a picture in pixels")
    unet: NetworkFiles
    text_encoder: NetworkFiles = Field(description="the fine-tuned one that is published with the UNet")
    vae: NetworkFiles = Field(description="that of Stable Diffusion 1.5")
    controlnet: NetworkFiles | None = Field(None, description="makes pose and expression attributes")
    controlnet_scale: float = Field(1.0, ge=0, le=2, description="strength of the ControlNet")
    lcm_lora: InputFile | None = Field(None, description="added to the UNet, for `sampler: {kind: lcm}`")
    sampler: Annotated[DpmSampler | LcmSampler, Field(discriminator="kind")] = DpmSampler()
    alignment: Annotated[FixedCrop | DetectedPoints, Field(discriminator="kind")] = FixedCrop()

    @model_validator(mode="after")
    def _distilled_for_its_sampler(self) -> "Arc2FaceSettings":
        if self.lcm_lora is not None and self.sampler.kind != "lcm":
            raise ValueError("lcm_lora spoils a UNet for sampler dpm: leave it out, or use sampler: {kind: lcm}")
        return self


class FlowSampler(Section):
    """How noise becomes a picture: the steps, and how strongly each is told person and attributes."""

    solver: Literal["dpm", "euler"] = Field("dpm", description="second order from the step before, or first order")
    steps: int = Field(5, ge=1, le=200, description="evaluations of the network, one more for each guided step")
    begin: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of noise in the mixture with the network's sketch that is begun with; 1: all",
    )
    shift: float = Field(1.0, gt=0, le=20, description="above 1: more steps where there is more noise")
    guidance: float = Field(2.0, ge=0, le=30, description="away from pictures of which nothing is told; 1 is none")
    guided: tuple[_Share, _Share] = Field((0.0, 1.0), description="shares of noise between which steps are guided")
    late_identity: float = Field(0.0, ge=0, lt=1, description="share of the steps before the person is told (UIFace)")

    @model_validator(mode="after")
    def _ordered(self) -> "FlowSampler":
        if self.guided[0] > self.guided[1]:
            raise ValueError(f"guided goes from {self.guided[0]:g} down to {self.guided[1]:g}: turn it round")
        return self


class DiffusionSettings(RendererSection):
    """Pixel diffusion of our own, from embeddings and attributes; the file says how large the network is."""

    kind: Literal["diffusion"] = "diffusion"
    size: Literal[112] = 112
    weights: InputFile = InputFile(url="builtin://diffusion.safetensors")
    conditions: tuple[str, ...] | None = Field(None, description="attributes that the weights know; null: all")
    sampler: FlowSampler = FlowSampler()


RendererSettings = Annotated[
    HeadSettings
    | BarcodeSettings
    | Arc2FaceSettings
    | DiffusionSettings
    | Vec2FaceSettings
    | Vec2FacePlusSettings
    | Vec2FaceTrainedSettings,
    Field(discriminator="kind"),
]


def bare_settings(kind: str) -> RendererSection:
    """A renderer's defaults without what a recipe must give: enough to ask which attributes it has by itself."""
    classes = {each.model_fields["kind"].default: each for each in get_args(get_args(RendererSettings)[0])}
    bare: RendererSection = classes[kind].model_construct()
    return bare
