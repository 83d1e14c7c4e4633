"""Packing at size: 50,000 vectors for a quarter of an hour."""

import time

from bench.measure import Measurement
from bench.packing import largest_cosine
from bench.vectors import DIMENSION, Memory, apart, directions
from cluster.hands import local_hands
from samplers.packing import PackingLaw, pack, packed, start_packing

_COUNT = 50_000
_SECONDS = 900.0


def _run() -> dict[str, float]:
    vectors = directions(_COUNT)
    found = {"random": largest_cosine(vectors)}
    began, state = time.perf_counter(), start_packing(vectors)
    for moved in pack(state, PackingLaw(100_000), local_hands()):
        state = moved
        if time.perf_counter() - began >= _SECONDS:
            break
    seconds = time.perf_counter() - began
    found |= {"seconds": seconds, "steps": state.step, "memory_gb": Memory.whole_gb()}
    return {**found, "reached": largest_cosine(packed(state))}


def measure() -> list[Measurement]:
    """How far the largest cosine lies below that of the random start, and the memory of the whole process."""
    found = apart(_run)
    below = 1 - found["reached"] / found["random"]
    note = f"{found['random']:.4f} to {found['reached']:.4f}, {found['steps']:.0f} steps in {found['seconds']:.0f} s"
    what = f"packing {_COUNT} x {DIMENSION} for a quarter of an hour: largest cosine below random"
    return [
        Measurement(what, 100 * below, "%", 30.0, note=note, detail=found),
        Measurement("its memory, everything included", found["memory_gb"], "GB", 2.0, True),
    ]
