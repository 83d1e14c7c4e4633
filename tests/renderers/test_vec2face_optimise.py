"""AttrOP's search: never worse than its start, each picture by itself, and what is returned is what was seen."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synth.renderers.vec2face.optimise import Found, Target, optimise

Render = Callable[[Tensor], Tensor]
SEEDS = st.integers(0, 2**32)
WIDTH = 12


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def each(feature: Tensor) -> Tensor:
    """Pictures (B, 3, 2, 2), every value from one number of the feature."""
    return feature.tanh().view(-1, 3, 2, 2)


def wavy(feature: Tensor) -> Tensor:
    """The same, but the way to a value can lead over a hill."""
    return (3 * feature).sin().view(-1, 3, 2, 2)


def mixed(feature: Tensor) -> Tensor:
    """Pictures (B, 3, 4, 4), every value from the whole feature."""
    return (feature @ numbers(7, WIDTH, 48) / 4).tanh().view(-1, 3, 4, 4)


def value(place: int, wanted: float | Tensor, tolerance: float, weight: float = 1) -> Target:
    """One of the red values is to be `wanted`, of each picture or of all."""
    return Target(
        f"value {place}", lambda pixels: (pixels[:, 0].flatten(1)[:, place] - wanted).abs(), tolerance, weight
    )


def impossible(weight: float = 1) -> Target:
    return Target("impossible", lambda pixels: 1 + (pixels**2).mean((1, 2, 3)), 0.5, weight)


class Seen:
    """A way to make pictures that keeps them, and counts the gradients that are asked of them."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self.pictures: list[Tensor] = []
        self.gradients = 0

    def __call__(self, feature: Tensor) -> Tensor:
        pixels = self._render(feature)
        pixels.register_hook(self._count)  # type: ignore[no-untyped-call]
        self.pictures.append(pixels.detach().clone())
        return pixels

    def _count(self, _: Tensor) -> None:
        self.gradients += 1


def judged(pixels: Tensor, targets: Sequence[Target]) -> tuple[Tensor, Tensor]:
    """Which targets pictures meet (B, T), and their losses (B,)."""
    misses = torch.stack([target.miss(pixels) for target in targets], 1)
    met = torch.stack([misses[:, at] <= target.tolerance for at, target in enumerate(targets)], 1)
    return met, (misses * torch.tensor([target.weight for target in targets])).sum(1)


def same(first: Found, second: Found) -> bool:
    return all(torch.equal(getattr(first, part), getattr(second, part)) for part in ("pixels", "met", "steps"))


def wishes(seed: int, count: int) -> list[Target]:
    """Two or three targets, some easy, some not to be met, each picture's own."""
    wanted, rest = numbers(seed + 1, 3, count).clamp(-0.95, 0.95), numbers(seed + 2, 3, 2).exp()
    targets = [value(at, wanted[at], 0.2 * float(rest[at, 0]), float(rest[at, 1])) for at in range(2)]
    return [*targets, impossible()] if seed % 3 == 0 else targets


@settings(deadline=None)
@given(SEEDS, st.integers(1, 5), st.sampled_from([each, wavy, mixed]), st.integers(0, 12), st.sampled_from([0.02, 0.3]))
def test_the_best_of_the_pictures_seen_until_the_stop_is_returned(
    seed: int, count: int, render: Render, steps: int, rate: float
) -> None:
    feature, targets, seen = numbers(seed, count, WIDTH), wishes(seed, count), Seen(render)
    found = optimise(seen, feature, targets, steps, rate)
    verdicts = [judged(pictures, targets) for pictures in seen.pictures]
    for row in range(count):
        marks = [(int(met[row].sum()), -float(loss[row])) for met, loss in verdicts]
        stop = next((at for at, (met, _) in enumerate(marks) if met == len(targets)), steps)
        assert found.steps[row] == stop
        best = max(range(stop + 1), key=lambda at, marks=marks: marks[at])  # type: ignore[misc]
        assert torch.equal(found.pixels[row], seen.pictures[best][row])
        assert torch.equal(found.met[row], verdicts[best][0][row])
    # No picture more than the slowest search needs, and no gradient that moves nothing.
    assert (len(seen.pictures), seen.gradients) == (int(found.steps.max()) + 1, int(found.steps.max()))


