"""Recipes: what dataset is wanted, as a frozen, complete, validated record read from YAML.

Unknown keys are refused; an error names the key, the line and the nearest valid name. This module does not know what is
done with a recipe, and does not touch the places that a recipe names: `resolve_recipe` does.
"""

import datetime
import difflib
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from cluster.resources import Resources
from jobs.identities import IdentitySettings
from jobs.mistakes import explained
from jobs.source import Source, read_source
from jobs.variations import VariationSettings
from samplers.attributes import Attribute, Law, complete_laws
from samplers.errors import DatasetError, RecipeError
from synth.backend import Backend
from synth.checks import Check, Quality
from synth.encoders.conventions import grading_conventions
from synth.encoders.settings import BUILT_IN, EncoderSettings, grades
from synth.renderer import renderer_class
from synth.renderers.settings import RendererSettings
from synth.section import Section, pin_files


class CheckSettings(Section):
    """Which pictures may stay, and what happens to the others."""

    list: tuple[Check, ...] = ()
    attempts: int = Field(3, ge=1, le=100, description="pictures drawn at most for one place")
    exhausted: Literal["reject", "keep_best", "fail"] = "reject"

    @property
    def encoders(self) -> tuple[str, ...]:
        """The names of the encoders that the checks use, each once, in the order of the checks."""
        return tuple(dict.fromkeys(check.encoder for check in self.list))


class OutputSettings(Section):
    """How the pictures are stored."""

    shard_size: int = Field(1024, ge=1, le=1_000_000, description="pictures in a shard, at most")
    order: Literal["shuffled", "by_identity"] = "shuffled"
    jpeg_quality: int = Field(95, ge=1, le=100)
    embeddings: bool = Field(False, description="keep the encoder's embeddings in the index")


class Recipe(Section):
    """A whole recipe."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")
    seed: int = Field(1, ge=0, le=2**63 - 1)
    date: datetime.date = Field(description="stands in the card; never the clock")
    license: str = Field("CC-BY-4.0", min_length=1)
    identities: IdentitySettings
    variations: VariationSettings
    renderer: RendererSettings
    encoders: dict[str, EncoderSettings] = Field({}, description="networks that checks and renderers use, by name")
    checks: CheckSettings = CheckSettings()
    output: OutputSettings = OutputSettings()
    backend: Backend = Backend()
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _encoders_are_there(self) -> "Recipe":
        known, used = {**BUILT_IN, **self.encoders}, (*self.checks.encoders, *self.renderer.used_encoders)
        if clashing := set(self.encoders) & set(BUILT_IN):
            raise ValueError(f"the name {min(clashing)!r} belongs to a built-in encoder; choose another")
        if unknown := [name for name in used if name not in known]:
            near = difflib.get_close_matches(unknown[0], known, 1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise ValueError(f"unknown encoder {unknown[0]!r}; {hint}")
        if idle := set(self.encoders) - set(used):
            raise ValueError(f"nothing uses the encoder {min(idle)!r}: name it in a check, or leave it out")
        for name in self.renderer.used_encoders:
            if known[name].kind != "iresnet":
                raise ValueError(f"renderer.optimise needs gradients through {name!r}: it must be of kind iresnet")
        if self.renderer.used_encoders and self.backend.dtype == "float16":
            raise ValueError("renderer.optimise needs gradients, which float16 loses: use backend.dtype float32")
        for name in self._grading_encoders:
            if not grades(known[name]):
                raise ValueError(
                    f"the length of {name}'s embeddings is no measure of quality: its convention must be one of "
                    f"{', '.join(grading_conventions())}"
                )
        if self.output.embeddings and not self.checks.encoders:
            raise ValueError("output.embeddings is true, but no check names an encoder")
        return self

    @property
    def _grading_encoders(self) -> tuple[str, ...]:
        """Those whose embeddings' length is taken for quality."""
        checks = [check.encoder for check in self.checks.list if isinstance(check, Quality)]
        return (*checks, *self.renderer.grading_encoders)

    @property
    def used_encoders(self) -> dict[str, EncoderSettings]:
        """The encoders that checks or the renderer use, by name, those of the checks first."""
        known = {**BUILT_IN, **self.encoders}
        return {name: known[name] for name in (*self.checks.encoders, *self.renderer.used_encoders)}

    @property
    def declared(self) -> Mapping[str, Attribute]:
        """The attributes that the renderer declares."""
        return renderer_class(self.renderer.kind).declare(self.renderer)

    def laws(self) -> dict[str, Law]:
        """A law for every attribute: the recipe's, else the renderer's. Raises RecipeError for a misfit."""
        return complete_laws(self.declared, self.variations.attributes)


def load_recipe(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe from a file or by the name of a shipped one, with values replaced (`{"identities.count": 8}`).

    Raises RecipeError, in one line, for what cannot be read or does not make sense.
    """
    source = read_source(name_or_path, overrides or {})
    try:
        recipe = Recipe.model_validate(source.data)
    except ValidationError as invalid:
        raise RecipeError(explained(source, invalid, Recipe)) from invalid
    _check_laws(source, recipe)
    return recipe


def parse_stored(text: bytes, where: str) -> Recipe:
    """A recipe as a build stored it. Raises DatasetError where it cannot be understood."""
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError, ValueError) as damage:
        raise DatasetError(f"{where} is damaged, or was written by another version of hypersynth") from damage


def resolve_recipe(recipe: Recipe) -> Recipe:
    """The recipe with every default written out and every file that it names replaced by URL and sha256.

    The laws of all attributes are written out too, so that a renderer's changed defaults can never slip into a
    resumed build. Raises StorageError where a file cannot be read, DatasetError where one was changed.
    """
    variations = recipe.variations.model_copy(update={"attributes": recipe.laws()})
    return pin_files(recipe.model_copy(update={"variations": variations}))


def _check_laws(source: Source, recipe: Recipe) -> None:
    """Hold the recipe's laws against the renderer's declaration, one by one, so that an error has a line."""
    for name, law in recipe.variations.attributes.items():
        place = ("variations", "attributes", name)
        if name not in recipe.declared:
            kind, every = recipe.renderer.kind, renderer_class(recipe.renderer.kind).attributes
            if name in every:
                setting = recipe.renderer.unlocks_attributes
                raise RecipeError(f"{source.where(place)}: {kind} has this attribute only with {setting}")
            raise RecipeError(source.unknown(place, list(every)))
        try:
            complete_laws(recipe.declared, {name: law})
        except RecipeError as misfit:
            raise RecipeError(f"{source.where(place)}: {misfit}") from misfit
