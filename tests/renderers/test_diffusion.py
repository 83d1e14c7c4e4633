"""The diffusion renderer of our own: steps held against diffusers' schedulers, its header, what pictures depend on."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from samplers import random
from samplers.attributes import neutral_attributes
from samplers.errors import DatasetError, RecipeError, RenderError
from synth import conditions
from synth.backend import Backend
from synth.network_file import header
from synth.renderer import Equipment, Views, open_renderer, renderer_class
from synth.renderers.diffusion.network import Conditions, DiffusionNetwork, describe_network, enlarged
from synth.renderers.diffusion.quick import QuickGroupNorm, quicken
from synth.renderers.diffusion.sampling import Step, flow_steps, noise_shares, sample
from synth.renderers.diffusion.sizes import DiffusionSizes
from synth.renderers.settings import DiffusionSettings, FlowSampler
from synth.training.loop import drawn_from
from synth.training.settings import DiffusionShape

DIMENSION = 16
KNOWN = conditions.CONDITIONS
TINY = DiffusionSizes(
    DIMENSION, conditions.width(KNOWN), widths=(8, 16), attention_from=1, heads=2, groups=4, tokens=2, token_width=8,
    places=2, patch=8, sketch=8,
)  # fmt: skip


def store(path: Path, sizes: DiffusionSizes, description: dict[str, Any]) -> Path:
    with drawn_from(1, "test"):
        network = DiffusionNetwork(sizes)
        for nothing in (network.no_identity, network.no_told):
            torch.nn.init.normal_(nothing)
    save_file(network.state_dict(), path, header("diffusion", description))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights that is told all conditions."""
    return store(tmp_path_factory.mktemp("diffusion") / "tiny.safetensors", TINY, describe_network(TINY, KNOWN))


def wanting(weights: Path, conditions: tuple[str, ...] | None = None, **sampler: Any) -> DiffusionSettings:
    steps = FlowSampler(**{"steps": 3, "begin": 1, **sampler})
    return DiffusionSettings(weights=str(weights), conditions=conditions, sampler=steps)


def views_of(settings: DiffusionSettings, count: int) -> Views:
    draw = torch.Generator().manual_seed(1)
    vector = torch.nn.functional.normalize(torch.randn(count, DIMENSION, generator=draw))
    attributes = neutral_attributes(renderer_class("diffusion").declare(settings), count)
    keys = torch.randint(0, 2**32, (2, count, 2), generator=draw)
    return Views(torch.arange(count), vector, vector, torch.ones(count), attributes, keys[0], keys[1])


def drawn(settings: DiffusionSettings, views: Views, dtype: Any = "float32") -> Tensor:
    return open_renderer(settings, Equipment(Backend(dtype=dtype), {})).render(views)


def far(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).abs().mean())


def imagined(mixed: Tensor, share: float) -> Tensor:
    """What some network might see in a mixture."""
    return torch.sin(3 * mixed + share) * (1 - share / 2)


_QUIET = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def by_scheduler(scheduler: Any, noise: Tensor) -> Tensor:
    x = noise
    for time in scheduler.timesteps:
        share = float(scheduler.sigmas[scheduler.index_for_timestep(time)])
        velocity = (x - imagined(x, share)) / share
        x = scheduler.step(velocity, time, x).prev_sample
    return x


@_QUIET
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("count", [1, 2, 6, 10])
def test_second_order_steps_are_those_of_diffusers(count: int, shift: float) -> None:
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    scheduler = DPMSolverMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=shift, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(count)
    steps = flow_steps(FlowSampler(steps=count, shift=shift, begin=1))
    given = sample(steps, noise, lambda x, step: imagined(x, step.noise_share))
    assert torch.allclose(given, by_scheduler(scheduler, noise), atol=2e-4)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("count", [1, 6])
def test_first_order_steps_are_those_of_diffusers(count: int, shift: float) -> None:
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=noise_shares(count, shift)[:-1])
    steps = flow_steps(FlowSampler(steps=count, shift=shift, begin=1, solver="euler"))
    given = sample(steps, noise, lambda x, step: imagined(x, step.noise_share))
    assert torch.allclose(given, by_scheduler(scheduler, noise), atol=2e-4)


def test_a_network_that_knows_the_picture_ends_with_it() -> None:
    picture = torch.rand(1, 3, 4, 4)
    for solver in ("dpm", "euler"):
        steps = flow_steps(FlowSampler(steps=5, begin=1, solver=solver))
        assert torch.allclose(sample(steps, torch.randn(1, 3, 4, 4), lambda *_: picture), picture, atol=1e-5)