@settings(deadline=None)
@given(SEEDS, st.sampled_from([each, wavy, mixed]), st.floats(0.001, 10))
def test_it_is_never_worse_than_its_start(seed: int, render: Render, rate: float) -> None:
    feature, targets = numbers(seed, 4, WIDTH), wishes(seed, 4)
    found = optimise(render, feature, targets, 5, rate)
    (first_met, first_loss), (met, loss) = judged(render(feature), targets), judged(found.pixels, targets)
    assert torch.equal(found.met, met)  # reported is what the picture meets
    fuller, as_full = met.sum(1) > first_met.sum(1), met.sum(1) == first_met.sum(1)
    assert bool((fuller | (as_full & (loss <= first_loss))).all())
    assert bool((found.steps <= 5).all())


def test_it_goes_where_adam_goes() -> None:
    feature, targets, seen = numbers(3, 3, WIDTH), [value(0, 2.0, 0.1), impossible(0.3)], Seen(mixed)
    optimise(seen, feature, targets, 20, 0.1)
    place = feature.clone().requires_grad_()
    adam = torch.optim.Adam([place], lr=0.1)
    for pictures in seen.pictures:
        torch.testing.assert_close(pictures, mixed(place).detach(), atol=1e-4, rtol=0)
        (place.grad,) = torch.autograd.grad(judged(mixed(place), targets)[1].sum(), place)
        adam.step()
    assert len(seen.pictures) == 21


def test_each_picture_stops_when_it_meets_its_targets() -> None:
    wanted = torch.tensor([0.0, 0.2, 0.4, 0.6, 2.0])
    found = optimise(each, torch.zeros(5, WIDTH), [value(0, wanted, 0.05)], 30, 0.05)
    steps = found.steps.tolist()
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, 30)
    assert found.met[:, 0].tolist() == [True, True, True, True, False]
    misses = (found.pixels[:, 0, 0, 0] - wanted).abs()
    assert bool((misses[:4] <= 0.05).all())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("render", [each, wavy, mixed])
def test_a_picture_alone_gives_what_it_gives_in_a_batch(seed: int, render: Render) -> None:
    count = 7
    feature, wanted = numbers(seed, count, WIDTH), numbers(seed + 1, 2, count).clamp(-0.5, 0.5)

    def search(rows: slice) -> Found:
        targets = [value(0, wanted[0, rows], 0.2, 3), value(1, wanted[1, rows], 0.2), value(2, 0.2, 0.3)]
        return optimise(render, feature[rows], targets, 15, 0.1)

    together = search(slice(None))
    assert len(set(together.steps.tolist())) > 1
    for row in range(count):
        alone = search(slice(row, row + 1))
        assert torch.equal(alone.met[0], together.met[row])
        assert alone.steps[0] == together.steps[row]
        if render is mixed:  # a product's rounding depends on its shape
            torch.testing.assert_close(alone.pixels[0], together.pixels[row], atol=1e-4, rtol=0)
        else:
            assert torch.equal(alone.pixels[0], together.pixels[row])


def test_targets_met_at_once_take_no_step() -> None:
    feature, seen = numbers(1, 3, WIDTH), Seen(mixed)
    found = optimise(seen, feature, [value(0, 0.0, 2.0), value(1, 0.0, 2.0)], 10, 0.1)
    assert found.steps.tolist() == [0, 0, 0]
    assert bool(found.met.all())
    assert torch.equal(found.pixels, mixed(feature))
    assert (len(seen.pictures), seen.gradients) == (1, 0)


def test_a_miss_of_just_the_tolerance_is_met() -> None:
    found = optimise(each, torch.zeros(1, WIDTH), [value(0, 0.25, 0.25)], 5, 0.1)
    assert (found.steps.tolist(), found.met.tolist()) == ([0], [[True]])


