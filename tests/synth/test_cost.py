"""Costs that are measured without weights: held against arithmetic, and against what PyTorch allocates."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from synth.backend import Backend
from synth.cost import Cost, LiveBytes, cpu_rate, measured_cost, stored_bytes
from synth.encoder import encoder_class
from synth.encoders.settings import BUILT_IN, IResNetSettings
from synth.renderer import renderer_class
from synth.renderers.settings import BarcodeSettings, HeadSettings, Vec2FacePlusSettings, Vec2FaceSettings
from synth.renderers.vec2face.masking import PLACES, token_mask
from synth.renderers.vec2face.network import FEATURE_DIMENSION, SIZES, FeatureAutoencoder

COUNT = 4


def drawing(device: str, gradients: bool) -> tuple[FeatureAutoencoder, Callable[[], None]]:
    """The tiny network, and a run of it over a micro-batch."""
    with torch.device(device):
        network = FeatureAutoencoder(SIZES["tiny"]).requires_grad_(False)

    def draw() -> None:
        with torch.device(device), torch.set_grad_enabled(gradients):
            feature = torch.rand(COUNT, FEATURE_DIMENSION).requires_grad_(gradients)
            pixels = network(feature, token_mask(torch.rand(COUNT, PLACES), torch.rand(COUNT), 0.1))
            if gradients:
                pixels.sum().backward()

    return network, draw


def allocated_peak(run: Callable[[], None]) -> int:
    """The most bytes that PyTorch's allocator had given out during a run, by its own profiler."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    events = [each for each in seen.profiler.kineto_results.events() if each.name() == "[memory]"]
    now = peak = 0
    for each in sorted(events, key=lambda each: each.start_ns()):
        now += each.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize("gradients", [False, True])
def test_bytes_found_without_a_device_are_those_that_the_allocator_gives_out(gradients: bool) -> None:
    meta, real = (
        measured_cost([network], COUNT, run) for network, run in map(drawing, ("meta", "cpu"), [gradients] * 2)
    )
    assert meta.peak_bytes_per_batch == pytest.approx(real.peak_bytes_per_batch, rel=1e-3)
    _, draw = drawing("cpu", gradients)
    draw()  # libraries take their own at the first run
    assert meta.peak_bytes_per_batch == pytest.approx(allocated_peak(draw), rel=0.01)


def test_parameter_bytes_are_exact() -> None:
    network, _ = drawing("meta", False)
    assert stored_bytes([network]) == sum(tensor.nbytes for tensor in network.state_dict().values())
    assert stored_bytes([network, network]) == stored_bytes([network])


def test_operations_are_counted_as_arithmetic_has_them() -> None:
    with torch.device("meta"):
        linear, convolution = nn.Linear(32, 64), nn.Conv2d(3, 8, 3, padding=1)
        heads = torch.rand(COUNT, 2, 50, 16)
        rows, pictures = torch.rand(COUNT, 32), torch.rand(COUNT, 3, 10, 10)

    def run() -> None:
        linear(rows)
        convolution(pictures)
        functional.scaled_dot_product_attention(heads, heads, heads)

    with torch.no_grad():
        cost = measured_cost([linear, convolution], COUNT, run)
    assert cost.flops_per_picture == 2 * 32 * 64 + 2 * 27 * 8 * 100 + 2 * (2 * 2 * 50 * 50 * 16)
    assert cost.parameter_bytes == 4 * (32 * 64 + 64 + 27 * 8 + 8)


def test_attention_keeps_no_matrix_of_all_pairs() -> None:
    tokens = 4096
    heads = torch.rand(1, 8, tokens, 40, device="meta")
    with torch.no_grad():
        cost = measured_cost([], 1, lambda: functional.scaled_dot_product_attention(heads, heads, heads))
    assert cost.peak_bytes_per_batch < 4 * 8 * tokens * tokens / 10


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_bytes_live_until_the_last_tensor_that_looks_at_them_is_gone(device: str) -> None:
    given = torch.zeros(1000, device=device)
    with LiveBytes() as live:
        view = given[:500]
        assert live.now == 0, "what was there before is not counted"
        made: Tensor = given + 1
        part = made[10:20]
        made.mul_(2)
        assert live.now == 4000
        del made
        assert live.now == 4000, "a part of it is still there"
        del part, view
        assert (live.now, live.peak) == (0, 4000)


