"""Previews: a recipe's first people on a contact sheet, in seconds, without building anything.

Shows the pictures that a build would draw first (their first attempt; where cones are kept apart they may be wider
here, since only these people are looked at), or one attribute swept over its range while all else stays equal. This
module stores nothing.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cluster.hands import local_hands
from cluster.run import Crew
from jobs.laws import identity_spec, renderer, variety
from jobs.preflight import check_device, check_files
from jobs.recipe import Recipe
from samplers.attributes import Attribute
from samplers.errors import RecipeError
from samplers.identities import draw_identities
from synth.anchors import Anchors
from synth.backend import prepare
from synth.renderer import Views, checked_portraits
from synth.sheet import contact_sheet
from synth.views import Variety, draw_views


def preview(recipe: Recipe, people: int, views: int, sweep: str | None = None) -> bytes:
    """A PNG with `people` rows of `views` pictures.

    With `sweep`, every column has the first view of each person, and the named attribute goes from its low to its
    high end. Raises RecipeError for an attribute that the renderer does not have, SaturationError where the people do
    not fit, and what `jobs.preflight` refuses.
    """
    check_device(recipe, Crew(0))
    check_files(recipe, recipe.renderer.used_encoders)  # those of the checks are not used here
    prepare(recipe.backend)
    people = min(people, recipe.identities.count)
    views = views if sweep else min(views, recipe.variations.views)
    anchors, differ = _first_anchors(recipe, people), variety(recipe)
    drawing = renderer(recipe)
    rows = []
    for person in range(people):
        batch = _views(differ, anchors, person, views, sweep)
        portraits = checked_portraits(drawing.portraits(batch), views, recipe.renderer.size)
        rows.append(list(portraits.images.numpy()))
    return contact_sheet(rows)


def _first_anchors(recipe: Recipe, people: int) -> Anchors:
    """The recipe's first people, as drawn: packing would move them, and takes too long for a look.

    Their nearest neighbours are looked for among these alone.
    """
    spec = identity_spec(recipe)
    wanted = replace(spec.wanted, count=people)
    if spec.packing is not None:
        wanted = replace(wanted, max_cosine=1.0)
    spec = replace(spec, wanted=wanted, packing=None)
    return Anchors.of(draw_identities(spec, local_hands()))


def _views(differ: Variety, anchors: Anchors, person: int, views: int, sweep: str | None) -> Views:
    number = torch.zeros(views, dtype=torch.int64) if sweep else torch.arange(views)
    index = torch.stack((torch.full_like(number, person), number, torch.zeros_like(number)), -1)
    drawn = draw_views(differ, anchors, index)
    if sweep is None:
        return drawn
    if sweep not in differ.declared:
        raise RecipeError(f"no attribute {sweep!r} to sweep; the renderer has {', '.join(differ.declared)}")
    return replace(drawn, attributes={**drawn.attributes, sweep: _range(differ.declared[sweep], views)})


def _range(attribute: Attribute, steps: int) -> Tensor:
    """The attribute's values from one end to the other."""
    if attribute.choices:
        return torch.from_numpy(np.arange(steps) % len(attribute.choices))
    return torch.linspace(attribute.low, attribute.high, steps)