@pytest.mark.parametrize("first", [True, False])
def test_a_target_out_of_reach_keeps_no_other_from_being_met(first: bool) -> None:
    reachable = [value(0, 0.5, 0.05), value(1, -0.5, 0.05)]
    targets = [impossible(), *reachable] if first else [*reachable, impossible()]
    found = optimise(each, torch.zeros(2, WIDTH), targets, 40, 0.05)
    assert found.met.tolist() == 2 * [[target.name != "impossible" for target in targets]]
    assert found.steps.tolist() == [40, 40]
    assert torch.equal(found.met, judged(found.pixels, targets)[0])


def test_to_meet_more_counts_more_than_to_miss_less() -> None:
    # Value 0 is where it should be; the heavy target, never to be met, pulls it away and lowers the loss.
    far = Target("far", lambda pixels: (pixels[:, 0, 0, 0] - 3).abs(), 0.1, 100)
    found = optimise(each, torch.zeros(1, WIDTH), [value(0, 0.0, 0.01), far], 10, 0.1)
    assert found.met.tolist() == [[True, False]]
    assert torch.equal(found.pixels, each(torch.zeros(1, WIDTH)))
    assert found.steps.tolist() == [10]


def test_the_heavier_target_decides() -> None:
    for weights, sign in (((5.0, 1.0), 1), ((1.0, 5.0), -1)):
        targets = [value(0, 0.9, 1e-4, weights[0]), value(0, -0.9, 1e-4, weights[1])]
        found = optimise(each, torch.zeros(1, WIDTH), targets, 10, 0.1)
        assert float(found.pixels[0, 0, 0, 0]) * sign > 0.5


def test_a_picture_that_is_not_numbers_leaves_the_others_alone() -> None:
    feature, targets = numbers(5, 3, WIDTH), [value(0, 0.3, 0.05), value(1, -0.3, 0.05)]
    whole = optimise(each, feature, targets, 20, 0.1)
    feature[1] = math.nan
    found = optimise(each, feature, targets, 20, 0.1)
    assert not found.met[1].any()
    assert found.steps[1] == 20
    kept = [0, 2]
    assert same(
        Found(found.pixels[kept], found.met[kept], found.steps[kept]),
        Found(whole.pixels[kept], whole.met[kept], whole.steps[kept]),
    )


def test_where_a_gradient_is_no_number_the_start_stays() -> None:
    # At zero the root's slope is infinite, and nothing times that is no number.
    render: Render = lambda feature: (0 * feature.abs().sqrt() + 0.5).view(-1, 3, 2, 2)  # noqa: E731
    for targets, met in (([value(0, 0.5, 0.1), impossible()], [True, False]), ([impossible()], [False])):
        found = optimise(render, torch.zeros(1, WIDTH), targets, 5, 0.1)
        assert found.pixels.tolist() == torch.full((1, 3, 2, 2), 0.5).tolist()
        assert found.met.tolist() == [met]


def test_nothing_is_left_of_the_search() -> None:
    weight = torch.ones(WIDTH, requires_grad=True)
    source = numbers(2, 3, WIDTH).requires_grad_()
    feature = 2 * source
    before = feature.detach().clone()
    found = optimise(lambda feature: each(weight * feature), feature, wishes(0, 3), 4, 0.1)
    for part in (found.pixels, found.met, found.steps):
        assert not part.requires_grad
        assert part.grad_fn is None
    assert torch.equal(feature.detach(), before)
    assert weight.grad is None
    assert source.grad is None
    assert (found.pixels.dtype, found.met.dtype, found.steps.dtype) == (torch.float32, torch.bool, torch.int64)
    assert (found.pixels.shape, found.met.shape, found.steps.shape) == ((3, 3, 2, 2), (3, 3), (3,))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, nullcontext])
def test_it_works_in_every_mode_of_its_caller(mode: Callable[[], AbstractContextManager[None]]) -> None:
    targets = wishes(0, 4)
    due = optimise(mixed, numbers(4, 4, WIDTH), targets, 6, 0.1)
    assert due.steps.max() > 0
    with mode():
        feature = numbers(4, 4, WIDTH)
        found = optimise(mixed, feature, targets, 6, 0.1)
        assert torch.is_grad_enabled() == (mode is nullcontext)
    assert same(found, due)
    assert not found.pixels.is_inference()
