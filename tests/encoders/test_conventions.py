"""What networks are fed: the table's word against what arrives in a real graph, and pictures of other sizes."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.errors import RenderError
from synth.backend import Backend
from synth.encoders.conventions import CONVENTIONS, ConventionName, fitted, values_of_images, values_of_pixels
from synth.encoders.onnx import OnnxEncoder
from tests.encoders.graphs import of_graph, store_graph

#: What a picture of one colour, R 255, G 51, B 0, is to each family, worked out by hand.
SEEN = {
    "arcface": (1.0, -0.6, -1.0),
    "magface": (0.0, 0.2, 1.0),
    "magface_rgb": (1.0, -0.6, -1.0),
    "adaface": (-1.0, -0.6, 1.0),
    "adaface_rgb": (1.0, -0.6, -1.0),
    "sixdrepnet": (0.0, 0.2, 1.0),
}


def coloured(count: int = 2, side: int = 112) -> torch.Tensor:
    return torch.tensor([255, 51, 0], dtype=torch.uint8).expand(count, side, side, 3)


def test_the_table_is_what_is_tested_and_what_encoders_may_name() -> None:
    assert CONVENTIONS.keys() == SEEN.keys()
    assert {*get_args(ConventionName), "sixdrepnet"} == CONVENTIONS.keys()
    assert all(convention.source for convention in CONVENTIONS.values())


@pytest.mark.parametrize("name", get_args(ConventionName))
def test_a_network_sees_the_colours_that_the_table_says(tmp_path: Path, name: str) -> None:
    encoder = OnnxEncoder.open(of_graph(store_graph(tmp_path / "means.onnx"), name), Backend())
    assert encoder.embed(coloured()).tolist() == [pytest.approx(SEEN[name], abs=1e-4)] * 2


@pytest.mark.parametrize("name", SEEN)
def test_images_and_pixels_are_fed_alike(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8, generator=generator)
    pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    convention = CONVENTIONS[name]
    fed = convention.feed(values_of_images(images))
    assert torch.allclose(fed, convention.feed(values_of_pixels(pixels)), rtol=0, atol=1e-6)
    rgb = images.permute(0, 3, 1, 2).double()
    due = ((rgb if convention.order == "rgb" else rgb[:, [2, 1, 0]]) - convention.mean) / convention.std
    assert torch.allclose(fed.double(), due, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_multiples_are_averaged_over_whole_squares(high: int, wide: int, seed: int) -> None:
    """Each new pixel is the mean of its own block, whatever lies around it."""
    small = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    large = small.repeat_interleave(high, 2).repeat_interleave(wide, 3)
    assert torch.allclose(fitted(large, 8), small, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 255))
def test_pictures_of_any_size_keep_their_brightness(height: int, width: int, value: float) -> None:
    found = fitted(torch.full((1, 3, height, width), value))
    assert found.shape == (1, 3, 112, 112)
    assert torch.allclose(found, torch.full_like(found, value), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 112, 112, 3),
        torch.zeros(2, 3, 112, 112, dtype=torch.uint8),
        torch.zeros(112, 112, 3, dtype=torch.uint8),
        torch.zeros(0, 112, 112, 3, dtype=torch.uint8),
    ],
)
def test_anything_but_pictures_is_refused(images: torch.Tensor) -> None:
    with pytest.raises(RenderError, match=r"encoders take uint8 pictures \(B, H, W, 3\), not"):
        values_of_images(images)
