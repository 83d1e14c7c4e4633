"""What a build would take: counts from the plan, bytes and time from a few pictures made on this machine.

Nothing is guessed: the estimate says how many pictures it rests on. This module stores nothing.
"""

import time
from dataclasses import dataclass, replace

import torch

from cluster.hands import local_hands
from jobs.laws import identity_spec, renderer, variety
from jobs.plan import Plan
from samplers.identities import draw_identities
from samplers.prior import check_dimension
from samplers.separation import Outlook, look_ahead
from samplers.wanted import Wanted, refuse_impossible
from synth.anchors import Anchors
from synth.backend import prepare
from synth.jpeg import encode_jpeg
from synth.renderer import checked_portraits
from synth.tar import BLOCK
from synth.views import attempt_index, draw_views

_TRIAL_BATCHES = 2
_TRIAL_PEOPLE = 8
_TRIAL_CANDIDATES = 8192
#: Beside the JPEG, a sample has three headers, a label and a JSON of about two blocks.
_OVERHEAD_BYTES = 6 * BLOCK


@dataclass(frozen=True)
class Estimate:
    """What was measured here, and what follows from it."""

    trial_pictures: int
    pictures_per_s: float  # of one worker on this machine, redraws not counted
    bytes_per_picture: float  # in the tar
    outlook: Outlook  # of the search for identities
    view_cosine: float  # expected, of a view's vector to its person's

    def seconds(self, pictures: int, workers: int) -> float:
        """How long so many pictures take so many workers like this machine's."""
        return pictures / (self.pictures_per_s * max(workers, 1))


def estimate(plan: Plan) -> Estimate:
    """Render a few of the plan's pictures here, and measure; the first batch warms up and is not counted."""
    recipe = plan.recipe
    prepare(recipe.backend)
    drawing = renderer(recipe)
    people = min(_TRIAL_PEOPLE, recipe.identities.count)
    spec = identity_spec(recipe)
    check_dimension(spec.prior, spec.dimension)
    refuse_impossible(spec.wanted, spec.dimension)
    limits = spec.wanted if spec.packing is None else replace(spec.wanted, max_cosine=1.0)
    outlook = look_ahead(spec.prior, spec.seed, spec.dimension, limits, local_hands(), _TRIAL_CANDIDATES)
    spec = replace(spec, wanted=Wanted(people, max_cosine=1.0), packing=None)
    anchors, differ = Anchors.of(draw_identities(spec, local_hands())), variety(recipe)
    cosine = spec.variation.expected_cosine(anchors.nearest_cosine, anchors.norm, spec.dimension)
    size, seconds, stored = recipe.backend.micro_batch, 0.0, 0
    for batch in range(_TRIAL_BATCHES + 1):
        number = torch.arange(batch * size, (batch + 1) * size)
        pictures = torch.stack((number % people, number // people), -1)
        start = time.perf_counter()
        views = draw_views(differ, anchors, attempt_index(pictures, 0))
        portraits = checked_portraits(drawing.portraits(views), size, recipe.renderer.size)
        jpegs = [encode_jpeg(image, recipe.output.jpeg_quality) for image in portraits.images.numpy()]
        if batch:
            seconds += time.perf_counter() - start
            stored += sum(map(len, jpegs))
    trial = _TRIAL_BATCHES * size
    return Estimate(trial, trial / seconds, stored / trial + _OVERHEAD_BYTES, outlook, float(cosine.mean()))