def test_costs_add_up() -> None:
    one, other = Cost(10, 100, 1.0), Cost(1, 30, 5.0)
    assert one.beside(other) == Cost(11, 130, 6.0)
    assert one.then(other) == other.then(one) == Cost(11, 100, 6.0)
    assert one.repeated(3) == Cost(10, 100, 3.0)


def vec2face(batch: int, dtype: str = "float32", **settings: object) -> Cost:
    chosen = Vec2FaceSettings(weights="nowhere.pth", **{"network": "tiny", **settings})
    backend = Backend(device="cuda", micro_batch=batch, dtype=dtype)
    encoder = Cost(parameter_bytes=7, peak_bytes_per_batch=1000, flops_per_picture=100.0)
    return renderer_class("vec2face").cost(chosen, backend, {"grader": encoder})


def test_the_published_network_has_the_published_size() -> None:
    """174 million parameters, and those of the four layers that a GPU doubles pictures with: 16 taps for 9."""
    wider = 7 * (512**2 + 256**2 + 256**2 + 128**2)
    cost = vec2face(1, network="base")
    assert cost.parameter_bytes / 4 - wider == pytest.approx(174.1e6, rel=1e-3)
    assert 40e9 < cost.flops_per_picture < 50e9


def test_memory_follows_micro_batch_and_dtype_and_operations_do_not() -> None:
    one, two, half = vec2face(8), vec2face(16), vec2face(8, "bfloat16")
    assert two.peak_bytes_per_batch == pytest.approx(2 * one.peak_bytes_per_batch, rel=0.01)
    assert half.peak_bytes_per_batch == pytest.approx(one.peak_bytes_per_batch / 2, rel=0.01)
    assert one.flops_per_picture == two.flops_per_picture == half.flops_per_picture


def test_a_search_is_charged_for_all_its_steps_and_for_those_who_judge() -> None:
    plain = vec2face(8)
    searched = vec2face(8, optimise={"steps": 4, "quality": {"encoder": "grader"}})
    assert 2 * 5 * plain.flops_per_picture + 500 < searched.flops_per_picture
    assert searched.flops_per_picture < 4 * 5 * plain.flops_per_picture
    assert searched.peak_bytes_per_batch > 3 * plain.peak_bytes_per_batch
    unjudged = vec2face(8, optimise={"steps": 4, "pose": {"weights": "nowhere.pth"}})
    assert unjudged.parameter_bytes > searched.parameter_bytes, "the pose network is the renderer's own"


def test_conditions_cost_a_network_more() -> None:
    settings = Vec2FacePlusSettings(weights="nowhere.pth", network="tiny", dropped_share=0.1)
    backend = Backend(device="cuda", micro_batch=8)
    cost, plain = renderer_class("vec2face_plus").cost(settings, backend, {}), vec2face(8)
    assert cost is not None
    assert cost.parameter_bytes > plain.parameter_bytes
    assert cost.flops_per_picture > plain.flops_per_picture


def test_an_encoder_costs_twice_as_much_with_its_mirrored_picture_and_with_gradients() -> None:
    settings = IResNetSettings(weights="nowhere.pth", layers=18, convention="arcface")
    cost = encoder_class("iresnet").cost
    once, backend = cost(settings, Backend()), Backend()
    assert once is not None
    assert cost(settings.model_copy(update={"flip": True}), backend).flops_per_picture == 2 * once.flops_per_picture
    back = cost(settings, backend, gradients=True)
    assert back.flops_per_picture == pytest.approx(2 * once.flops_per_picture, rel=0.01)
    assert back.peak_bytes_per_batch > 2 * once.peak_bytes_per_batch


def test_what_has_no_network_costs_nothing_that_is_told() -> None:
    assert renderer_class("head").cost(HeadSettings(), Backend(), {}) is None
    assert renderer_class("barcode").cost(BarcodeSettings(), Backend(), {}) is None
    assert encoder_class("barcode").cost(BUILT_IN["barcode"], Backend()) == Cost(0, 0, 0.0)


def test_a_machine_s_rate_is_measured_and_its_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    assert cpu_rate(before + 1, seconds=0.05) > 1e8
    assert torch.get_num_threads() == before
