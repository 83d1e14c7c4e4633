"""Augmentation: the range, where its chance comes from, and that each change is the one it is called."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from synth.training.augment import augmented
from synth.training.settings import Augmentation

OFF = dict.fromkeys(Augmentation.model_fields, 0.0)


def only(**settings: float) -> Augmentation:
    """Nothing but this."""
    return Augmentation(**{**OFF, **settings})


def pictures(count: int = 6, side: int = 112, seed: int = 1) -> Tensor:
    """Smooth colourful pictures uint8 (B, 3, H, H), black and white parts among them."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    fine = functional.interpolate(coarse, side, mode="bicubic", align_corners=False)
    return fine.mul(300).sub(20).clamp(0, 255).to(torch.uint8)


def values(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def seen(images: Tensor, settings: Augmentation, seed: int = 1) -> Tensor:
    return augmented(images, settings, torch.Generator().manual_seed(seed))


def test_it_is_a_function_of_pictures_and_generator_and_keeps_the_range() -> None:
    images, usual = pictures(), Augmentation()
    kept = images.clone()
    found = seen(images, usual)
    assert (found.shape, found.dtype) == (images.shape, torch.float32)
    assert -1 <= float(found.min()) < float(found.max()) <= 1
    assert torch.equal(found, seen(images, usual))
    assert not torch.equal(found, seen(images, usual, seed=2))
    assert torch.equal(images, kept), "the pictures themselves were changed"
    strong = Augmentation(exposure=0.9, noise=1, soft=1, erase=1, grey=1, turn_deg=45, shift_px=50, scale=0.5)
    wild = seen(images, strong)
    assert bool(wild.isfinite().all())
    assert float(wild.abs().max()) <= 1


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    seen(pictures(), Augmentation())
    assert torch.equal(state, torch.get_rng_state())


def test_with_everything_off_a_picture_is_itself() -> None:
    images = pictures()
    assert float((seen(images, only()) - values(images)).abs().max()) < 5e-4


def test_a_mirrored_picture_is_mirrored_from_left_to_right() -> None:
    images = pictures()
    found = seen(images, only(flip=1))
    assert float((found - values(images).flip(3)).abs().max()) < 5e-4
    half = seen(images, only(flip=0.5), seed=4)
    mirrored = [float((each - due).abs().max()) < 5e-4 for each, due in zip(half, values(images).flip(3), strict=True)]
    as_it_was = [float((each - due).abs().max()) < 5e-4 for each, due in zip(half, values(images), strict=True)]
    assert [not each for each in mirrored] == as_it_was
    assert any(mirrored)
    assert any(as_it_was)


def place_of_dot(image: Tensor) -> tuple[float, float]:
    """Centre of what is light in a picture (3, H, H) in [-1, 1], as x and y from its middle, in pixels."""
    weight = (image.mean(0) + 1 - 1e-3).clamp(min=0).double()  # black comes out as a trace of grey
    along = torch.arange(len(weight)).double() - (len(weight) - 1) / 2
    return float((weight.sum(0) * along).sum() / weight.sum()), float((weight.sum(1) * along).sum() / weight.sum())


def dot(count: int, x: int, y: int) -> Tensor:
    """Black pictures of 112 px with a white spot, whose middle lies so far from theirs."""
    images = torch.zeros(count, 3, 112, 112, dtype=torch.uint8)
    images[:, :, 54 + y : 58 + y, 54 + x : 58 + x] = 255
    return images


@pytest.mark.parametrize(("x", "y"), [(30, 0), (0, -20), (-25, 15)])
def test_a_turn_keeps_the_distance_from_the_middle_and_stays_inside_its_limit(x: int, y: int) -> None:
    angles = []
    for each in seen(dot(40, x, y), only(turn_deg=30)):
        found = torch.complex(*map(torch.tensor, place_of_dot(each)))
        due = torch.complex(torch.tensor(float(x)), torch.tensor(float(y)))
        assert float(found.abs()) == pytest.approx(float(due.abs()), abs=0.3)
        angles.append(float((found / due).angle().rad2deg()))
    assert -31 < min(angles) < -15
    assert 15 < max(angles) < 31


def test_shift_and_scale_stay_inside_their_limits() -> None:
    places = torch.tensor([place_of_dot(each) for each in seen(dot(60, 0, 0), only(shift_px=6))])
    assert 5 < float(places.abs().max()) < 6.1
    assert float(places[:, 0].std()) > 0
    assert float(places[:, 1].std()) > 0
    far = torch.tensor([place_of_dot(each)[0] / 30 for each in seen(dot(60, 30, 0), only(scale=0.2))])
    assert 0.78 < float(far.min()) < 0.9
    assert 1.1 < float(far.max()) < 1.22


def test_what_comes_in_from_outside_repeats_the_edge() -> None:
    white = torch.full((8, 3, 112, 112), 255, dtype=torch.uint8)
    assert float(seen(white, only(shift_px=20, turn_deg=45, scale=0.3)).min()) > 0.999


def test_grey_pictures_have_their_lightness() -> None:
    images = pictures()
    red, green, blue = values(images).unbind(1)
    found = seen(images, only(grey=1))
    assert float((found - found[:, :1]).abs().max()) == 0
    assert float((found[:, 0] - (0.299 * red + 0.587 * green + 0.114 * blue)).abs().max()) < 5e-4


def test_exposure_changes_light_and_keeps_places() -> None:
    images = pictures(40)
    found = seen(images, only(exposure=0.3))
    means = ((found.mean((1, 2, 3)) + 1) / (values(images).mean((1, 2, 3)) + 1)).log()
    assert float(means.std()) > 0.05
    assert float(means.abs().max()) < 2
    darkest = values(images).flatten(1).argmin(1)
    assert bool((found.flatten(1).gather(1, darkest[:, None]) < -0.9).all()), "black stays black"


def test_softened_pictures_lose_what_is_fine() -> None:
    chequered = ((torch.arange(112)[:, None] + torch.arange(112)) % 2 * 255).to(torch.uint8).expand(40, 3, -1, -1)
    spread = seen(chequered, only(soft=1)).std((1, 2, 3))
    assert float(spread.max()) < 0.7
    assert float(seen(chequered, only()).std((1, 2, 3)).min()) > 0.99


def test_noise_is_of_each_pixel_and_as_strong_as_it_may_be() -> None:
    grey = torch.full((200, 3, 32, 32), 128, dtype=torch.uint8)
    spread = seen(grey, only(noise=1)).std((1, 2, 3)) / 2
    assert 0.003 < float(spread.min()) < 0.01
    assert 0.04 < float(spread.max()) < 0.055
    assert 0.3 < float((seen(grey, only(noise=0.5)).std((1, 2, 3)) > 0.001).float().mean()) < 0.7


def test_a_rectangle_of_one_colour_hides_up_to_a_quarter() -> None:
    images = pictures(100)
    found = seen(images, only(erase=1))
    hidden = ((found - values(images)).abs().amax(1) > 1e-3).float().mean((1, 2))
    assert float(hidden.min()) > 0.004
    assert 0.1 < float(hidden.max()) <= 0.26
    for each, due in zip(found[:10], values(images), strict=False):
        changed = (each - due).abs().amax(0) > 1e-3
        assert float(each[:, changed].std(1).max()) < 1e-5
