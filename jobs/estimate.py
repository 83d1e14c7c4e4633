"""What a build would take: counts from the plan, bytes and time from a few pictures made on this machine.

Where pictures cannot be tried here, because there is no GPU for them, because files are elsewhere, or because a few
would take this machine minutes, what the networks need is told instead (`jobs.needs`). Nothing is guessed: the estimate
says what it rests on. This module stores nothing, and fetches nothing.
"""

import time
from dataclasses import dataclass, replace

import torch

from cluster.hands import local_hands
from cluster.run import Crew
from jobs.laws import identity_spec, renderer, variety
from jobs.needs import Needs, cpu_pace, needs
from jobs.plan import Plan, make_plan
from jobs.preflight import check_device, check_files, cpu_threads, smallest_gpu_bytes
from jobs.recipe import Recipe, resolve_recipe
from jobs.wording import duration
from samplers.errors import RecipeError
from samplers.identities import draw_identities
from samplers.prior import check_dimension
from samplers.separation import Outlook, look_ahead
from samplers.wanted import Wanted, refuse_impossible
from synth.anchors import Anchors
from synth.backend import prepare
from synth.cost import cpu_rate
from synth.files import at_hand
from synth.jpeg import encode_jpeg
from synth.renderer import checked_portraits
from synth.section import InputFile, Section, named_files
from synth.tar import BLOCK
from synth.views import attempt_index, draw_views

_TRIAL_BATCHES = 2
_TRIAL_PEOPLE = 8
_TRIAL_CANDIDATES = 8192
_TRIAL_PATIENCE_S = 60.0
#: Beside the JPEG, a sample has three headers, a label and a JSON of about two blocks.
_OVERHEAD_BYTES = 6 * BLOCK


@dataclass(frozen=True)
class Trial:
    """What was measured of pictures made here."""

    pictures: int
    pictures_per_s: float  # of one worker on this machine, redraws not counted
    bytes_per_picture: float  # in the tar

    def seconds(self, pictures: int, workers: int) -> float:
        """How long so many pictures take so many workers like this machine's."""
        return pictures / (self.pictures_per_s * max(workers, 1))


@dataclass(frozen=True)
class People:
    """What is foreseen of identities and their views."""

    anchors: Anchors  # the first few
    outlook: Outlook  # of the search
    view_cosine: float  # expected, of a view's vector to its person's


@dataclass(frozen=True)
class Estimate:
    """What is known of a build before it begins."""

    people: People | None  # None where files that describe them are elsewhere
    needs: Needs | None  # of a renderer with networks
    trial: Trial | None
    untried: str  # why there was no trial, in words
    on_cpu: str  # how long the networks would take this machine's CPU, in words, where nothing was tried


@dataclass(frozen=True)
class Outline:
    """The plan of a recipe whose files may lie elsewhere."""

    plan: Plan
    absent: tuple[str, ...]  # files that are not on this machine
    named: bool  # whether the plan's hash is known, for which absent files need their sha256 in the recipe


def outline(recipe: Recipe) -> Outline:
    """The plan, without fetching anything. Raises as `resolve_recipe` does for the files that are here."""
    absent = _absent(recipe)
    named = all(file.sha256 is not None for file in absent)
    plan = make_plan(resolve_recipe(recipe) if named else recipe)
    return Outline(plan, tuple(file.url for file in absent), named)


def _absent(section: Section) -> list[InputFile]:
    return [file for file in named_files(section) if not at_hand(file.url)]


def estimate(outlined: Outline, crew: Crew) -> Estimate:
    """Foresee the search for identities, and render a few pictures, where that can be done here."""
    recipe = outlined.plan.recipe
    wanted = needs(recipe)
    untried = _obstacle(outlined, wanted, crew)
    people = None if _absent(recipe.identities) or _absent(recipe.variations) else _people(recipe)
    if people is not None and not untried:
        prepare(recipe.backend)
        return Estimate(people, wanted, _trial(recipe, people.anchors), "", "")
    on_cpu = ""
    if wanted is not None:
        threads = cpu_threads(recipe, crew)
        on_cpu = cpu_pace(wanted, len(outlined.plan.pictures), cpu_rate(threads), threads)
    return Estimate(people, wanted, None, untried, on_cpu)


def _people(recipe: Recipe) -> People:
    """Look at the first candidates, and at the first people among them."""
    spec = identity_spec(recipe)
    check_dimension(spec.prior, spec.dimension)
    refuse_impossible(spec.wanted, spec.dimension)
    limits = spec.wanted if spec.packing is None else replace(spec.wanted, max_cosine=1.0)
    outlook = look_ahead(spec.prior, spec.seed, spec.dimension, limits, local_hands(), _TRIAL_CANDIDATES)
    few = Wanted(min(_TRIAL_PEOPLE, recipe.identities.count), max_cosine=1.0)
    anchors = Anchors.of(draw_identities(replace(spec, wanted=few, packing=None), local_hands()))
    cosine = spec.variation.expected_cosine(anchors.nearest_cosine, anchors.norm, spec.dimension)
    return People(anchors, outlook, float(cosine.mean()))


def _obstacle(outlined: Outline, wanted: Needs | None, crew: Crew) -> str:
    """Why pictures cannot be tried here, in words; empty where they can.

    Raises what `jobs.preflight` refuses of files that are here, and of a device where nothing else could be told.
    """
    recipe = outlined.plan.recipe
    if outlined.absent:
        return f"{', '.join(outlined.absent)}: not on this machine"
    check_files(recipe, recipe.used_encoders)
    if recipe.backend.device == "cuda":
        if wanted is None:
            check_device(recipe, crew)
        elif smallest_gpu_bytes() is None:
            return "this machine shows no CUDA device"
        else:
            try:
                check_device(recipe, crew)
            except RecipeError as refusal:
                return str(refusal)
    elif wanted is not None:
        pictures = (_TRIAL_BATCHES + 1) * recipe.backend.micro_batch
        needed = pictures * wanted.cost.flops_per_picture / cpu_rate(recipe.backend.threads)
        if needed > _TRIAL_PATIENCE_S:
            return f"{pictures} pictures would take this CPU {duration(needed)}"
    return ""


def _trial(recipe: Recipe, anchors: Anchors) -> Trial:
    """Render a few of the plan's pictures here, and measure; the first batch warms up and is not counted."""
    drawing, differ, people = renderer(recipe), variety(recipe), len(anchors.vectors)
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
    return Trial(trial, trial / seconds, stored / trial + _OVERHEAD_BYTES)
