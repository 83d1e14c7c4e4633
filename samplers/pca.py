"""Fitting a PCA prior to the features of people, and saying how many dimensions they fill.

The way of Vec2Face (arXiv 2409.02979) and Arc2Face before it: one centre per person, the mean of their raw features
with lengths kept; principal components of the centres; a normal law along them. This module does not know which network
made the features, nor where they are stored.

Shapes: n rows, C people, D dimensions, K components.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samplers.priors import MAX_TERMS, PcaGaussian
from samplers.sphere import inner

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class PcaSummary:
    """How a PCA prior's variance is spread, in units of the features."""

    participation_ratio: float  # (sum of variances)^2 / sum of their squares: K if all are alike, 1 if one is alone
    dimensions_90: int  # components that hold 90 % of the variance
    dimensions_99: int
    mean_norm: float  # expected length of a feature


#: Numbers that no network gives, and whose squares float32 cannot hold.
_LARGEST = 1e15


def find_flaw(features: Tensor) -> str | None:
    """What makes features (n, D) unfit to stand for people, naming the first such row from 0; None if nothing does.

    NaN or infinity, a row of zeros (all entries below 1e-12: it has no direction), two equal rows (a person twice;
    compared byte by byte).
    """
    if not features.numel():
        return None
    for bad, words in (
        (~features.isfinite().all(1), "holds NaN or infinity"),
        (features.abs().amax(1) < 1e-12, "is all zeros"),
        (features.abs().amax(1) > _LARGEST, f"holds a number beyond {_LARGEST:g}"),
    ):
        if bool(bad.any()):
            return f"row {int(bad.nonzero()[0, 0])} {words}"
    pair = _first_equal_pair(features)
    return f"rows {pair[0]} and {pair[1]} are the same" if pair else None


def _first_equal_pair(features: Tensor) -> tuple[int, int] | None:
    """Of the rows that repeat an earlier one, the first, after the one it repeats."""
    values = np.ascontiguousarray(features.numpy())
    rows = values.view(np.dtype((np.void, values.itemsize * values.shape[1])))[:, 0]
    order = np.argsort(rows, kind="stable")
    starts = range(0, len(rows) - 1, _ROWS_AT_ONCE)
    after = [order[start + 1 : start + 1 + _ROWS_AT_ONCE] for start in starts]
    pairs = [rows[late] == rows[order[start : start + len(late)]] for start, late in zip(starts, after, strict=True)]
    equal = np.concatenate(pairs or [np.zeros(0, bool)]).nonzero()[0]
    if not len(equal):
        return None
    first = equal[order[1:][equal].argmin()]
    return int(order[first]), int(order[first + 1])


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """The mean raw feature of each label, in the order of the labels: float32 (C, D), added up in float64.

    `features` is (n, D), `labels` int64 (n,). Raises ValueError where they do not match or are empty.
    """
    if len(features) != len(labels) or not len(labels):
        raise ValueError(f"{len(features)} features and {len(labels)} labels give no means")
    _, place, count = map(torch.from_numpy, np.unique(labels.numpy(), return_inverse=True, return_counts=True))
    total = torch.zeros(len(count), features.shape[1], dtype=torch.float64)
    for first in range(0, len(features), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        total.index_add_(0, place[rows], features[rows].double())
    means: Tensor = total / count[:, None]
    return means.float()


def fit_pca_gaussian(centres: Tensor, components: int | None = None) -> PcaGaussian:
    """The normal law of the centres (n, D) along their first principal components, by falling variance.

    In float64, kept as float32. Deviations are those of a sample (divided by n - 1); the largest entry of each
    component is positive. Default: all components there are, min(n - 1, D). The last bits depend on the processor, so
    what is fitted is stored (`synth.embeddings.write_prior`), and a recipe names the file.
    Raises ValueError for fewer than two rows, a flaw (`find_flaw`), or a number of components that cannot be.
    """
    count, dimension = centres.shape
    if count < 2:
        raise ValueError(f"a PCA prior needs at least two features, not {count}")
    flaw = find_flaw(centres)
    if flaw:
        raise ValueError(f"these features give no PCA prior: {flaw}")
    most = min(count - 1, dimension, MAX_TERMS - 1)
    rank = most if components is None else components
    if not 1 <= rank <= most:
        raise ValueError(f"{count} features of {dimension} numbers have 1 to {most} components, not {rank}")
    mean = centres.double().mean(0)
    away = centres.double() - mean
    variances, axes = torch.linalg.eigh(away.T @ away / (count - 1))  # rising, (D,) and columns (D, D)
    rows = axes.flip(1).T[:rank]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    deviations = variances.flip(0)[:rank].clamp(min=0).sqrt()
    return PcaGaussian(mean.float(), (rows * largest.sign()).float(), deviations.float())


def summarise(prior: PcaGaussian) -> PcaSummary:
    """How many dimensions a prior fills. The expected length is to second order, off by much less than 1 %."""
    variances = prior.deviations.double() ** 2
    total = float(variances.sum())
    shares = variances.sort(descending=True).values / total
    within = shares.cumsum(0)
    along = inner(prior.components, prior.mean[None]) ** 2  # (K,), the mean's square along each component
    square = float(inner(prior.mean, prior.mean)) + total  # expected square of the length
    spread = float((2 * variances**2 + 4 * variances * along).sum())  # and its variance
    return PcaSummary(
        participation_ratio=1 / float((shares**2).sum()),
        dimensions_90=int((within < 0.9).sum()) + 1,
        dimensions_99=int((within < 0.99).sum()) + 1,
        mean_norm=square**0.5 * (1 - spread / (8 * square**2)),
    )
