"""IResNet: the published names and numbers, files as people have them, gradients, and what is told of wrong weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from jobs.recipe import Recipe, load_recipe
from samplers.errors import DatasetError, RecipeError
from synth.backend import Backend
from synth.encoder import DifferentiableEncoder, encoder_class, open_encoders
from synth.encoders.conventions import CONVENTIONS
from synth.encoders.iresnet import BLOCKS, IResNet, IResNetEncoder, IResNetSizes, fold
from synth.encoders.settings import IResNetSettings
from synth.section import InputFile
from tests.encoders.refusals import refused
from tests.golden import filled, filled_from_shapes, golden, named_shapes, wave

DIMENSION = 16


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Of an IResNet-18 with few dimensions."""
    with torch.device("meta"):
        shapes = {
            name: tuple(entry.shape)
            for name, entry in IResNet(IResNetSizes(BLOCKS[18], DIMENSION)).state_dict().items()
        }
    return filled_from_shapes(shapes)


@pytest.fixture(scope="module")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "r18.safetensors"
    save_file(weights, path)
    return path


def of_file(path: Path, convention: str = "arcface", **more: Any) -> IResNetSettings:
    fields = {"weights": InputFile(url=str(path)), "layers": 18, "convention": convention, **more}
    return IResNetSettings.model_validate(fields)


def opened(path: Path, convention: str = "arcface", **more: Any) -> IResNetEncoder:
    return IResNetEncoder.open(of_file(path, convention, **more), Backend())


def pictures(count: int, side: int = 112) -> Tensor:
    """Uint8 pictures (B, H, W, 3) with something to see."""
    return ((wave((count, side, side, 3), 0.0173) + 1) * 127.5).to(torch.uint8)


