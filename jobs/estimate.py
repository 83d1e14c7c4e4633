"""What a build would take: counts from the plan, bytes and time from a few pictures made on this machine.

Nothing is guessed: the estimate says how many pictures it rests on. This module stores nothing.
"""

import time
from dataclasses import dataclass

import torch

from jobs.plan import Plan, variety
from samplers.identities import draw_identities
from synth.anchors import Anchors
from synth.backend import prepare
from synth.jpeg import encode_jpeg
from synth.renderer import build_renderer, checked_portraits, renderer_class
from synth.tar import BLOCK
from synth.views import attempt_index, draw_views

_TRIAL_BATCHES = 2
_TRIAL_PEOPLE = 8
#: Beside the JPEG, a sample has three headers, a label and a JSON of about two blocks.
_OVERHEAD_BYTES = 6 * BLOCK


@dataclass(frozen=True)
class Estimate:
    """What was measured here, and what follows from it."""

    trial_pictures: int
    pictures_per_s: float  # of one worker on this machine, redraws not counted
    bytes_per_picture: float  # in the tar

    def seconds(self, pictures: int, workers: int) -> float:
        """How long so many pictures take so many workers like this machine's."""
        return pictures / (self.pictures_per_s * max(workers, 1))


def estimate(plan: Plan) -> Estimate:
    """Render a few of the plan's pictures here, and measure; the first batch warms up and is not counted."""
    recipe = plan.recipe
    prepare(recipe.backend)
    kind = renderer_class(recipe.renderer.kind)
    renderer = build_renderer(recipe.renderer.model_dump(), recipe.backend.device)
    people = min(_TRIAL_PEOPLE, recipe.identities.count)
    drawn = draw_identities(recipe.identities.prior, recipe.seed, people, kind.dimension, 1.0)
    anchors = Anchors(drawn.vectors, drawn.nearest, drawn.nearest_cosine)
    size, seconds, stored = recipe.backend.micro_batch, 0.0, 0
    for batch in range(_TRIAL_BATCHES + 1):
        number = torch.arange(batch * size, (batch + 1) * size)
        pictures = torch.stack((number % people, number // people), -1)
        start = time.perf_counter()
        views = draw_views(variety(recipe), anchors, attempt_index(pictures, 0))
        portraits = checked_portraits(renderer.portraits(views), size, recipe.renderer.size)
        jpegs = [encode_jpeg(image, recipe.output.jpeg_quality) for image in portraits.images.numpy()]
        if batch:
            seconds += time.perf_counter() - start
            stored += sum(map(len, jpegs))
    trial = _TRIAL_BATCHES * size
    return Estimate(trial, trial / seconds, stored / trial + _OVERHEAD_BYTES)
