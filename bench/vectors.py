"""Vectors to measure with, and where a measurement's memory is taken. This module measures no speed."""

import multiprocessing
import resource
from collections.abc import Callable
from typing import Any

import psutil
import torch
from torch import Tensor

from samplers.priors import PcaGaussian, UniformPrior

DIMENSION = 512
_BLOCK = 4096


def directions(count: int, dimension: int = DIMENSION) -> Tensor:
    """Uniformly drawn unit vectors (count, dimension), made block by block: nothing larger is ever in memory."""
    vectors = torch.empty(count, dimension)
    for first in range(0, count, _BLOCK):
        numbers = torch.arange(first, min(first + _BLOCK, count))
        vectors[first : first + _BLOCK] = UniformPrior().draw(1, numbers, dimension).vectors
    return vectors


def pca_prior(participation_ratio: float, dimension: int = DIMENSION) -> PcaGaussian:
    """A PCA-Gaussian whose variances fall off geometrically, as fast as gives this participation ratio."""
    rank = torch.arange(dimension, dtype=torch.float64)
    slow, fast = 1e-6, 1.0
    for _ in range(100):
        fall = (slow * fast) ** 0.5
        variance = torch.exp(-fall * rank)
        ratio = float(variance.sum() ** 2 / (variance**2).sum())
        slow, fast = (fall, fast) if ratio > participation_ratio else (slow, fall)
    noise = torch.randn(dimension, dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    components = torch.linalg.qr(noise)[0].float()
    return PcaGaussian(torch.zeros(dimension), components, (variance * dimension / variance.sum()).sqrt().float())


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """A function's result, from a process of its own: its memory is not that of the measurements before it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


class Memory:
    """How far this process's memory rises above where it stands now."""

    def __init__(self) -> None:
        self._before: int = psutil.Process().memory_info().rss

    @staticmethod
    def whole_gb() -> float:
        """The highest resident memory since the process began, in GB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    def peak_gb(self) -> float:
        """The highest resident memory since the process began, above the mark, in GB (10^9 bytes)."""
        return self.whole_gb() - self._before / 1e9
