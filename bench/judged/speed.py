"""Speed of our own renderers: rendering alone, without JPEG, checks or storage."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import torch

from bench.judged.setup import Judging, Own
from bench.measure import Measurement
from cluster.hands import local_hands
from jobs.laws import identity_spec, renderer, variety
from jobs.recipe import Recipe
from samplers.identities import draw_identities
from synth.anchors import Anchors
from synth.backend import prepare
from synth.views import attempt_index, draw_views

_GPU_BATCH = 256


def speed(setup: Judging, own: Own) -> Iterator[Measurement]:
    """Pictures/s of the renderer alone: two processes of one thread, and a GPU where there is one."""
    recipe = own.load(backend__device="cpu", backend__threads=1)
    rate = rendering_rate(recipe, setup.processes, setup.seconds)
    note = f"{setup.processes} processes of one thread, {recipe.backend.dtype}"
    yield Measurement(f"{own.recipe}: pictures/s, two cores", rate, "pictures/s", own.on_two_cores, note=note)
    if torch.cuda.is_available():
        backend = {"device": "cuda", "threads": 1, "micro_batch": _GPU_BATCH, "dtype": "bfloat16"}
        rate = rendering_rate(own.load(backend=backend), 1, setup.seconds)
        note = f"{torch.cuda.get_device_name()}, bfloat16"
        yield Measurement(f"{own.recipe}: pictures/s, GPU", rate, "pictures/s", own.on_gpu, note=note)


def rendering_rate(recipe: Recipe, processes: int, seconds: float) -> float:
    """Pictures/s of some processes that render the recipe's micro-batches side by side, started together."""
    if processes == 0:
        return _rate(recipe, 0, seconds, lambda: 0)
    context = get_context("spawn")
    start = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _keep, (start,)) as pool:
        parts = [pool.submit(_rate_beside_others, recipe, number, seconds) for number in range(processes)]
        return sum(part.result() for part in parts)


_START: list[Barrier] = []  # of a process that renders beside others
_LONGEST_OPENING_S = 600.0


def _keep(start: Barrier) -> None:
    _START.append(start)


def _rate_beside_others(recipe: Recipe, number: int, seconds: float) -> float:
    return _rate(recipe, number, seconds, lambda: _START[0].wait(_LONGEST_OPENING_S))


def _rate(recipe: Recipe, number: int, seconds: float, wait: Callable[[], int]) -> float:
    """One process's pictures/s."""
    prepare(recipe.backend)
    size = recipe.backend.micro_batch
    few = recipe.model_copy(update={"identities": recipe.identities.model_copy(update={"count": size})})
    anchors, differ = Anchors.of(draw_identities(identity_spec(few), local_hands())), variety(recipe)
    drawing = renderer(recipe)

    def render(turn: int) -> None:
        person = torch.arange(size)
        places = torch.stack((person, torch.full_like(person, turn % differ.views)), 1)
        drawing.render(draw_views(differ, anchors, attempt_index(places, number))).cpu()  # waits for a GPU

    render(0)
    prepare(recipe.backend)  # the search for people had threads of its own
    wait()
    began, turn = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        turn += 1
        render(turn)
    return turn * size / (time.perf_counter() - began)