def pixels_of(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def far(found: Tensor, due: Tensor) -> float:
    """The largest distance, relative to the length of what is due."""
    return float(((found - due).norm(dim=1) / due.norm(dim=1)).max())


def plain(weights: dict[str, Tensor], seen: Tensor, epsilon: float = 1e-5) -> Tensor:
    """What the network gives as it was published, nothing folded."""
    network = IResNet(IResNetSizes(BLOCKS[18], DIMENSION), epsilon)
    network.load_state_dict(weights)
    with torch.inference_mode():
        embedding: Tensor = network.eval()(seen)
    return embedding


def test_names_shapes_and_numbers_are_the_published_ones() -> None:
    network, seen, due = (
        IResNet(IResNetSizes(BLOCKS[50])),
        wave((2, 3, 112, 112), 0.0173),
        golden("iresnet50")["feature"],
    )
    shapes = {name: tuple(entry.shape) for name, entry in network.state_dict().items()}
    assert list(shapes.items()) == list(named_shapes("iresnet50").items())
    network.load_state_dict(filled(network.state_dict()))
    network.eval()
    with torch.inference_mode():
        assert far(network(seen), due) < 1e-4
        fold(network)
        assert far(network(seen), due) < 1e-4
        network.to(memory_format=torch.channels_last)
        assert far(network(seen.contiguous(memory_format=torch.channels_last)), due) < 1e-4


@pytest.mark.parametrize(("depth", "millions"), [(18, 24.0), (34, 34.1), (50, 43.6), (100, 65.2)])
def test_every_depth_has_its_published_size(depth: int, millions: float) -> None:
    with torch.device("meta"):
        network = IResNet(IResNetSizes(BLOCKS[depth]))
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_folding_twice_changes_nothing_more(weights: dict[str, Tensor]) -> None:
    network = IResNet(IResNetSizes(BLOCKS[18], DIMENSION))
    network.load_state_dict(weights)
    fold(network.eval())
    once = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fold(network)
    assert all(torch.equal(tensor, once[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("convention", ["arcface", "magface", "adaface"])
def test_pictures_reach_the_network_as_the_convention_says(
    weights: dict[str, Tensor], file: Path, convention: str
) -> None:
    images, row = pictures(2), CONVENTIONS[convention]
    rgb = images.permute(0, 3, 1, 2).float()
    seen = ((rgb if row.order == "rgb" else rgb[:, [2, 1, 0]]) - row.mean) / row.std
    due = plain(weights, seen, 2e-5 if convention == "magface" else 1e-5)
    found = opened(file, convention).embed(images)
    assert (found.dtype, found.shape) == (torch.float32, (2, DIMENSION))
    assert far(found, due) < 1e-4
    other = next(name for name, each in CONVENTIONS.items() if each.order != row.order)
    assert far(plain(weights, CONVENTIONS[other].feed(rgb)), due) > 0.005  # the mistake would be seen


def test_embeddings_and_features_agree_at_every_size(file: Path) -> None:
    encoder = opened(file)
    for side in (56, 112, 224, 130):
        images = pictures(2, side)
        assert far(encoder.features(pixels_of(images)), encoder.embed(images)) < 1e-4
    double = pictures(2).repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert far(encoder.embed(double), encoder.embed(pictures(2))) < 1e-4


def test_flipping_takes_the_mean_of_both(file: Path) -> None:
    images, encoder = pictures(2), opened(file)
    merged = opened(file, flip=True)
    due = (encoder.embed(images) + encoder.embed(images.flip(2))) / 2
    assert far(merged.embed(images), due) < 1e-5
    assert far(merged.embed(images.flip(2)), due) < 1e-5
    assert far(merged.features(pixels_of(images)), due) < 1e-4


def test_gradients_flow_to_the_pixels_and_not_to_the_weights(file: Path) -> None:
    encoder = opened(file)
    assert isinstance(encoder, DifferentiableEncoder)
    pixels = pixels_of(pictures(1)).double().requires_grad_()
    encoder.features(pixels)[0, 0].backward()
    assert pixels.grad is not None
    # Along the steepest way the first number rises as the gradient says.
    way = pixels.grad / pixels.grad.norm()
    step = 0.05
    with torch.no_grad():
        ends = [float(encoder.features(pixels + sign * step * way)[0, 0]) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(pixels.grad.norm()), rel=0.05)


def test_opening_draws_no_random_numbers(file: Path) -> None:
    before = torch.get_rng_state()
    opened(file)
    assert torch.equal(torch.get_rng_state(), before)


Wrap = Callable[[dict[str, Tensor]], dict[str, Any]]


def prefixed(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: prefixed("module.", weights),
        lambda weights: {"state_dict": prefixed("features.module.", weights), "epoch": 25, "arch": "iresnet18"},
        lambda weights: {"state_dict": {**prefixed("module.features.", weights), "module.fc.weight": torch.ones(3)}},
        lambda weights: {"state_dict": {**prefixed("model.", weights), "head.kernel": torch.ones(3)}, "epoch": 1},
        lambda weights: {"state_dict_backbone": weights, "state_dict_softmax_fc": {}, "epoch": 3},
        lambda weights: {"model": {name: tensor.half() for name, tensor in weights.items()}},
    ],
    ids=["flat", "parallel", "magface", "magface parallel", "lightning", "arcface_torch", "half"],
)
def test_weights_are_found_however_a_training_kept_them(
    weights: dict[str, Tensor], file: Path, tmp_path: Path, wrap: Wrap
) -> None:
    torch.save(wrap(weights), tmp_path / "w.pth")
    assert IResNetEncoder.preflight(of_file(tmp_path / "w.pth")) == DIMENSION
    assert far(opened(tmp_path / "w.pth").embed(pictures(1)), opened(file).embed(pictures(1))) < 0.05


def refusal(chosen: IResNetSettings) -> str:
    return refused(chosen, chosen.weights.url)


@pytest.mark.parametrize("depth", BLOCKS)
def test_weights_of_another_depth_are_told_with_the_depth_that_they_have(file: Path, depth: int) -> None:
    chosen = of_file(file, layers=depth)
    if depth == 18:
        assert IResNetEncoder.preflight(chosen) == DIMENSION
    else:
        assert refusal(chosen) == (
            f" is not IResNet-{depth}: its layers have 2, 2, 2, 2 blocks (IResNet-18); "
            "change the encoder's `layers`, or its weights"
        )


def test_an_unknown_depth_is_told(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({name: value for name, value in weights.items() if "layer3.1" not in name}, tmp_path / "w.pth")
    assert "its layers have 2, 2, 1, 2 blocks (no IResNet known here)" in refusal(of_file(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bn2.weight": None}, "missing: bn2.weight"),
        ({"conv1.weight": None}, "missing: conv1.weight"),
        ({"features.weight": None, "features.bias": None}, "missing: features.weight, features.bias; misshapen: fc."),
        ({"attn.fc1.weight": torch.ones(2)}, "extra: attn.fc1.weight"),
        ({"fc.weight": torch.ones(DIMENSION, 9)}, "misshapen: fc.weight [16, 9] for [16, 25088]"),
        ({"layer1.0.downsample.0.weight": torch.ones(64, 64, 3, 3)}, "misshapen: layer1.0.downsample.0.weight"),
    ],
)
def test_weights_of_another_network_are_told_by_name(
    weights: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], said: str
) -> None:
    torch.save({name: value for name, value in {**weights, **change}.items() if value is not None}, tmp_path / "w.pth")
    assert said in refusal(of_file(tmp_path / "w.pth"))


def test_weights_that_are_not_finite_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    broken = torch.full_like(weights["bn2.bias"], float("nan"))
    torch.save({**weights, "bn2.bias": broken}, tmp_path / "w.pth")
    with pytest.raises(DatasetError, match=r"bn2\.bias has numbers that are not finite$"):
        opened(tmp_path / "w.pth")


def recipe(file: Path, **overrides: Any) -> Recipe:
    """A recipe of barcodes, whose three checks look at them through this recogniser."""
    encoder = {"kind": "iresnet", "layers": 18, "weights": str(file), "convention": "magface_rgb"}
    checks = [
        {"kind": "cosine_to_anchor", "encoder": "magface", "min": 0.4},
        {"kind": "nearest_anchor", "encoder": "magface"},
        {"kind": "quality", "encoder": "magface", "min": 20},
    ]
    return load_recipe("barcode", {"encoders": {"magface": encoder}, "checks.list": checks, **overrides})


def test_a_recipe_names_its_encoders_and_opens_them(file: Path) -> None:
    loaded = recipe(file)
    assert list(loaded.used_encoders) == ["magface"]
    chosen = loaded.used_encoders["magface"]
    assert encoder_class(chosen.kind).preflight(chosen) == DIMENSION
    encoders = open_encoders(loaded.used_encoders, loaded.backend)
    assert far(encoders["magface"].embed(pictures(1)), opened(file).embed(pictures(1))) < 1e-6


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"checks.list": [{"kind": "nearest_anchor", "encoder": "magfase"}]},
            "unknown encoder 'magfase'; did you mean",
        ),
        ({"encoders.magface.convention": "arcface"}, "magface's embeddings is no measure of quality"),
        ({"checks.list": []}, "nothing uses the encoder 'magface'"),
        ({"encoders.magface.kind": "iresnett"}, "unknown kind 'iresnett'; did you mean iresnet?"),
        ({"encoders.magface.layers": 52}, "encoders.magface.layers: input should be 18, 34, 50 or 100, not 52"),
        ({"encoders.magface.convention": "arcfacee"}, "encoders.magface.convention: input should be 'arcface', 'mag"),
        ({"encoders.magface.wieghts": "x"}, "encoders.magface.wieghts: unknown key; did you mean weights?"),
    ],
)
def test_a_mistake_in_a_recipe_is_told_in_one_line(file: Path, overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        recipe(file, **overrides)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_convention_must_be_chosen(file: Path) -> None:
    encoder = {"kind": "iresnet", "layers": 18, "weights": str(file)}
    with pytest.raises(RecipeError, match=r"encoders\.magface\.convention: this key is required"):
        recipe(file, encoders={"magface": encoder})


def test_attrop_wants_gradients_that_float16_would_lose(file: Path) -> None:
    renderer = {"kind": "vec2face", "weights": "x.pth", "optimise": {"quality": {"encoder": "magface"}}}
    with pytest.raises(RecipeError, match=r"renderer\.optimise needs gradients, which float16 loses"):
        recipe(file, renderer=renderer, backend={"device": "cuda", "dtype": "float16"})
