"""Signs and sense of camera, light and darkroom."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.head import people, portraits
from synth.renderer import Views
from synth.renderers.head import HeadRenderer
from synth.renderers.head.studio.photo import Darkroom
from synth.renderers.head.studio.shadow import cast

LEFT_CHEEK, RIGHT_CHEEK = (slice(62, 84), slice(26, 40)), (slice(62, 84), slice(72, 86))


@pytest.fixture(scope="module")
def renderer() -> HeadRenderer:
    return HeadRenderer()


def sitters(count: int = 3, **attributes: float) -> Views:
    """Some people, neutral but for the attributes named."""
    views = portraits(people(count, seed=21))
    changed = {name: torch.full_like(views.attributes[name], value) for name, value in attributes.items()}
    return replace(views, attributes={**views.attributes, **changed})


def nose_against_eyes(landmarks: Tensor) -> Tensor:
    """Where the nose tip lies from the middle of the eyes: (B, 2) px, to the right and down."""
    return landmarks[:, 2] - landmarks[:, :2].mean(1)


def brightness(pictures: Tensor, place: tuple[slice, slice]) -> Tensor:
    return pictures[:, place[0], place[1]].float().mean((1, 2, 3))


def test_positive_yaw_looks_to_the_right_and_positive_pitch_up(renderer: HeadRenderer) -> None:
    straight, turned, raised = (
        nose_against_eyes(renderer.landmarks(sitters(**pose))) for pose in ({}, {"yaw_deg": 25}, {"pitch_deg": 15})
    )
    assert bool((turned[:, 0] > straight[:, 0] + 4).all())
    assert bool((raised[:, 1] < straight[:, 1] - 2).all())


def test_a_wide_lens_enlarges_what_is_near(renderer: HeadRenderer) -> None:
    def eyes_over_mouth(focal_length_mm: float) -> Tensor:
        points = renderer.landmarks(sitters(focal_length_mm=focal_length_mm, pitch_deg=-20))
        return (points[:, 1, 0] - points[:, 0, 0]) / (points[:, 4, 0] - points[:, 3, 0])

    assert bool((eyes_over_mouth(24) > eyes_over_mouth(150)).all())  # looking down brings the eyes nearer


@pytest.mark.parametrize(
    ("azimuth_deg", "bright", "dark"), [(70, RIGHT_CHEEK, LEFT_CHEEK), (-70, LEFT_CHEEK, RIGHT_CHEEK)]
)
def test_the_lamp_lights_its_side(
    renderer: HeadRenderer, azimuth_deg: float, bright: tuple[slice, slice], dark: tuple[slice, slice]
) -> None:
    pictures = renderer.render(sitters(light_azimuth_deg=azimuth_deg, ambient_share=0.2, hair_fall=0))
    assert bool((brightness(pictures, bright) > brightness(pictures, dark)).all())


def test_exposure_brightens(renderer: HeadRenderer) -> None:
    middle = (slice(40, 90), slice(40, 72))
    usual, more = (brightness(renderer.render(sitters(exposure_ev=stops)), middle) for stops in (0, 1))
    assert bool((more > usual + 15).all())


def test_a_roof_shades_the_floor_below_it_only() -> None:
    line = torch.linspace(-10, 10, 81)
    x, z = line.repeat(81)[None], line.repeat_interleave(81)[None]
    roof = x[0].abs() < 4
    floor = torch.zeros_like(x)
    world = (torch.cat((x, x[:, roof]), 1), torch.cat((floor, floor[:, roof] + 6), 1), torch.cat((z, z[:, roof]), 1))
    up = torch.tensor([[0.0, 0.9998, 0.02]])
    shadows = cast(world, torch.zeros_like(world[0], dtype=torch.bool), up, torch.tensor([0.2]), 96)
    share = shadows.open_share((x, floor, z))[0]
    inner = z[0].abs() < 7
    assert float(share[inner & (x[0].abs() < 2.5)].max()) < 0.2
    assert float(share[inner & (x[0].abs() > 6)].min()) > 0.9


def test_a_neutral_darkroom_adds_nothing_at_random(renderer: HeadRenderer) -> None:
    views = sitters(2)
    darkroom, grey = Darkroom(64, torch.device("cpu")), torch.full((2, 64, 64, 3), 0.5)
    first = darkroom.develop(grey, views.attributes, views.key)
    assert torch.equal(first, darkroom.develop(grey, views.attributes, views.key + 1))
    assert int(first.max()) == int(first.min())


def test_a_picture_is_blurred_as_it_would_be_alone() -> None:
    views = portraits(people(2), {})
    blurs = replace(views, attributes={**views.attributes, "blur_px": torch.tensor([0.0, 3.0])})
    darkroom, root = (
        Darkroom(64, torch.device("cpu")),
        torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(1)),
    )
    both = darkroom.develop(root, blurs.attributes, blurs.key)
    alone = blurs.select(slice(0, 1))
    assert torch.equal(both[:1], darkroom.develop(root[:1], alone.attributes, alone.key))