def test_steps_say_when_the_person_is_told_and_when_they_are_guided() -> None:
    steps = flow_steps(FlowSampler(steps=10, begin=1, guidance=2, guided=(0.25, 0.65), late_identity=0.65))
    assert [step.knows_identity for step in steps] == [False] * 6 + [True] * 4
    assert [step.guided for step in steps] == [False] * 4 + [True] * 4 + [False] * 2
    assert not any(step.guided for step in flow_steps(FlowSampler(guidance=1, guided=(0, 1))))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_steps_begin_with_the_share_of_noise_that_was_asked_for(shift: float) -> None:
    shares = [step.noise_share for step in flow_steps(FlowSampler(steps=4, begin=0.6, shift=shift))]
    assert shares[0] == pytest.approx(0.6)
    assert shares == sorted(shares, reverse=True)


def test_ten_looks_at_most_by_default() -> None:
    assert sum(1 + step.guided for step in flow_steps(FlowSampler())) <= 10


def test_a_guided_interval_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"guided goes from 0\.8 down to 0\.2: turn it round"):
        FlowSampler(guided=(0.8, 0.2))


def test_the_header_says_the_dimension_and_the_settings_the_attributes(weights: Path) -> None:
    kind = renderer_class("diffusion")
    kind.preflight(wanting(weights))
    assert kind.vector_dimension(wanting(weights)) == DIMENSION
    assert list(kind.declare(wanting(weights))) == list(KNOWN)
    assert list(kind.declare(wanting(weights, conditions=("hat",)))) == ["hat"]
    with pytest.raises(RecipeError, match="unknown condition 'nose'"):
        kind.declare(wanting(weights, conditions=("nose",)))


def test_a_picture_depends_on_its_own_row_alone(weights: Path) -> None:
    settings = wanting(weights, guidance=2, guided=(0, 1))
    renderer, six = open_renderer(settings, Equipment(Backend(), {})), views_of(settings, 6)
    together = renderer.render(six).int()
    assert together.shape == (6, 112, 112, 3)
    for rows in ([slice(0, 1), slice(1, 6)], [slice(0, 4), slice(4, 6)]):
        apart = torch.cat([renderer.render(six.select(part)) for part in rows]).int()
        assert (together - apart).abs().max() <= 1  # kernels round differently for other batch sizes
    again = renderer.render(six).int()
    assert torch.equal(together, again)


def test_person_attributes_and_key_all_show(weights: Path) -> None:
    settings = wanting(weights)
    views = views_of(settings, 2)
    plain = drawn(settings, views)
    turned = views.attributes | {"yaw_deg": torch.full((2,), 60.0)}
    changes: dict[str, Any] = {"vector": views.vector.flip(0), "key": views.key.flip(0), "attributes": turned}
    for name, value in changes.items():
        assert far(plain, drawn(settings, dataclasses.replace(views, **{name: value}))) > 0.02, name
    other = dataclasses.replace(views, anchor=views.anchor.flip(0), person=views.person.flip(0))
    assert torch.equal(plain, drawn(settings, other))


def test_no_guidance_is_a_guidance_of_one(weights: Path) -> None:
    views = views_of(wanting(weights), 2)
    none = drawn(wanting(weights, guidance=1, guided=(0, 1)), views)
    assert torch.equal(none, drawn(wanting(weights, guidance=9, guided=(0, 0)), views))
    near, some, much = (drawn(wanting(weights, guidance=g, guided=(0, 1)), views) for g in (1.0001, 2.0, 6.0))
    assert far(near, none) < 0.02
    assert 0.02 < far(some, none) < far(much, none)


