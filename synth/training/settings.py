"""Settings of trainings, one class for each kind of network: what a training's YAML says.

This module is light: it imports no network. Files named here are read when the training begins, not before.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synth.renderers.diffusion.sizes import DiffusionSizes
from synth.section import InputFile, Section

_Whole = Annotated[int, Field(ge=1)]
_Levels = tuple[_Whole, _Whole, _Whole, _Whole]
_Share = Annotated[float, Field(ge=0, le=1)]
_Names = Annotated[tuple[str, ...], Field(min_length=1)]


class RateSettings(Section):
    """The learning rate: a linear rise, then half a cosine down to a share of the peak."""

    peak: float = Field(gt=0)
    warm_up: float = Field(0.03, ge=0, lt=1, description="share of the steps until the peak")
    last: float = Field(0.01, ge=0, le=1, description="share of the peak that is left at the end")


class TrainingSection(Section):
    """What all trainings have."""

    kind: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$", description="of the file of weights that comes out")
    seed: int = Field(1, ge=0, le=2**63 - 1)
    data: tuple[str, ...] = Field(min_length=1, description="finished datasets: folders")
    start: InputFile | None = Field(
        None, description="weights that a training of the same kind and shape left, to go on from; null: from the seed"
    )
    steps: int = Field(ge=1)
    horizon: int | None = Field(
        None, ge=1, description="steps over which all that changes with time is spread; null: just those that are done"
    )
    cool_down: int = Field(
        0, ge=0, description="last steps, in which the rate falls straight to what is left at the end"
    )
    batch: int = Field(ge=2, description="pictures a step, over all processes together")
    rate: RateSettings
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(1.0, gt=0, description="gradients longer than this are shortened")
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = Field("bfloat16", description="of products; weights stay float32")
    threads: int = Field(2, ge=1, le=256, description="CPU threads of the training process")
    loaders: int = Field(1, ge=0, le=64, description="processes that read and decode pictures; 0: none beside")
    hold: bool = Field(False, description="decode all pictures once and keep them on the device, 38 kB each at 112 px")
    checkpoint_minutes: float = Field(5, gt=0)

    @model_validator(mode="after")
    def _ends_before_the_horizon(self) -> "TrainingSection":
        if self.horizon is not None and self.horizon < self.steps:
            raise ValueError(f"horizon {self.horizon} is nearer than the last of {self.steps} steps")
        return self


class RecogniserShape(Section):
    """An IResNet: how wide and deep its four layers are, and which of them halve the picture."""

    stem: int = Field(32, ge=8, description="channels after the first convolution, which halves 112 px to 56")
    widths: _Levels = (32, 48, 96, 192)
    blocks: _Levels = (1, 1, 2, 2)
    dimension: int = Field(256, ge=16, le=4096, description="of the embeddings")


class Augmentation(Section):
    """How pictures are changed before a recogniser in training sees them. Chances are per picture."""

    flip: float = Field(0.5, ge=0, le=1)
    shift_px: float = Field(6, ge=0, description="to each side, at most")
    scale: float = Field(0.08, ge=0, lt=1, description="larger or smaller, at most")
    turn_deg: float = Field(6, ge=0)
    exposure: float = Field(0.25, ge=0, lt=1, description="of gain, gamma and each colour, at most")
    grey: float = Field(0.15, ge=0, le=1, description="chance of black and white")
    soft: float = Field(0.4, ge=0, le=1, description="chance of few pixels, down to a third, and of blur")
    noise: float = Field(0.4, ge=0, le=1, description="chance of sensor noise")
    erase: float = Field(0.25, ge=0, le=1, description="chance that a rectangle is hidden")


class EncoderTraining(TrainingSection):
    """A recogniser, by a margin softmax over identities (ArcFace), and by reading back what people were made from."""

    kind: Literal["encoder"] = "encoder"
    shape: RecogniserShape = RecogniserShape()
    augmentation: Augmentation = Augmentation()
    scale: float = Field(32, gt=0, description="of the softmax's cosines")
    margin: float = Field(0.35, ge=0, lt=1.5, description="radians, reached after half of the steps")
    readout: float = Field(20.0, ge=0, description="weight of reading the identity vectors back from the embeddings")
    class_rate: float = Field(1.0, gt=0, description="learning rate of the class centres, in that of the network")


class Vec2FaceShape(Section):
    """How large a Vec2Face of our own is; the defaults make a file of 10 MB."""

    width: int = Field(192, ge=8, description="of a token; a multiple of `heads`")
    heads: int = Field(4, ge=1, description="of attention")
    encoder_blocks: int = Field(2, ge=1)
    decoder_blocks: int = Field(4, ge=1)
    grid: int = Field(128, ge=8, description="channels of the grid of 7 x 7 places that pixels are made from")
    channels: int = Field(32, ge=8, description="of the finest maps, 56 x 56; a multiple of `groups`")
    factors: _Levels = Field((1, 2, 3, 4), description="of channels, from the finest to the grid's")
    blocks: int = Field(1, ge=1, description="per level")
    groups: int = Field(8, ge=1, description="of channels that are normalised together")
    pose_channels: _Levels = Field((16, 32, 48, 64), description="that read pictures of landmarks")
    grain: int = Field(2, ge=0, description="maps of noise that the two finest levels are given, to draw hairs from")
    style: int = Field(24, ge=1, le=256, description="numbers that stand for what no attribute says")

    @model_validator(mode="after")
    def _divisible(self) -> "Vec2FaceShape":
        if self.width % self.heads or self.channels % self.groups:
            raise ValueError("width must be a multiple of heads, and channels one of groups")
        return self


class DrawingWeights(Section):
    """What counts how much in the loss of a Vec2Face of our own."""

    pixels: float = Field(1.0, ge=0, description="absolute differences, at three scales")
    structure: float = Field(0.3, ge=0, description="1 - SSIM of grey pictures")
    texture: float = Field(0.1, ge=0, description="difference in the amount of fine detail")
    features: float = Field(0.5, ge=0, description="difference of the encoder's maps")
    attributes: float = Field(1.0, ge=0, description="difference of what is read off pictures, per number told")
    identity: float = Field(1.0, ge=0, description="cosine that a picture's embedding lacks of the wanted vector")
    style: float = Field(3e-4, ge=0, description="for each nat by which pictures' styles tell more than chance")
    adversary: float = Field(0.1, ge=0, description="length of its gradient at the last layer, in that of all others")


class Vec2FaceTraining(TrainingSection):
    """Vec2Face with conditions (Vec2Face+) from the vectors of a frozen encoder; see `synth.training.vec2face`."""

    kind: Literal["vec2face"] = "vec2face"
    encoder: InputFile = InputFile(url="builtin://encoder.safetensors")
    conditions: _Names | None = Field(None, description="names of attributes; null: all that there are")
    shape: Vec2FaceShape = Vec2FaceShape()
    weights: DrawingWeights = DrawingWeights()
    dropped_share: float = Field(0.8, ge=0, le=0.97, description="of 49 tokens, dropped from every picture")
    mask_rate: tuple[_Share, _Share] = Field((0.8, 0.9), description="lowest and highest, uniform between")
    means: float = Field(0.5, ge=0, le=1, description="share of pictures drawn from their person's mean vector")
    sampled: float = Field(0.25, ge=0, lt=1, description="share of each batch drawn from vectors of nobody's pictures")
    style_from: float = Field(0.25, ge=0, le=1, description="share of the steps before styles are read off pictures")
    adversary_from: float = Field(0.5, ge=0, le=1, description="share of the steps after which the adversary begins")
    adversary_channels: int = Field(24, ge=4, multiple_of=4)
    reader_channels: int = Field(24, ge=4, description="of the network that reads attributes off pictures")
    average: float = Field(0.998, ge=0, lt=1, description="kept per step of the slow average that is exported")

    @model_validator(mode="after")
    def _lowest_first(self) -> "Vec2FaceTraining":
        if self.mask_rate[0] > self.mask_rate[1]:
            raise ValueError(f"mask_rate goes from {self.mask_rate[0]:g} to {self.mask_rate[1]:g}: the lowest is first")
        return self


class DiffusionShape(Section):
    """How large a diffusion network is: levels of a UNet on pictures that are folded by `patch`."""

    widths: tuple[_Whole, ...] = Field((48, 96, 128), min_length=1, description="channels of each level")
    attention_from: int = Field(2, ge=0, description="levels from this on attend to the conditions on the way up")
    blocks: int = Field(1, ge=1, description="per level on the way down, and one more on the way up")
    heads: int = Field(4, ge=1, description="of attention")
    groups: int = Field(16, ge=1, description="of channels that are normalised together")
    tokens: int = Field(4, ge=1, description="that tell the person, and as many for the attributes")
    token_width: int = Field(128, ge=8)
    places: int = Field(8, ge=0, description="learned maps of where a place is")
    patch: int = Field(4, ge=1, description="side in pixels of what becomes one place")
    sketch: int = Field(40, ge=0, description="channels of the decoder that sketches what conditions alone tell")

    @model_validator(mode="after")
    def _together(self) -> "DiffusionShape":
        DiffusionSizes(1, 1, **self.model_dump())  # whatever is told of whom
        return self


class DiffusionTraining(TrainingSection):
    """Pixel diffusion from the vectors of a frozen encoder and from attributes; see `synth.training.diffusion`."""

    kind: Literal["diffusion"] = "diffusion"
    encoder: InputFile = InputFile(url="builtin://encoder.safetensors")
    conditions: _Names | None = Field(None, description="names of attributes; null: all that there are")
    shape: DiffusionShape = DiffusionShape()
    means: float = Field(0.5, ge=0, le=1, description="share of pictures drawn from their person's mean vector")
    drop_identity: float = Field(0.1, ge=0, le=1, description="chance that the person is not told")
    drop_attributes: float = Field(0.1, ge=0, le=1, description="chance that the attributes are not told")
    drop_both: float = Field(0.1, ge=0, le=1, description="chance that neither is told, beside these two")
    noise_mean: float = Field(0.25, description="of the logit of the share of noise: above zero, more noise")
    noise_std: float = Field(1.0, gt=0)
    least_noise: float = Field(0.05, gt=0, le=1, description="share of noise below which errors weigh no more")
    sketched: float = Field(0.5, ge=0, description="weight of the sketch's losses together, as of a picture of its own")
    likeness: float = Field(1.5, ge=0, description="weight of cosines that pictures and sketches lack of their person")
    features: float = Field(0.5, ge=0, description="weight of how pictures differ from real ones in the encoder's maps")
    attributes: float = Field(1.0, ge=0, description="weight of attributes that a reader misses in both")
    reader_channels: int = Field(32, ge=4, description="of the network that reads attributes off pictures")
    likeness_share: float = Field(0.5, ge=0, le=1, description="share of each batch whose pictures are looked at so")
    likeness_from: float = Field(0.0, ge=0, le=1, description="share of the steps before pictures are looked at so")
    average: float = Field(0.999, ge=0, lt=1, description="kept per step of the slow average that is exported")
