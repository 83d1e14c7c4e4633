"""The `renderer` section of a recipe: which renderer, with which weights, as settings.

This module is light: it imports no renderer. Files named here are read when the renderer is opened, not before.
"""

from typing import Annotated, Literal

from pydantic import Field

from synth.section import Section


class RendererSection(Section):
    """What all renderers' settings have."""

    @property
    def used_encoders(self) -> tuple[str, ...]:
        """The names of the recipe's encoders that the renderer needs."""
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


RendererSettings = Annotated[HeadSettings | BarcodeSettings, Field(discriminator="kind")]