def test_a_person_may_be_told_late(weights: Path) -> None:
    one = views_of(wanting(weights), 2)
    other = dataclasses.replace(one, vector=one.vector.flip(0))
    early, late = wanting(weights, steps=4), wanting(weights, steps=4, late_identity=0.75)
    assert far(drawn(early, one), drawn(late, one)) > 0.02
    assert far(drawn(late, one), drawn(late, other)) > 0.02


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_pictures_are_what_the_network_makes_of_the_views(weights: Path, guidance: float) -> None:
    """Attributes told by name, noise from the key, away from what it makes of nothing, values rounded to levels."""
    settings = wanting(weights, steps=1, guidance=guidance, guided=(0, 1))
    views = views_of(settings, 2)
    network = DiffusionNetwork(TINY)
    network.load_state_dict(load_file(weights))
    noise = random.normals(views.key, random.noise_index(views.key, "diffusion"), 3 * 112 * 112).view(2, 3, 112, 112)
    known = torch.ones(2, dtype=torch.bool)
    told = Conditions(views.vector, conditions.told(KNOWN, views.attributes), known, known)
    with torch.no_grad():
        clean, blind = (
            network(noise, torch.full((2,), 0.999), network.read(each)) for each in (told, told.of_nothing())
        )
    clean = blind + guidance * (clean - blind)
    due = ((clean.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1)
    assert (drawn(settings, views).float() - due).abs().max() <= 1


def test_what_is_not_known_does_not_count() -> None:
    with drawn_from(1, "test"):
        network = DiffusionNetwork(TINY)
    known, unknown = torch.tensor([True]), torch.tensor([False])
    one, other = (
        Conditions(torch.full((1, DIMENSION), v), torch.full((1, TINY.told), v), known, known) for v in (1.0, 2.0)
    )
    blind = [dataclasses.replace(each, knows_identity=unknown, knows_told=unknown) for each in (one, other)]
    reads = [network.read(each) for each in (one, other, *blind)]
    assert not torch.equal(reads[0].whole, reads[1].whole)
    assert torch.equal(reads[2].whole, reads[3].whole)
    assert torch.equal(reads[2].tokens, reads[3].tokens)
    assert torch.equal(network.read(one.of_nothing()).whole, reads[2].whole)
    assert torch.equal(network.read(one.of_nobody()).tokens[:, :2], reads[2].tokens[:, :2])
    assert torch.equal(network.read(one.of_nobody()).tokens[:, 2:], reads[0].tokens[:, 2:])


def test_bfloat16_draws_nearly_the_same(weights: Path) -> None:
    views = views_of(wanting(weights), 2)
    full, half = drawn(wanting(weights), views), drawn(wanting(weights), views, "bfloat16")
    assert 0 < far(full, half) < 6


def test_numbers_that_overflow_are_an_error(weights: Path, tmp_path: Path) -> None:
    hot = {n: w.fill_(3e38) if n == "unet.conv_in.bias" else w for n, w in load_file(weights).items()}
    save_file(hot, tmp_path / "hot.safetensors", header("diffusion", describe_network(TINY, KNOWN)))
    with pytest.raises(RenderError, match="diffusion drew NaN: a number overflowed"):
        drawn(wanting(tmp_path / "hot.safetensors"), views_of(wanting(weights), 1))


def _other_conditions(description: dict[str, Any]) -> None:
    description["conditions"] = ["yaw_deg", "third_eye"]


def _other_width(description: dict[str, Any]) -> None:
    description["sizes"]["told"] = 7


def _no_sizes(description: dict[str, Any]) -> None:
    description["sizes"] = {"widths": 3}


def _impossible_sizes(description: dict[str, Any]) -> None:
    description["sizes"]["widths"] = [8, 8, 8, 8]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_other_conditions, "knows other conditions than renderer.conditions: only the file knows third_eye; only the"),
        (_other_width, "was trained when its conditions took 7 numbers; now they take 56: train it again"),
        (_no_sizes, "its header is damaged: it does not say the network's sizes"),
        (_impossible_sizes, "its header is damaged"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_in_a_line(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], told: str
) -> None:
    description = describe_network(TINY, KNOWN)
    damage(description)
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path, header("diffusion", description))
    with pytest.raises(DatasetError) as refusal:
        renderer_class("diffusion").preflight(wanting(path))
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    larger = dataclasses.replace(TINY, token_width=16)
    path = store(tmp_path / "other.safetensors", TINY, describe_network(larger, KNOWN))
    with pytest.raises(DatasetError, match="does not fit the network"):
        renderer_class("diffusion").preflight(wanting(path))


def test_weights_may_know_some_conditions_in_an_order_of_their_own(tmp_path: Path) -> None:
    names = ("glasses", "yaw_deg")
    sizes = dataclasses.replace(TINY, told=conditions.width(conditions.declared(names)))
    path = store(tmp_path / "two.safetensors", sizes, describe_network(sizes, conditions.declared(names)))
    settings = wanting(path, conditions=("yaw_deg", "glasses"))
    renderer_class("diffusion").preflight(settings)
    same = wanting(path, conditions=names)
    assert torch.equal(drawn(settings, views_of(settings, 2)), drawn(same, views_of(same, 2)))


