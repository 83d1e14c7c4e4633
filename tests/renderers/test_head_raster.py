"""The rasteriser: equal integers from both kernels, no gaps and no double cover."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synth.renderers.head.mesh import grid_faces
from synth.renderers.head.studio import raster

raster_numba = pytest.importorskip("synth.renderers.head.studio.raster_numba")

SIZE = 40


def random_screen(seed: int, pictures: int, vertices: int, triangles: int, spread: float) -> raster.Screen:
    """Triangles anywhere, also outside, degenerate, large and tiny; some vertices hidden."""
    chance = torch.Generator().manual_seed(seed)
    place = torch.randn(2, pictures, vertices, generator=chance) * spread + SIZE / 2
    depth = torch.rand(pictures, vertices, generator=chance) * 50
    hidden = torch.rand(pictures, vertices, generator=chance) < 0.4
    faces = torch.randint(0, vertices, (triangles, 3), generator=chance)
    return raster.Screen(
        raster.snap(place[0]), raster.snap(place[1]), raster.snap_depth(depth), hidden, faces, triangles // 2
    )


def lattice(columns: int, jitter: int, seed: int) -> raster.Screen:
    """A jittered grid that covers all samples and does not fold over."""
    chance = torch.Generator().manual_seed(seed)
    step = (SIZE + 8) * raster.PIXEL // (columns - 1)
    line = torch.arange(columns) * step - 4 * raster.PIXEL
    x, y = line.repeat(columns), line.repeat_interleave(columns)
    moved = torch.randint(-jitter, jitter + 1, (2, columns * columns), generator=chance)
    flat = torch.zeros(1, columns * columns)
    return raster.Screen(
        (x + moved[0]).int()[None], (y + moved[1]).int()[None], flat.int(), flat.bool(), grid_faces(columns, columns)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 3), st.integers(3, 60), st.integers(1, 80), st.sampled_from([2.0, 12.0, 60.0])
)
def test_both_kernels_give_equal_integers(
    seed: int, pictures: int, vertices: int, triangles: int, spread: float
) -> None:
    screen = random_screen(seed, pictures, vertices, triangles, spread)
    keys = raster.visible(screen, SIZE)
    assert torch.equal(keys, raster_numba.visible(screen, SIZE))
    assert torch.equal(raster.seen(screen, keys), raster_numba.seen(screen, keys))
    channels = torch.randint(0, raster.CHANNEL_TOP, (pictures, vertices, 4), dtype=torch.int32)
    assert torch.equal(raster.resolve(screen, keys, channels), raster_numba.resolve(screen, keys, channels))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(13, 80), (41, 25)]))
def test_a_lattice_covers_every_sample_once(seed: int, grid: tuple[int, int]) -> None:
    screen = lattice(*grid, seed)
    assert int(coverage(screen).min()) == 1
    assert int(coverage(screen).max()) == 1


def coverage(screen: raster.Screen) -> Tensor:
    """How many triangles own each sample: drawn one at a time."""
    total = torch.zeros(1, SIZE, SIZE, len(raster.SAMPLES), dtype=torch.int64)
    for start in range(0, len(screen.faces)):
        one = raster.Screen(screen.x, screen.y, screen.depth, screen.hidden, screen.faces[start : start + 1])
        total += raster_numba.visible(one, SIZE) != raster.EMPTY
    return total


def test_a_sample_on_a_corner_belongs_to_one_triangle() -> None:
    screen = lattice(columns=SIZE + 9, jitter=0, seed=0)
    for at_x, at_y in raster.SAMPLES:
        moved = raster.Screen(screen.x + at_x, screen.y + at_y, screen.depth, screen.hidden, screen.faces)
        owned = coverage(moved)
        assert int(owned.min()) == int(owned.max()) == 1


def test_the_nearest_triangle_wins_whatever_its_place_in_the_list() -> None:
    x, y = torch.tensor([[0, 60, 0, 0, 60, 0]]) * raster.PIXEL, torch.tensor([[0, 0, 60, 0, 0, 60]]) * raster.PIXEL
    depth = torch.tensor([[500, 500, 500, 90, 90, 90]])
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        screen = raster.Screen(x.int(), y.int(), depth.int(), torch.zeros(1, 6, dtype=torch.bool), torch.tensor(order))
        keys = raster.visible(screen, SIZE)
        assert int(keys[0, 5, 5, 0] >> raster.TRIANGLE_BITS) == 90
        assert int(keys[0, 39, 39, 0]) == raster.EMPTY


def test_colours_are_interpolated_between_the_corners() -> None:
    x, y = torch.tensor([[0, 80, 0]]) * raster.PIXEL, torch.tensor([[0, 0, 80]]) * raster.PIXEL
    flat = torch.zeros(1, 3)
    screen = raster.Screen(x.int(), y.int(), flat.int(), flat.bool(), torch.tensor([[0, 1, 2]]))
    ramp = torch.tensor([[[0], [8000], [0]]], dtype=torch.int32)
    row = raster.resolve(screen, raster.visible(screen, SIZE), ramp)[0, 3, :, 0, 0]
    expected = (torch.arange(SIZE) + raster.SAMPLES[0][0] / raster.PIXEL) * 100
    assert float((row - expected).abs().max()) <= 0.5
