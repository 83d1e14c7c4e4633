"""The `variations` section of a recipe: how the pictures of one person differ, as settings, and the law behind them.

Files named here are read when the law is opened, not before. This module does not know any renderer.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from samplers.attributes import Constant, Distribution, Normal, Sometimes, Uniform
from samplers.errors import RecipeError
from samplers.variations import (
    AttributeSteps,
    Cone,
    CosineBand,
    GaussianMixture,
    IsotropicNoise,
    NoVariation,
    Variation,
)
from synth.directions import read_directions
from synth.section import InputFile, Section

_LONGEST_STEP = 1e6

Step = Annotated[Constant | Uniform | Normal | Sometimes, Field(discriminator="kind")]


class DirectionSettings(Section):
    """Steps along given directions in vector space, such as those found for age, smile or pose."""

    kind: Literal["directions"] = "directions"
    file: InputFile = Field(description="a .safetensors file with one vector for each name")
    steps: dict[str, Step] = Field(min_length=1, description="how far to go along each direction")

    @model_validator(mode="after")
    def _steps_are_numbers(self) -> "DirectionSettings":
        for name, step in self.steps.items():
            if isinstance(step, Constant) and isinstance(step.value, str):
                raise ValueError(f"the step along {name} is a number, not {step.value!r}")
            if max(map(abs, step.support())) > _LONGEST_STEP:
                raise ValueError(f"the steps along {name} reach beyond {_LONGEST_STEP:g} vectors of the file")
        return self

    def open(self, dimension: int) -> Variation:
        """The law, with its file read. Raises RecipeError for a direction that the file does not have."""
        there = read_directions(*self.file.read())
        if unknown := [name for name in self.steps if name not in there]:
            raise RecipeError(f"{self.file.url} has no direction {unknown[0]!r}; it has {', '.join(sorted(there))}")
        lengths = {len(there[name]) for name in self.steps} - {dimension}
        if lengths:
            raise RecipeError(
                f"the directions in {self.file.url} have {lengths.pop()} numbers, the renderer wants {dimension}"
            )
        names = tuple(sorted(self.steps))
        return AttributeSteps(
            torch.stack([there[name] for name in names]), names, tuple(self.steps[name] for name in names)
        )


VectorSettings = Annotated[
    NoVariation | Cone | CosineBand | GaussianMixture | IsotropicNoise | DirectionSettings,
    Field(discriminator="kind"),
]


class VariationSettings(Section):
    """How the pictures of one person differ."""

    views: int = Field(ge=1, le=10_000, description="pictures of each identity")
    vector: VectorSettings = Cone()
    attributes: dict[str, Distribution] = Field({}, description="laws that replace the renderer's own")

    def law(self, dimension: int) -> Variation:
        """How vectors vary, with its file read."""
        return self.vector.open(dimension) if isinstance(self.vector, DirectionSettings) else self.vector
