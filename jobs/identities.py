"""The `identities` section of a recipe: who is in the dataset, as settings, and the laws that stand behind them.

Files named here are read when a law is opened, not before. This module does not know how identities are found
(`samplers.identities`), nor by whom.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from pydantic import Field, model_validator

from samplers.errors import RecipeError
from samplers.packing import PackingLaw
from samplers.prior import Group, Prior
from samplers.priors import Given, Groups, UniformPrior, VonMisesFisher
from samplers.sphere import normalise
from samplers.wanted import Wanted
from synth.embeddings import Embeddings, parse_embeddings, read_prior
from synth.section import InputFile, Section


class VmfSettings(Section):
    """Von Mises-Fisher: directions about a mean direction, or about several."""

    kind: Literal["vmf"] = "vmf"
    concentration: float = Field(ge=0, le=1e6, description="kappa: 0 is uniform; larger lies closer to the mean")
    components: int = Field(
        1, ge=1, le=100_000, description="mean directions, drawn uniformly unless a file gives them"
    )
    means: InputFile | None = Field(None, description="embeddings whose directions are the means")
    weights: tuple[float, ...] | None = Field(None, description="of the components; equal where nothing is said")

    @model_validator(mode="after")
    def _weights_fit(self) -> "VmfSettings":
        if self.means is not None and self.components != 1:
            raise ValueError("means and components exclude each other: the file's vectors are the components")
        if self.weights is not None and self.means is None and len(self.weights) != self.components:
            raise ValueError(f"{len(self.weights)} weights for {self.components} components")
        return self

    def open(self) -> Prior:
        """The law, with its file read."""
        means = None if self.means is None else normalise(_embeddings(self.means).vectors)
        components = self.components if means is None else len(means)
        with _refused_plainly():
            return VonMisesFisher(
                concentration=self.concentration, means=means, components=components, weights=self.weights
            )


class PcaGaussianSettings(Section):
    """A normal law about the mean of people's features, as `hypersynth fit-prior` fits it."""

    kind: Literal["pca_gaussian"] = "pca_gaussian"
    file: InputFile = Field(description="made by hypersynth fit-prior")

    def open(self) -> Prior:
        """The law, with its file read."""
        return read_prior(*self.file.read())


class FileSettings(Section):
    """Vectors that the user brings along, taken in their order."""

    kind: Literal["file"] = "file"
    vectors: InputFile = Field(description="embeddings: .npy, .parquet or .safetensors")
    column: str | None = Field(None, description="the Parquet column or the tensor; found where nothing is said")

    def open(self) -> Prior:
        """The law, with its file read."""
        return Given(_embeddings(self.vectors, self.column).vectors)


class UniformSettings(UniformPrior):
    """Every direction alike."""

    def open(self) -> Prior:
        """The law."""
        return UniformPrior()


OnePrior = Annotated[UniformSettings | VmfSettings | PcaGaussianSettings | FileSettings, Field(discriminator="kind")]


class GroupSettings(Section):
    """One group of people."""

    share: float = Field(gt=0, le=1)
    prior: OnePrior


class GroupsSettings(Section):
    """Labelled groups, each with its own prior and its share of the people."""

    kind: Literal["groups"] = "groups"
    groups: dict[Annotated[str, Field(min_length=1)], GroupSettings] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "GroupsSettings":
        total = sum(group.share for group in self.groups.values())
        if abs(total - 1) > 5e-6:
            raise ValueError(f"the shares of the groups add up to {total:g}, not to 1")
        return self

    def open(self) -> Prior:
        """The law, with its members' files read."""
        members = [(Group(label, group.share), group.prior.open()) for label, group in sorted(self.groups.items())]
        with _refused_plainly():
            return Groups(tuple(members))


PriorSettings = Annotated[
    UniformSettings | VmfSettings | PcaGaussianSettings | FileSettings | GroupsSettings, Field(discriminator="kind")
]


class Separation(Section):
    """How alike two identities may be, and how long to look for them."""

    max_cosine: float = Field(0.35, gt=-1, le=1, description="largest cosine allowed between two identity vectors")
    candidates_per_identity: float = Field(50, ge=1, le=1e6, description="candidates looked at for each, at most")


class PackingSettings(Section):
    """Moving identities apart by optimisation, instead of drawing until they happen to be."""

    steps: int = Field(ge=1, le=1_000_000, description="at most; packing ends where no more is gained")
    pull: float = Field(0.0, ge=0, le=100, description="towards the nearest of the gallery; 0: plain packing")
    gallery: InputFile | None = Field(None, description="reference embeddings that a renderer can draw")

    @model_validator(mode="after")
    def _pull_needs_a_gallery(self) -> "PackingSettings":
        if (self.pull > 0) != (self.gallery is not None):
            raise ValueError("pull and gallery go together: name a gallery and a pull above 0, or neither")
        return self


class IdentitySettings(Section):
    """Who is in the dataset."""

    count: int = Field(ge=1, le=100_000_000)
    prior: PriorSettings = UniformSettings()
    separation: Separation = Separation()
    packing: PackingSettings | None = Field(None, description="moving identities apart by optimisation")

    def wanted(self, count: int | None = None) -> Wanted:
        """How many identities, how far apart; `count` replaces the recipe's."""
        number = self.count if count is None else count
        return Wanted(number, self.separation.max_cosine, self.separation.candidates_per_identity)

    def packing_law(self, dimension: int) -> PackingLaw | None:
        """How identities are moved apart, with its file read; None where they are not."""
        if self.packing is None:
            return None
        gallery = None
        if self.packing.gallery is not None:
            found = _embeddings(self.packing.gallery)
            if found.vectors.shape[1] != dimension:
                raise RecipeError(
                    f"the gallery {self.packing.gallery.url} has vectors of {found.vectors.shape[1]} numbers, "
                    f"the renderer wants {dimension}"
                )
            gallery = normalise(found.vectors)
        return PackingLaw(self.packing.steps, self.packing.pull, gallery)


def _embeddings(file: InputFile, column: str | None = None) -> Embeddings:
    return parse_embeddings(*file.read(), column=column)


@contextmanager
def _refused_plainly() -> Iterator[None]:
    """What a law refuses is the recipe's mistake."""
    try:
        yield
    except ValueError as misfit:
        raise RecipeError(f"identities.prior: {misfit}") from misfit
