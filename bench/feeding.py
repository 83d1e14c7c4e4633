"""Feeding a training: pictures/s of the material's loader over a plain loop, and how long a training step would wait.

The plain loop reads and decodes the same pictures in the same order, one at a time, from open files. Steps are played
by sleeping, as if a GPU computed.
"""

import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import simplejpeg
from rich.console import Console

from bench.measure import Measurement, paired_ratio, seconds
from cluster.run import Crew
from jobs.build import build
from jobs.progress import ProgressWatch
from jobs.recipe import load_recipe
from synth.training.material import Material, Order, batches, open_material

_BATCH, _STEPS = 128, 60
_STEP_S = 0.1  # 1,280 pictures/s


def _dataset(folder: str) -> Material:
    """A barcode dataset at 112 px: as many bytes as faces, in seconds."""
    overrides = {"identities.count": 400, "renderer.size": 112, "checks.list": []}
    with ProgressWatch(Console(quiet=True)) as watch:
        build(load_recipe("barcode", overrides), folder, Crew(0), watch)
    return open_material([folder])


def _plain(material: Material, order: Order, folder: str) -> None:
    """The loop that one would write without us."""
    table, shards = material.parts[0].table, material.parts[0].manifest.shards
    with ExitStack() as opened:
        files = [opened.enter_context(Path(folder, shard.name).open("rb")) for shard in shards]
        for step in range(_STEPS):
            for row in order.rows(step).tolist():
                file = files[int(table.shard[row])]
                file.seek(int(table.offset[row]))
                simplejpeg.decode_jpeg(file.read(int(table.size[row])))


def _fed(material: Material, order: Order, loaders: int) -> None:
    assert sum(len(batch.row) for batch in batches(material, order, 0, _STEPS, loaders)) == _STEPS * _BATCH


def _stall(material: Material, order: Order, loaders: int) -> float:
    """The share of a training's time in which it waits for pictures, its first step left out."""
    feed = batches(material, order, 0, _STEPS, loaders)
    next(feed)
    waited = 0.0
    for _ in range(_STEPS - 1):
        time.sleep(_STEP_S)
        start = time.perf_counter()
        next(feed)
        waited += time.perf_counter() - start
    return waited / (waited + (_STEPS - 1) * _STEP_S)


def measure() -> list[Measurement]:
    """For 0, 1 and 2 loader processes: rate, ratio to the plain loop, and the share of time that steps wait."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        material = _dataset(folder)
        order = Order(1, len(material), _BATCH)
        for loaders in (0, 1, 2):
            which, fed = f"{loaders} loader processes", partial(_fed, material, order, loaders)
            ratio = paired_ratio(partial(_plain, material, order, folder), fed, 3)
            rate = _STEPS * _BATCH / seconds(fed)
            stall = _stall(material, order, loaders)
            note = f"steps of {_STEP_S:g} s for {_BATCH} pictures"
            found += [
                Measurement(f"feeding a training, {which}", rate, "pictures/s", note="start of processes included"),
                Measurement(f"feeding over a plain loop, {which}", ratio, "x"),
                Measurement(f"waiting for pictures, {which}", stall, "of the time", note=note),
            ]
    return found
