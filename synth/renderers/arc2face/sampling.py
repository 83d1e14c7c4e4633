"""From noise to latents in a few steps: DPM-Solver++ (2M) or the steps of latent consistency models (LCM).

diffusers' schedulers compute the same, but carry state from step to step and draw LCM's noise for a whole batch. Here
a step is a few numbers, worked out beforehand, and noise is asked for by the step's number, so that a picture can have
its own; tests hold both against diffusers. This module does not know the network, nor whose noise it is.

    x = alpha * x0 + sigma * e        x: latents with noise, x0: without, e: noise of unit variance, which the network
                                      predicts
    next x = from_x * x + from_x0 * x0 + from_before * (x0 of the step before) + from_noise * noise

Sources: Lu et al., "DPM-Solver++", arXiv 2211.01095, algorithm 2; Luo et al., "Latent consistency models", arXiv
2310.04378; the schedule of noise and the choice of times are those of Stable Diffusion 1.5 and of diffusers.

Shapes: B pictures, latents float32 (B, C, H, W).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_TIMES: Final = 1000  # of training
_BETA_FIRST, _BETA_LAST = 0.00085, 0.012  # their roots grow evenly ("scaled_linear")
_LCM_TIMES: Final = 50  # that the consistency model was distilled from
_LCM_TIME_SCALE, _LCM_SIGMA_DATA = 10.0, 0.5


@dataclass(frozen=True)
class Step:
    """One evaluation of the network, and what its result does; see the module."""

    time: int  # what the network is told, in [0, 1000)
    alpha: float
    sigma: float
    from_x: float
    from_x0: float
    from_before: float
    from_noise: float


def dpm_steps(count: int) -> list[Step]:
    """DPM-Solver++ of the second order, multistep: the first step and the last, which ends without noise, of the first.

    Times are spread evenly from the last downwards, the end included ("linspace").
    """
    signal = _signal()
    times = [int(t) for t in np.linspace(0, _TIMES - 1, count + 1).round()[::-1][:-1]]
    alphas = [math.sqrt(signal[t]) for t in times] + [1.0]
    sigmas = [math.sqrt(1 - signal[t]) for t in times] + [0.0]
    steps = []
    for i, time in enumerate(times):
        if i == count - 1:
            steps.append(Step(time, alphas[i], sigmas[i], 0.0, 1.0, 0.0, 0.0))
            continue
        h = _log_snr(alphas[i + 1], sigmas[i + 1]) - _log_snr(alphas[i], sigmas[i])
        gain = -alphas[i + 1] * math.expm1(-h)
        slope = h / (_log_snr(alphas[i], sigmas[i]) - _log_snr(alphas[i - 1], sigmas[i - 1])) / 2 if i else 0.0
        from_x = sigmas[i + 1] / sigmas[i]
        steps.append(Step(time, alphas[i], sigmas[i], from_x, gain * (1 + slope), -gain * slope, 0.0))
    return steps


def lcm_steps(count: int) -> list[Step]:
    """Consistency steps: each goes all the way to x0, and each but the last takes some noise again."""
    signal = _signal()
    distilled = np.arange(1, _LCM_TIMES + 1)[::-1] * (_TIMES // _LCM_TIMES) - 1
    times = [int(distilled[int(i)]) for i in np.floor(np.linspace(0, _LCM_TIMES, count, endpoint=False))]
    steps = []
    for i, time in enumerate(times):
        scaled = time * _LCM_TIME_SCALE
        keep = _LCM_SIGMA_DATA**2 / (scaled**2 + _LCM_SIGMA_DATA**2)
        take = scaled / math.sqrt(scaled**2 + _LCM_SIGMA_DATA**2)
        after = float(signal[times[i + 1]]) if i + 1 < count else 1.0
        alpha, sigma = math.sqrt(signal[time]), math.sqrt(1 - signal[time])
        to, noise = math.sqrt(after), math.sqrt(1 - after)
        steps.append(Step(time, alpha, sigma, to * keep, to * take, 0.0, noise))
    return steps


def sample(
    steps: Sequence[Step], latents: Tensor, predict: Callable[[Tensor, int], Tensor], noise: Callable[[int], Tensor]
) -> Tensor:
    """Latents without noise, from latents that are nothing but noise.

    `predict` gives the noise, float32 (B, C, H, W), in latents at a time; `noise(i)` is what step i takes again, asked
    for only by steps that take any.
    """
    before = latents  # counts for nothing in the first step
    for i, step in enumerate(steps):
        clean = (latents - step.sigma * predict(latents, step.time)) / step.alpha
        latents = step.from_x * latents + step.from_x0 * clean
        if step.from_before:
            latents = latents + step.from_before * before
        if step.from_noise:
            latents = latents + step.from_noise * noise(i)
        before = clean
    return latents


def _signal() -> NDArray[np.float64]:
    """The share of variance that is no noise, at every time: float64 (1000,)."""
    betas = np.linspace(math.sqrt(_BETA_FIRST), math.sqrt(_BETA_LAST), _TIMES) ** 2
    signal: NDArray[np.float64] = np.cumprod(1 - betas, dtype=np.float64)
    return signal


def _log_snr(alpha: float, sigma: float) -> float:
    return math.log(alpha / sigma)
