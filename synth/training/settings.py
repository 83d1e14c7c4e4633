"""Settings of trainings, one class for each kind of network: what a training's YAML says.

This module is light: it imports no network. Files named here are read when the training begins, not before.
"""

from typing import Annotated, Literal

from pydantic import Field

from synth.section import Section


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
    steps: int = Field(ge=1)
    batch: int = Field(ge=2, description="pictures a step, over all processes together")
    rate: RateSettings
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(1.0, gt=0, description="gradients longer than this are shortened")
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = Field("bfloat16", description="of products; weights stay float32")
    threads: int = Field(2, ge=1, le=256, description="CPU threads of the training process")
    loaders: int = Field(1, ge=0, le=64, description="processes that read and decode pictures; 0: none beside")
    checkpoint_minutes: float = Field(5, gt=0)


class RecogniserShape(Section):
    """An IResNet: how wide and deep its four layers are, and which of them halve the picture."""

    stem: int = Field(32, ge=8, description="channels after the first convolution, which halves 112 px to 56")
    widths: tuple[int, int, int, int] = (32, 48, 96, 192)
    blocks: tuple[int, int, int, int] = (1, 1, 2, 2)
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
    readout: float = Field(1.0, ge=0, description="weight of reading the identity vectors back from the embeddings")
    class_rate: float = Field(2.0, gt=0, description="learning rate of the class centres, in that of the network")


TrainingSettings = Annotated[EncoderTraining, Field(discriminator="kind")]
