"""The `encoders` section of a recipe: networks that look at pictures, by names that checks and renderers use.

This module is light: it imports no encoder. Files named here are read when the encoder is opened, not before.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from synth.section import Section


class BarcodeEncoderSettings(Section):
    """Reads the barcode renderer's numbers back; needs no weights, and can be named without being declared."""

    kind: Literal["barcode"] = "barcode"


EncoderSettings = Annotated[BarcodeEncoderSettings, Field(discriminator="kind")]

#: Encoders that every recipe has without declaring them.
BUILT_IN: Mapping[str, EncoderSettings] = {"barcode": BarcodeEncoderSettings()}
