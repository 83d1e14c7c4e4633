"""Previews: a recipe's first people on a contact sheet, in seconds, without building anything.

Shows the pictures that a build would draw first (their first attempt; where cones are kept apart they may be wider
here, since only these people are looked at), or one attribute swept over its range while all else stays equal. This
module stores nothing.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from jobs.plan import variety
from jobs.recipe import Recipe
from samplers.attributes import Attribute
from samplers.errors import RecipeError
from samplers.identities import draw_identities
from synth.anchors import Anchors
from synth.backend import prepare
from synth.renderer import Views, build_renderer, checked_portraits, renderer_class
from synth.sheet import contact_sheet
from synth.views import draw_views


def preview(recipe: Recipe, people: int, views: int, sweep: str | None = None) -> bytes:
    """A PNG with `people` rows of `views` pictures.

    With `sweep`, every column has the first view of each person, and the named attribute goes from its low to its
    high end. Raises RecipeError for an attribute that the renderer does not have, SaturationError where the people do
    not fit.
    """
    prepare(recipe.backend)
    people = min(people, recipe.identities.count)
    views = views if sweep else min(views, recipe.variations.views)
    anchors = _first_anchors(recipe, people)
    renderer = build_renderer(recipe.renderer.model_dump(), recipe.backend.device)
    rows = []
    for person in range(people):
        batch = _views(recipe, anchors, person, views, sweep)
        portraits = checked_portraits(renderer.portraits(batch), views, recipe.renderer.size)
        rows.append(list(portraits.images.numpy()))
    return contact_sheet(rows)


def _first_anchors(recipe: Recipe, people: int) -> Anchors:
    """The recipe's first people. Their nearest neighbours are looked for among these alone: enough to look at."""
    settings, dimension = recipe.identities, renderer_class(recipe.renderer.kind).dimension
    drawn = draw_identities(settings.prior, recipe.seed, people, dimension, settings.separation.max_cosine)
    return Anchors(drawn.vectors, drawn.nearest, drawn.nearest_cosine)


def _views(recipe: Recipe, anchors: Anchors, person: int, views: int, sweep: str | None) -> Views:
    number = torch.zeros(views, dtype=torch.int64) if sweep else torch.arange(views)
    index = torch.stack((torch.full_like(number, person), number, torch.zeros_like(number)), -1)
    drawn = draw_views(variety(recipe), anchors, index)
    if sweep is None:
        return drawn
    if sweep not in recipe.declared:
        raise RecipeError(f"no attribute {sweep!r} to sweep; the renderer has {', '.join(recipe.declared)}")
    return replace(drawn, attributes={**drawn.attributes, sweep: _range(recipe.declared[sweep], views)})


def _range(attribute: Attribute, steps: int) -> Tensor:
    """The attribute's values from one end to the other."""
    if attribute.choices:
        return torch.from_numpy(np.arange(steps) % len(attribute.choices))
    return torch.linspace(attribute.low, attribute.high, steps)