def test_the_cost_counts_every_look(weights: Path, tmp_path: Path) -> None:
    kind, backend = renderer_class("diffusion"), Backend(micro_batch=2)
    one, two, guided = (
        kind.cost(wanting(weights, **sampler), backend, {})
        for sampler in ({"steps": 1, "guidance": 1}, {"steps": 2, "guidance": 1}, {"steps": 1, "guided": (0, 1)})
    )
    assert one is not None
    assert two is not None
    assert guided is not None
    reading = 2 * one.flops_per_picture - two.flops_per_picture  # once; for guidance, also of nothing
    assert 0 < reading < 0.7 * one.flops_per_picture  # the sketch of a tiny network weighs more than its steps
    assert guided.flops_per_picture == pytest.approx(two.flops_per_picture + reading, rel=1e-6)
    assert one.parameter_bytes == 4 * sum(w.numel() for w in load_file(weights).values())
    assert kind.cost(wanting(tmp_path / "lost.safetensors"), backend, {}) is None


def test_the_network_is_small_enough_to_ship() -> None:
    with torch.device("meta"):
        shape = DiffusionShape().model_dump()
        network = DiffusionNetwork(DiffusionSizes(256, conditions.width(KNOWN), **shape))
    assert 2 * sum(each.numel() for each in network.state_dict().values()) < 12_000_000


def test_sizes_that_do_not_go_together_are_refused() -> None:
    for changes in ({"widths": (8, 8, 8)}, {"widths": (6, 8)}, {"widths": ()}, {"patch": 5}):
        with pytest.raises(ValueError, match=r"px are not patches|widths must be multiples"):
            dataclasses.replace(TINY, **changes)
    with pytest.raises(ValueError, match="a sketch needs places, an even patch"):
        dataclasses.replace(TINY, places=0)


def test_a_sketch_is_laid_out_from_conditions_alone_and_reaches_the_picture() -> None:
    with drawn_from(1, "test"):
        network = DiffusionNetwork(TINY)
    told = Conditions(
        torch.eye(2, DIMENSION), torch.zeros(2, TINY.told), torch.tensor([True, True]), torch.tensor([True, False])
    )
    mixed, share = torch.zeros(2, 3, 112, 112), torch.ones(2)
    with torch.no_grad():
        read = network.read(told)
        assert read.sketch is not None
        assert read.sketch.shape == (2, 3, 56, 56)
        assert float((read.sketch[0] - read.sketch[1]).abs().max()) > 1e-4
        before = network(mixed, share, read)
        assert torch.equal(before, network(mixed, share, dataclasses.replace(read, sketch=None)))  # says nothing yet
        assert network.sketch is not None
        torch.nn.init.normal_(network.sketch.maps.weight)
        assert float((network(mixed, share, read) - before).abs().max()) > 1e-4
    assert DiffusionNetwork(dataclasses.replace(TINY, sketch=0)).read(told).sketch is None


def test_drawing_begins_on_the_sketch(weights: Path) -> None:
    settings = wanting(weights, steps=1, begin=0.01, guidance=1)
    views = views_of(settings, 1)
    network = DiffusionNetwork(TINY)
    network.load_state_dict(load_file(weights))
    known = torch.ones(1, dtype=torch.bool)
    noise = random.normals(views.key, random.noise_index(views.key, "diffusion"), 3 * 112 * 112).view(1, 3, 112, 112)
    with torch.no_grad():
        read = network.read(Conditions(views.vector, conditions.told(KNOWN, views.attributes), known, known))
        assert read.sketch is not None
        clean = network(0.99 * enlarged(read.sketch) + 0.01 * noise, torch.full((1,), 0.01), read)
    due = ((clean.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1)
    assert (drawn(settings, views).float() - due).abs().max() <= 1


def test_a_step_is_a_line_between_mixture_and_picture() -> None:
    first = flow_steps(FlowSampler(steps=4, begin=1, guidance=1))[0]
    assert first == Step(0.999, pytest.approx(0.75), pytest.approx(0.25), 0.0, knows_identity=True, guided=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_quick_normalisation_is_torch_s(dtype: torch.dtype, channels_last: bool) -> None:
    draw = torch.Generator().manual_seed(4)
    plain = torch.nn.GroupNorm(4, 16)
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, generator=draw)
    holder = torch.nn.Sequential(copy.deepcopy(plain))
    quicken(holder)
    assert isinstance(holder[0], QuickGroupNorm)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    given, above = (torch.randn(3, 16, 6, 5, generator=draw).to(dtype) for _ in range(2))

    def both_ways(layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
        x = x.contiguous(memory_format=memory).requires_grad_()
        result = layer(2 * x + 1)
        found = torch.autograd.grad(result, [x, *layer.parameters()], above.to(result.dtype))
        return [result.detach(), *found]

    for due, found in zip(both_ways(plain, given.float()), both_ways(holder, given), strict=True):
        assert (due - found.float()).abs().max() <= (1e-5 if dtype == torch.float32 else 1e-2) * due.abs().max()
