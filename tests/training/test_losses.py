"""Losses held against their formulas in float64, where they have one, and against what they promise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from torch import Tensor
from torch.nn import functional

from synth.training.losses import differences, margin_softmax, structural_likeness, texture_difference


def drawn(*shape: int, seed: int = 1) -> Tensor:
    """Uniform numbers in [-1, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def plain_margin_softmax(cosines: np.ndarray, labels: list[int], scale: float, margin: float) -> float:
    """ArcFace's equation 3, picture by picture."""
    losses = []
    for row, label in zip(cosines, labels, strict=True):
        logits = scale * row
        logits[label] = scale * math.cos(math.acos(row[label]) + margin)
        losses.append(math.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])
    return float(np.mean(losses))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(1, 64), st.floats(0, 1))
def test_the_margin_softmax_is_arcfaces(seed: int, scale: float, margin: float) -> None:
    cosines = drawn(6, 9, seed=seed) * 0.5  # far from where the angle passes pi
    labels = [seed % 9, 1, 2, 3, 4, 8]
    found = margin_softmax(cosines.double(), torch.tensor(labels), scale, margin)
    assert float(found) == pytest.approx(plain_margin_softmax(cosines.double().numpy(), labels, scale, margin))


def test_without_a_margin_it_is_cross_entropy() -> None:
    cosines, labels = drawn(8, 5), torch.arange(8) % 5
    found = margin_softmax(cosines, labels, 32, 0)
    torch.testing.assert_close(found, functional.cross_entropy(cosines * 32, labels))


@pytest.mark.parametrize("margin", [0.1, 0.35, 0.5, 1.2])
def test_the_loss_falls_with_the_angle_everywhere(margin: float) -> None:
    """Also where the enlarged angle would pass pi."""
    right = torch.linspace(-0.9999, 0.9999, 4001, dtype=torch.float64)
    losses = [
        float(margin_softmax(torch.stack((each, each * 0))[None], torch.tensor([0]), 8, margin)) for each in right
    ]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == len(losses)


def test_gradients_are_finite_where_a_cosine_is_one() -> None:
    cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(margin_softmax(cosines, torch.tensor([0, 0]), 32, 0.3), cosines)
    assert bool(gradient.isfinite().all())


def plain_likeness(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of Wang et al. with a range of 2, in uniform windows of 7 x 7, every second of those that lie inside."""

    def mean(x: np.ndarray) -> np.ndarray:
        inner: np.ndarray = uniform_filter(x, (1, 1, 7, 7))[:, :, 3:-3:2, 3:-3:2]
        return inner

    steady_mean, steady_spread = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    a, b = mean(first), mean(second)
    aa, bb, ab = mean(first**2) - a**2, mean(second**2) - b**2, mean(first * second) - a * b
    above = (2 * a * b + steady_mean) * (2 * ab + steady_spread)
    return float((above / ((a**2 + b**2 + steady_mean) * (aa + bb + steady_spread))).mean())


def test_structural_likeness_is_ssim() -> None:
    first = drawn(2, 3, 20, 24).double()
    for second in (first, -first, drawn(2, 3, 20, 24, seed=2).double(), first * 0.5 + 0.2, first * 0):
        found = float(structural_likeness(first, second))
        assert found == pytest.approx(plain_likeness(first.numpy(), second.numpy()), abs=1e-9)
        assert found == pytest.approx(float(structural_likeness(second, first)), abs=1e-12)
    assert float(structural_likeness(first, first)) == pytest.approx(1)


def test_differences_are_means_over_scales() -> None:
    first, weight = drawn(2, 3, 16, 16), torch.ones(16, 16)
    assert float(differences(first, first, weight)) == 0
    assert float(differences(first, first + 0.25, weight)) == pytest.approx(0.25, abs=1e-6)
    chequered = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 0.2 - 0.1  # nothing of it is left at half the size
    assert float(differences(first, first + chequered, weight)) == pytest.approx(0.1 / 3, abs=1e-6)
    assert float(differences(first, first + 0.25, 3 * weight, scales=1)) == pytest.approx(0.75, abs=1e-6)


def test_texture_is_compared_whatever_its_phase() -> None:
    rough, other, smooth = drawn(4, 3, 64, 64), drawn(4, 3, 64, 64, seed=2), torch.zeros(4, 3, 64, 64)
    assert float(texture_difference(rough, rough)) == 0
    assert float(texture_difference(rough, -rough)) == pytest.approx(0, abs=1e-6)
    assert float(texture_difference(rough, rough + 0.5)) == pytest.approx(0, abs=1e-5)
    assert float(texture_difference(rough, other)) < 0.2 * float(texture_difference(rough, smooth))
