"""Conditions: attributes as numbers of a size near one, each told in a way of its own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.attributes import complete_laws, draw_attributes
from samplers.errors import RecipeError
from synth.conditions import CONDITIONS, declared, told, width
from synth.renderers.head.catalogue import ATTRIBUTES

FAULTS = {"vignette", "blur_px", "resolution", "noise", "jpeg_quality"}


def one(name: str, *values: float) -> Tensor:
    """The numbers that tell one attribute."""
    attribute = CONDITIONS[name]
    given = torch.tensor(values, dtype=torch.int64 if attribute.choices else torch.float32)
    return told({name: attribute}, {name: given})


def test_conditions_are_the_heads_attributes_but_for_the_cameras_faults() -> None:
    assert set(ATTRIBUTES) - set(CONDITIONS) == FAULTS
    assert declared(None) == CONDITIONS
    assert list(declared(["roll_deg", "yaw_deg"])) == ["roll_deg", "yaw_deg"], "in the order asked for"
    with pytest.raises(RecipeError, match="unknown condition 'blur_px'; there are: "):
        declared(["yaw_deg", "blur_px"])


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_condition_has_its_width(name: str) -> None:
    attribute = CONDITIONS[name]
    found = one(name, *([0] if attribute.choices else [attribute.low]))
    assert found.shape == (1, width({name: attribute}))
    assert found.dtype == torch.float32


@pytest.mark.parametrize("name", [name for name, attribute in CONDITIONS.items() if attribute.choices])
def test_a_choice_is_a_one_among_zeros(name: str) -> None:
    count = len(CONDITIONS[name].choices)
    assert torch.equal(one(name, *range(count)), torch.eye(count))


def test_an_angle_that_comes_round_has_no_seam() -> None:
    around = one("light_azimuth_deg", -180, 180, 0, 90)
    torch.testing.assert_close(around[0], around[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(around[2:], torch.tensor([[0.0, 1.0], [1.0, 0.0]]), rtol=0, atol=1e-6)


def test_a_number_is_told_by_the_spread_of_its_own_law() -> None:
    law = CONDITIONS["yaw_deg"].distribution
    assert law is not None
    low, high = law.support()
    assert one("yaw_deg", low, (low + high) / 2, high).flatten().tolist() == pytest.approx([-1, 0, 1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_what_heads_are_drawn_with_is_told_in_numbers_near_one(seed: int) -> None:
    index = torch.stack((torch.arange(64), torch.arange(64) % 5, torch.zeros(64, dtype=torch.int64)), 1)
    values = draw_attributes(seed, CONDITIONS, complete_laws(CONDITIONS, {}), index)
    numbers = told(CONDITIONS, values)
    assert numbers.shape == (64, width(CONDITIONS))
    assert bool(numbers.isfinite().all())
    assert float(numbers.abs().max()) <= 1 + 1e-5
