"""What the engine costs: pictures/s of a whole build over pictures/s of a bare loop that only renders the same views.

Both sides use the same cores. The bare loop's clock runs from building the renderer to its last picture, its views
drawn beforehand; starting processes and Ray, drawing views, landmarks, JPEG, packing, hashing, flushing and sealing are
the engine's cost.
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
from jobs.laws import renderer, variety
from jobs.plan import make_plan
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe, resolve_recipe
from synth.anchors import read_anchors
from synth.backend import prepare
from synth.storage import open_storage
from synth.views import attempt_index, draw_views


def _recipe(identities: int) -> Recipe:
    return resolve_recipe(load_recipe("quickstart", {"identities.count": identities, "output.shard_size": 128}))


def _build_seconds(recipe: Recipe, folder: str, workers: int) -> float:
    start = time.perf_counter()
    with ProgressWatch(Console(quiet=True)) as watch:
        build(recipe, folder, Crew(workers), watch)
    return time.perf_counter() - start


def _bare_seconds(recipe: Recipe, folder: str, worker: int, workers: int) -> float:
    """The bare loop over every `workers`-th micro-batch of a built dataset, and how long it takes."""
    prepare(recipe.backend)
    anchors, plan, size = read_anchors(open_storage(folder)), make_plan(recipe), recipe.backend.micro_batch
    places = plan.pictures.at(0, len(plan.pictures))
    batches = [places[first : first + size] for first in range(worker * size, len(places), workers * size)]
    views = [draw_views(variety(recipe), anchors, attempt_index(batch, 0)) for batch in batches]
    start = time.perf_counter()
    drawing = renderer(recipe)
    for batch in views:
        drawing.render(batch)
    return time.perf_counter() - start


def _bare_crew_seconds(recipe: Recipe, folder: str, workers: int) -> float:
    """The bare loop in as many fresh processes, side by side; in this one for no workers."""
    if workers == 0:
        return _bare_seconds(recipe, folder, 0, 1)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        parts = [pool.submit(_bare_seconds, recipe, folder, worker, workers) for worker in range(workers)]
        return max(part.result() for part in parts)


def _ratio(identities: int, workers: int) -> tuple[float, float, int]:
    """The bare loop's seconds over the build's, the build's pictures/s, and the number of pictures."""
    recipe = _recipe(identities)
    with tempfile.TemporaryDirectory() as folder:
        built = _build_seconds(recipe, folder, workers)
        bare = _bare_crew_seconds(recipe, folder, workers)
    pictures = recipe.identities.count * recipe.variations.views
    return bare / built, pictures / built, pictures


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
