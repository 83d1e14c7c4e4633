"""What the engine costs: pictures/s of a whole build over pictures/s of a bare loop that only renders the same views.

Both sides use the same cores and start from nothing: each process imports, builds its renderer and then works. The
bare loop draws its views beforehand; drawing, JPEG, packing, hashing, flushing, sealing and Ray's own start are the
engine's cost.
"""

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from rich.console import Console

from bench.measure import Measurement
from cluster.run import Crew
from jobs.build import build
from jobs.plan import make_plan, variety
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe, resolve_recipe
from synth.anchors import read_anchors
from synth.backend import prepare
from synth.renderer import Views, renderer_class
from synth.storage import open_storage
from synth.views import attempt_index, draw_views


def _recipe(identities: int) -> Recipe:
    return resolve_recipe(load_recipe("quickstart", {"identities.count": identities, "output.shard_size": 128}))


def _build_seconds(recipe: Recipe, folder: str, workers: int) -> float:
    start = time.perf_counter()
    with ProgressWatch(Console(quiet=True)) as watch:
        build(recipe, folder, Crew(workers), watch)
    return time.perf_counter() - start


def _views(recipe: Recipe, folder: str) -> list[Views]:
    """The micro-batches of a built dataset."""
    anchors, plan, size = read_anchors(open_storage(folder)), make_plan(recipe), recipe.backend.micro_batch
    places = plan.pictures.at(0, len(plan.pictures))
    return [
        draw_views(variety(recipe), anchors, attempt_index(places[i : i + size], 0))
        for i in range(0, len(places), size)
    ]


def _render(recipe: Recipe, views: list[Views]) -> int:
    """The bare loop."""
    prepare(recipe.backend)
    options = recipe.renderer.model_dump(exclude={"kind"})
    renderer = renderer_class(recipe.renderer.kind)(**options, device=recipe.backend.device)
    return sum(len(renderer.render(batch)) for batch in views)


def _bare_seconds(recipe: Recipe, views: list[Views], workers: int) -> float:
    """The bare loop in fresh processes, or in this one for no workers."""
    start = time.perf_counter()
    if workers == 0:
        _render(recipe, views)
    else:
        parts = [views[worker::workers] for worker in range(workers)]
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            assert sum(pool.map(_render, [recipe] * workers, parts)) == sum(map(len, views))
    return time.perf_counter() - start


def _ratio(identities: int, workers: int) -> tuple[float, float, int]:
    """The bare loop's seconds over the build's, the build's pictures/s, and the number of pictures."""
    recipe = _recipe(identities)
    with tempfile.TemporaryDirectory() as folder:
        built = _build_seconds(recipe, folder, workers)
        views = _views(recipe, folder)
    pictures = sum(map(len, views))
    return _bare_seconds(recipe, views, workers) / built, pictures / built, pictures


def measure() -> list[Measurement]:
    """The engine's ratio in one process, and with two Ray workers, Ray's start included."""
    threads = torch.get_num_threads()
    _ratio(8, 0)  # warms up: imports, compiled kernels
    alone, alone_rate, alone_pictures = _ratio(64, 0)
    crew, crew_rate, crew_pictures = _ratio(512, 2)
    torch.set_num_threads(threads)
    return [
        Measurement(
            "engine over bare rendering, one process", alone, "x", 0.9, note=f"{alone_pictures} pictures, head, 112 px"
        ),
        Measurement("a whole build, one process", alone_rate, "pictures/s"),
        Measurement(
            "engine over bare rendering, two Ray workers",
            crew,
            "x",
            0.9,
            note=f"{crew_pictures} pictures, Ray's start included",
        ),
        Measurement("a whole build, two Ray workers", crew_rate, "pictures/s"),
    ]
