"""Recognisers of our own: the file says how large they are, embeddings have unit length, and wrong files are told."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from samplers.errors import StorageError
from synth.backend import Backend
from synth.encoder import DifferentiableEncoder, encoder_class
from synth.encoders.iresnet import IResNet, IResNetSizes
from synth.encoders.settings import BUILT_IN, TrainedSettings
from synth.encoders.trained import TrainedEncoder, load_recogniser
from synth.network_file import header
from synth.section import InputFile
from tests.encoders.refusals import refused
from tests.golden import filled, wave

SIZES = IResNetSizes.compact(8, (8, 8, 12, 16), (1, 1, 2, 1), 24)


def weights_of(sizes: IResNetSizes = SIZES) -> dict[str, Tensor]:
    with torch.device("meta"):
        network = IResNet(sizes)
    shapes = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in network.state_dict().items()}
    return {name: value.half() if value.is_floating_point() else value for name, value in filled(shapes).items()}


def stored(folder: Path, said: dict[str, str] | None = None, **changes: Tensor | None) -> TrainedSettings:
    """A file as a training leaves it, in half precision; or with other words in its header, other or no tensors."""
    tensors = {name: value for name, value in {**weights_of(), **changes}.items() if value is not None}
    said = header("encoder", {"sizes": SIZES.document()}) if said is None else said
    path = folder / "mine.safetensors"
    save_file(tensors, path, said or None)
    return TrainedSettings(weights=InputFile(url=str(path)))


def images(count: int, side: int = 112) -> Tensor:
    return ((wave((count, side, side, 3), 0.0173) + 1) * 127.5).to(torch.uint8)


def test_it_embeds_as_the_network_does_with_unit_length(tmp_path: Path) -> None:
    settings = stored(tmp_path)
    assert TrainedEncoder.preflight(settings) == 24
    encoder = TrainedEncoder.open(settings, Backend())
    found = encoder.embed(images(3))
    assert (found.shape, found.dtype, encoder.dimension) == ((3, 24), torch.float32, 24)
    network = IResNet(SIZES)
    network.load_state_dict(weights_of())
    with torch.inference_mode():
        raw = network.eval()(images(3).permute(0, 3, 1, 2).float() / 127.5 - 1)
    torch.testing.assert_close(found, functional.normalize(raw, dim=1), rtol=0, atol=2e-4)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))


def test_it_is_chosen_by_its_kind_and_by_the_built_in_names(tmp_path: Path) -> None:
    assert encoder_class(stored(tmp_path).kind) is TrainedEncoder
    assert {name for name, each in BUILT_IN.items() if each.kind == "trained"} == {"builtin", "judge"}
    assert TrainedSettings().weights.url == "builtin://encoder.safetensors"


def test_the_mirrored_picture_counts_as_much_where_that_is_wanted(tmp_path: Path) -> None:
    settings = stored(tmp_path).model_copy(update={"flip": True})
    encoder = TrainedEncoder.open(settings, Backend())
    seen = images(2)
    torch.testing.assert_close(encoder.embed(seen), encoder.embed(seen.flip(2)), rtol=0, atol=1e-5)
    torch.testing.assert_close(encoder.embed(seen).norm(dim=1), torch.ones(2))


def test_gradients_flow_to_the_pixels(tmp_path: Path) -> None:
    encoder = TrainedEncoder.open(stored(tmp_path), Backend())
    assert isinstance(encoder, DifferentiableEncoder)
    pixels = (images(2).permute(0, 3, 1, 2).float() / 127.5 - 1).requires_grad_()
    features = encoder.features(pixels)
    torch.testing.assert_close(features.detach(), encoder.embed(images(2)), rtol=0, atol=1e-4)
    (gradient,) = torch.autograd.grad(features[:, 0].sum(), pixels)
    assert float(gradient.abs().max()) > 0


def test_its_cost_is_known_from_the_header(tmp_path: Path) -> None:
    cost = TrainedEncoder.cost(stored(tmp_path), Backend())
    assert cost is not None
    numbers = sum(value.numel() for value in weights_of().values())
    assert cost.parameter_bytes == pytest.approx(4 * numbers, rel=0.05)
    assert cost.flops_per_picture > 1e6


def test_a_network_that_is_trained_further_is_loaded_in_float32(tmp_path: Path) -> None:
    network = load_recogniser(stored(tmp_path).weights)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights_of()[name].to(value.dtype))
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def said_of(**changes: Any) -> dict[str, str]:
    return {**header("encoder", {"sizes": SIZES.document()}), **changes}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, " is no network that hypersynth train-model made"),
        (said_of(kind="vec2face"), " is a network of kind vec2face, not encoder"),
        (said_of(description="{"), ": its header is damaged"),
        (said_of(description="{}"), ": its header does not say its sizes"),
        (said_of(description=json.dumps({"sizes": {"stem": "wide"}})), ": its header is damaged: it does not say the"),
        (said_of(description=json.dumps({"sizes": [1]})), ": its header is damaged: it does not say the"),
    ],
)
def test_a_header_that_says_something_else_is_told(tmp_path: Path, said: dict[str, str], message: str) -> None:
    settings = stored(tmp_path, said)
    assert refused(settings, settings.weights.url).startswith(message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fc.weight", None, "missing: fc.weight"),
        ("fc.extra", torch.zeros(1), "extra: fc.extra"),
        ("fc.bias", torch.zeros(25), r"misshapen: fc.bias [25] for [24]"),
        ("fc.bias", torch.full((24,), torch.nan), "fc.bias has numbers that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_told_by_name(
    tmp_path: Path, name: str, value: Tensor | None, message: str
) -> None:
    settings = stored(tmp_path, **{name: value})
    assert message in refused(settings, settings.weights.url)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    absent = TrainedSettings(weights=InputFile(url=str(tmp_path / "nothing.safetensors")))
    with pytest.raises(StorageError, match=r"nothing\.safetensors: No such file"):
        TrainedEncoder.preflight(absent)
    assert TrainedEncoder.cost(absent, Backend()) is None
