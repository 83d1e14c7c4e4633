"""The `encoders` section of a recipe: networks that look at pictures, by names that checks and renderers use.

This module is light: it imports no encoder. Files named here are read when the encoder is opened, not before.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from synth.encoders.conventions import CONVENTIONS, ConventionName
from synth.section import InputFile, Section


class BarcodeEncoderSettings(Section):
    """Reads the barcode renderer's numbers back; needs no weights, and can be named without being declared."""

    kind: Literal["barcode"] = "barcode"


class IResNetSettings(Section):
    """An IResNet recogniser from published weights: ArcFace, MagFace and their kin."""

    kind: Literal["iresnet"] = "iresnet"
    weights: InputFile = Field(description=".pth or .safetensors, names as in insightface's arcface_torch")
    layers: Literal[18, 34, 50, 100] = Field(description="depth of the network")
    convention: ConventionName = Field(description="colour order and scaling that the weights were trained with")
    flip: bool = Field(False, description="also look at the mirrored picture and take the mean, at twice the cost")


class TrainedSettings(Section):
    """A recogniser that `hypersynth train-model encoder` made, ours or yours; the file says its sizes."""

    kind: Literal["trained"] = "trained"
    weights: InputFile = InputFile(url="builtin://encoder.safetensors")
    flip: bool = Field(False, description="also look at the mirrored picture and take the mean, at twice the cost")


class OnnxSettings(Section):
    """A recogniser as an ONNX graph: those of InsightFace, Arc2Face's, exports of AdaFace."""

    kind: Literal["onnx"] = "onnx"
    model: InputFile = Field(description=".onnx, from pictures (batch, 3, height, width) to features")
    convention: ConventionName = Field(description="colour order and scaling that the graph was trained with")
    flip: bool = Field(False, description="also look at the mirrored picture and take the mean, at twice the cost")


EncoderSettings = Annotated[
    BarcodeEncoderSettings | IResNetSettings | OnnxSettings | TrainedSettings,
    Field(discriminator="kind"),
]

#: Encoders that every recipe has without declaring them.
BUILT_IN: Mapping[str, EncoderSettings] = {
    "barcode": BarcodeEncoderSettings(),
    "builtin": TrainedSettings(),
    "judge": TrainedSettings(weights=InputFile(url="builtin://judge.safetensors")),
}


def grades(settings: EncoderSettings) -> bool:
    """Whether the length of the encoder's embeddings measures quality."""
    return hasattr(settings, "convention") and CONVENTIONS[settings.convention].length_is_quality
