"""From noise to pictures in a few steps along straight paths, as pure tables.

Training mixes picture and noise by a straight line,

    x = (1 - t) * clean + t * noise        t: the share of noise, from 1 down to 0

and the network predicts `clean`. A step goes from one share to the next:

    next x = from_x * x + from_clean * clean + from_before * (clean of the step before)

diffusers' schedulers compute the same (`FlowMatchEulerDiscreteScheduler` for `euler`, `DPMSolverMultistepScheduler`
with flow sigmas for `dpm`), but carry state from step to step; tests hold both against them. This module does not know
the network, nor whose noise it is.

Sources: Liu et al., "Flow straight and fast", ICLR 2023, arXiv 2209.03003; Lu et al., "DPM-Solver++", arXiv 2211.01095,
algorithm 2; Kynkäänniemi et al., "Applying guidance in a limited interval", NeurIPS 2024, arXiv 2404.07724; Lin et al.,
"UIFace", ICLR 2025, arXiv 2502.19803, for telling the person late.

Shapes: B pictures of any shape (B, ...).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from synth.renderers.settings import FlowSampler

_MOST_NOISE: Final = 0.999  # as in diffusers' schedule of 1,000 times


@dataclass(frozen=True)
class Step:
    """One look of the network, and what its result does; see the module."""

    noise_share: float  # t, which the network is told
    from_x: float
    from_clean: float
    from_before: float
    knows_identity: bool  # whether the network is told the person
    guided: bool  # whether it also looks without any conditions, to be led away from that


def noise_shares(count: int, shift: float, begin: float = 1) -> list[float]:
    """t before each step, and the zero after the last: even for a shift of 1, more at the noisy end for larger ones.

    The first is `begin`; but all noise, 1, is nearly that.
    """
    first = _MOST_NOISE if begin == 1 else begin / (shift - (shift - 1) * begin)
    even = [first * (1 - i / count) for i in range(count + 1)]
    return [shift * t / (1 + (shift - 1) * t) for t in even]


def flow_steps(sampler: FlowSampler) -> list[Step]:
    """The steps of a sampler: `dpm` is of second order, but for the first and the last, which ends without noise."""
    shares = noise_shares(sampler.steps, sampler.shift, sampler.begin)
    alone = math.floor(sampler.late_identity * sampler.steps)
    low, high = sampler.guided
    steps = []
    for i in range(sampler.steps):
        keep = shares[i + 1] / shares[i]
        slope = 0.0
        if sampler.solver == "dpm" and 0 < i < sampler.steps - 1:
            slope = _log_ratio(shares[i], shares[i + 1]) / _log_ratio(shares[i - 1], shares[i]) / 2
        known = i >= alone
        guided = sampler.guidance != 1 and low <= shares[i] <= high
        steps.append(Step(shares[i], keep, (1 - keep) * (1 + slope), -(1 - keep) * slope, known, guided))
    return steps


def sample(steps: Sequence[Step], mixed: Tensor, predict: Callable[[Tensor, Step], Tensor]) -> Tensor:
    """Pictures, from mixtures float32 (B, ...) with the first step's share of noise, or nothing but noise.

    `predict` gives the pictures that it sees in a mixture.
    """
    x, before = mixed, mixed  # what was before counts for nothing in the first step
    for step in steps:
        clean = predict(x, step)
        x = step.from_x * x + step.from_clean * clean
        if step.from_before:
            x = x + step.from_before * before
        before = clean
    return x


def _log_ratio(here: float, after: float) -> float:
    """By how much the logarithm of signal over noise grows from one share of noise to the next."""
    return math.log((1 - after) / after) - math.log((1 - here) / here)
