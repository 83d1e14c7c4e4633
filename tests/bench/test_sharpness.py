"""Fine detail is what it is by hand, and blur takes it away."""

import math

import pytest
import torch

from bench.sharpness import fine_energy


def waves(cycles_per_pixel: float, side: int = 112, contrast: float = 100) -> torch.Tensor:
    """A grey picture of upright waves."""
    wave = 128 + contrast * (2 * math.pi * cycles_per_pixel * torch.arange(side)).sin()
    return wave.round().to(torch.uint8)[None, None, :, None].expand(1, side, side, 3)


def test_fine_waves_count_with_their_variance_under_the_window() -> None:
    hann = torch.hann_window(112, periodic=False, dtype=torch.float64)
    expected = 100**2 / 2 * float((hann * hann).mean()) ** 2
    assert float(fine_energy(waves(0.3))) == pytest.approx(expected, rel=0.02)


def test_coarse_waves_and_plain_pictures_do_not_count() -> None:
    assert float(fine_energy(waves(0.05))) < 1  # of rounding to whole grey levels
    assert float(fine_energy(torch.full((1, 112, 112, 3), 77, dtype=torch.uint8))) == pytest.approx(0, abs=1e-18)


def test_each_picture_has_its_own_energy() -> None:
    both = fine_energy(torch.cat((waves(0.2), waves(0.4, contrast=50))))
    assert torch.equal(both, torch.cat((fine_energy(waves(0.2)), fine_energy(waves(0.4, contrast=50)))))
    assert float(both[0] / both[1]) == pytest.approx(4, rel=0.02)
