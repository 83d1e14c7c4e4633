"""What stands behind a recipe, opened: who is wanted, how their views differ, what draws them. Reads the files that a
recipe names.

This module does not draw anything.
"""

from jobs.recipe import Recipe
from samplers.errors import RecipeError
from samplers.identities import IdentitySpec
from synth.embeddings import encoder_of
from synth.encoder import open_encoders
from synth.renderer import Equipment, Renderer, open_renderer, renderer_class
from synth.section import named_files
from synth.views import Variety


def variety(recipe: Recipe) -> Variety:
    """How the recipe's views differ.

    Raises StorageError or DatasetError where a file that it names cannot be read or was changed.
    """
    dimension = renderer_class(recipe.renderer.kind).vector_dimension(recipe.renderer)
    vector = recipe.variations.law(dimension)
    return Variety(recipe.seed, recipe.variations.views, vector, recipe.declared, recipe.laws())


def renderer(recipe: Recipe) -> Renderer:
    """The recipe's renderer, opened here with the encoders that it uses. Raises as the renderer's `open` does."""
    used = {name: recipe.used_encoders[name] for name in recipe.renderer.used_encoders}
    return open_renderer(recipe.renderer, Equipment(recipe.backend, open_encoders(used, recipe.backend)))


def identity_spec(recipe: Recipe) -> IdentitySpec:
    """Who the recipe wants. Raises as `variety` does, and RecipeError where a file does not fit the renderer."""
    settings, drawing = recipe.identities, renderer_class(recipe.renderer.kind)
    dimension = drawing.vector_dimension(recipe.renderer)
    _refuse_other_encoders(recipe, drawing.vector_encoder(recipe.renderer))
    return IdentitySpec(
        prior=settings.prior.open(),
        seed=recipe.seed,
        dimension=dimension,
        wanted=settings.wanted(),
        variation=recipe.variations.law(dimension),
        packing=settings.packing_law(dimension),
    )


def _refuse_other_encoders(recipe: Recipe, wanted: str | None) -> None:
    """Raises RecipeError for vectors on another encoder's sphere than the renderer's: as long, but of nobody there."""
    if wanted is None:
        return
    for file in named_files(recipe.identities):
        made_by = encoder_of(*file.read())
        if made_by not in (None, wanted):
            raise RecipeError(
                f"{file.url} comes from another encoder (sha256 {made_by[:12]}) than the renderer was trained with "
                f"({wanted[:12]}): fit the prior to embeddings of that one, or train the renderer with "
                "--set encoder=FILE"
            )
