"""Fitting a PCA prior, and what is refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.pca import class_means, find_flaw, fit_pca_gaussian, summarise
from samplers.priors import PcaGaussian

SEEDS = st.integers(0, 2**31)


def features(seed: int, count: int, dimension: int) -> Tensor:
    """Correlated features, each column on its own scale, away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dimension, dimension, generator=generator) * torch.logspace(0, -1, dimension)
    return torch.randn(count, dimension, generator=generator) @ mix + torch.randn(dimension, generator=generator)


def covariance(prior: PcaGaussian) -> Tensor:
    loadings = prior.deviations[:, None].double() * prior.components.double()
    return loadings.T @ loadings


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(2, 30), st.integers(1, 20))
def test_all_components_together_are_the_covariance_of_the_centres(seed: int, count: int, dimension: int) -> None:
    centres = features(seed, count, dimension)
    prior = fit_pca_gaussian(centres)
    assert len(prior.components) == min(count - 1, dimension)
    expected = centres.double().T.cov().view(dimension, dimension)
    assert torch.allclose(covariance(prior), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert torch.allclose(prior.mean, centres.double().mean(0).float())


def test_components_come_by_falling_variance_orthonormal_with_their_largest_entry_positive() -> None:
    centres = features(1, 200, 12)
    prior, first = fit_pca_gaussian(centres), fit_pca_gaussian(centres, components=5)
    assert bool((prior.deviations[1:] <= prior.deviations[:-1]).all())
    assert torch.allclose(prior.components @ prior.components.T, torch.eye(12), atol=1e-6)
    assert bool((prior.components.amax(1) == prior.components.abs().amax(1)).all())
    assert torch.equal(first.components, prior.components[:5])
    assert torch.equal(first.deviations, prior.deviations[:5])
    turned = fit_pca_gaussian(2 * prior.mean - centres)
    assert torch.allclose(turned.components, prior.components, atol=1e-4)


def test_what_is_drawn_from_a_fit_has_the_law_that_was_fitted() -> None:
    axes = torch.linalg.qr(torch.randn(10, 3, generator=torch.Generator().manual_seed(4))).Q.T
    law = PcaGaussian(torch.full((10,), 2.0), axes, torch.tensor([3.0, 1.5, 0.5]))
    count = 10_000
    drawn = law.draw(1, torch.arange(count), 10)
    again = fit_pca_gaussian(drawn.vectors * drawn.norm[:, None], components=3)
    error = 5 / math.sqrt(2 * count)
    assert torch.allclose(again.deviations, law.deviations, rtol=error)
    assert bool(((again.components @ law.components.T).abs().diagonal() > 1 - error).all())
    assert bool(((again.mean - law.mean).abs() < 5 * law.deviations.norm() / math.sqrt(count)).all())


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.lists(st.integers(-5, 5), min_size=1, max_size=40))
def test_class_means_are_those_of_raw_features_in_the_order_of_labels(seed: int, labels: list[int]) -> None:
    rows, numbers = features(seed, len(labels), 6), torch.tensor(labels)
    means = class_means(rows, numbers)
    assert means.dtype == torch.float32
    for mean, label in zip(means, sorted(set(labels)), strict=True):
        assert torch.allclose(mean, rows[numbers == label].double().mean(0).float())


def test_class_means_need_a_label_for_each_feature() -> None:
    for labels in (torch.arange(3), torch.arange(0)):
        with pytest.raises(ValueError, match=r"^2 features and . labels give no means$"):
            class_means(torch.ones(2, 4), labels)


def test_the_summary_counts_the_dimensions_that_are_filled() -> None:
    flat = summarise(PcaGaussian(torch.zeros(20), torch.eye(20), torch.full((20,), 0.5)))
    assert flat.participation_ratio == pytest.approx(20)
    assert (flat.dimensions_90, flat.dimensions_99) == (18, 20)
    steep = summarise(PcaGaussian(torch.zeros(3), torch.eye(3), torch.tensor([0.905, 0.09, 0.005]).sqrt()))
    assert steep.participation_ratio == pytest.approx(1 / (0.905**2 + 0.09**2 + 0.005**2), rel=1e-5)
    assert (steep.dimensions_90, steep.dimensions_99) == (1, 2)


@pytest.mark.parametrize("mean", [0.0, 0.3, 5.0])
def test_the_summary_foresees_the_length_of_features(mean: float) -> None:
    prior = PcaGaussian(torch.full((40,), mean), torch.eye(40)[:30], torch.linspace(0.2, 2, 30))
    norm = prior.draw(1, torch.arange(5000), 40).norm.double()
    expected = summarise(prior).mean_norm
    assert abs(float(norm.mean()) - expected) < 5 * float(norm.std()) / math.sqrt(5000) + 2e-3 * expected


def spoilt(row: int, value: float) -> Tensor:
    rows = features(1, 8, 4)
    rows[row] = value
    return rows


def repeated(*pairs: tuple[int, int]) -> Tensor:
    rows = features(1, 8, 4)
    for one, other in pairs:
        rows[other] = rows[one]
    return rows


@pytest.mark.parametrize(
    ("rows", "flaw"),
    [
        (features(1, 8, 4), None),
        (torch.zeros(0, 4), None),
        (spoilt(3, math.nan), "row 3 holds NaN or infinity"),
        (spoilt(5, -math.inf), "row 5 holds NaN or infinity"),
        (spoilt(2, 0.0), "row 2 is all zeros"),
        (spoilt(2, -1e-20), "row 2 is all zeros"),
        (repeated((1, 6)), "rows 1 and 6 are the same"),
        (repeated((2, 7), (4, 5)), "rows 4 and 5 are the same"),
        (repeated((0, 3), (0, 6)), "rows 0 and 3 are the same"),
    ],
)
def test_the_first_flawed_row_is_named(rows: Tensor, flaw: str | None) -> None:
    assert find_flaw(rows) == flaw
    if flaw:
        with pytest.raises(ValueError, match=f"^these features give no PCA prior: {flaw}$"):
            fit_pca_gaussian(rows)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(1, 2), min_size=3, max_size=3), min_size=2, max_size=9))
def test_equal_rows_are_found_as_brute_force_finds_them(rows: list[list[int]]) -> None:
    pairs = [(rows.index(row), number) for number, row in enumerate(rows) if row in rows[:number]]
    expected = f"rows {pairs[0][0]} and {pairs[0][1]} are the same" if pairs else None
    assert find_flaw(torch.tensor(rows).float()) == expected


@pytest.mark.parametrize("components", [0, -1, 8])
def test_components_that_cannot_be_are_refused(components: int) -> None:
    with pytest.raises(ValueError, match=rf"^8 features of 20 numbers have 1 to 7 components, not {components}$"):
        fit_pca_gaussian(features(1, 8, 20), components)


def test_one_feature_is_too_few() -> None:
    with pytest.raises(ValueError, match=r"^a PCA prior needs at least two features, not 1$"):
        fit_pca_gaussian(torch.ones(1, 4))
