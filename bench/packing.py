"""Packing: the largest cosine that is reached in the time of 120 full-Gram steps, ours against plain Adam."""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bench.measure import Measurement
from bench.vectors import DIMENSION, apart, directions
from cluster.hands import cores, local_hands
from samplers.bounds import levenshtein_bound, welch_bound
from samplers.packing import PackingLaw, pack, packed, start_packing
from samplers.pairs import compare_all

_COUNT = 4096
_STEPS = 120
_SHARPNESS = 200.0  # of the full-Gram step's soft maximum
_RATES = (0.1, 0.01, 0.003, 0.001)


def largest_cosine(vectors: Tensor) -> float:
    """The exact largest cosine of unit vectors."""
    return float(compare_all(vectors, local_hands(), histogram=False).cosine.max())


def full_gram_seconds(vectors: Tensor) -> float:
    """How long 120 plain steps take: whole Gram matrix, soft maximum, whole gradient, projection (median of five)."""
    torch.set_num_threads(cores())
    times = []
    for _ in range(6):
        start = time.perf_counter()
        gram = (vectors @ vectors.T).fill_diagonal_(-1.0)
        weight = ((gram - gram.max()) * _SHARPNESS).exp_()
        push = weight @ vectors
        normalize(vectors - 0.1 * (push - (push * vectors).sum(1, keepdim=True) * vectors), dim=1)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[2] * _STEPS


def _ours(start: Tensor, budget_s: float) -> tuple[float, int]:
    began, state = time.perf_counter(), start_packing(start)
    for moved in pack(state, PackingLaw(100_000), local_hands()):
        state = moved
        if time.perf_counter() - began >= budget_s:
            break
    return largest_cosine(packed(state)), state.step


def _adam(start: Tensor, budget_s: float, rate: float) -> tuple[float, int]:
    """Maximise each point's distance to its nearest by Adam (HyperFace's objective without its pull)."""
    torch.set_num_threads(cores())
    free = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([free], lr=rate)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < budget_s:
        points = normalize(free, dim=1)
        loss = (points @ points.T).fill_diagonal_(-1.0).amax(1).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        steps += 1
    return largest_cosine(normalize(free.detach(), dim=1)), steps


def _run() -> dict[str, float]:
    vectors = directions(_COUNT)
    found: dict[str, float] = {"random": largest_cosine(vectors), "budget_s": full_gram_seconds(vectors)}
    _ours(vectors, 1.0)  # compiles
    methods: dict[str, Callable[[], tuple[float, int]]] = {"ours": lambda: _ours(vectors, found["budget_s"])}
    for rate in _RATES:
        methods[f"adam_{rate:g}"] = lambda rate=rate: _adam(vectors, found["budget_s"], rate)  # type: ignore[misc]
    for name, method in methods.items():
        found[name], found[f"{name}_steps"] = method()
    return found


def measure() -> list[Measurement]:
    """4,096 vectors, all methods from the same start and in the same time."""
    found = apart(_run)
    adam = min(found[f"adam_{rate:g}"] for rate in _RATES)
    bounds = {"welch": welch_bound(_COUNT, DIMENSION), "levenshtein": levenshtein_bound(_COUNT, DIMENSION)}
    return [
        Measurement(
            f"packing {_COUNT} x {DIMENSION} in the time of {_STEPS} full-Gram steps: largest cosine",
            found["ours"],
            "",
            0.045,
            True,
            note=f"random {found['random']:.3f}; {found['ours_steps']} steps in {found['budget_s']:.0f} s",
            detail={**found, **bounds},
        ),
        Measurement("the same by plain Adam, the best of four rates", adam, "", note="HyperFace's objective, no pull"),
    ]
