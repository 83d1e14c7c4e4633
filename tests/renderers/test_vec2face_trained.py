"""Vec2Face with weights of our own as a renderer: its header, its conditions, and pictures that belong to their row."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from samplers.attributes import neutral_attributes
from samplers.errors import DatasetError, RecipeError
from synth import conditions
from synth.backend import Backend
from synth.network_file import header
from synth.renderer import TEMPLATE_PX, Equipment, Portraits, Views, open_renderer, renderer_class
from synth.renderers.settings import Vec2FaceTrainedSettings
from synth.renderers.vec2face.network import Sizes
from synth.renderers.vec2face.pixels import PixelDecoder, PixelSizes
from synth.renderers.vec2face.quick import quicken, quicken_training
from synth.renderers.vec2face.trained import KIND, ToldSizes, ToldVec2Face, described
from synth.training.loop import drawn_from

DIMENSION, STYLE = 16, 4
PIXELS = PixelSizes(channels_in=16, channels=8, factors=(1, 1, 2, 2), blocks=1, groups=4, shuffle=2, grain=2, told=32)
KNOWN = conditions.CONDITIONS


def sizes(told: int = conditions.width(KNOWN)) -> ToldSizes:
    return ToldSizes(Sizes(32, 1, 2, 1, 2, PIXELS, DIMENSION, spare_layers=False), told, STYLE, (4, 4, 8, 8))


def network(made: ToldSizes) -> ToldVec2Face:
    with drawn_from(1, "test"):
        network = ToldVec2Face(made)
        nn.init.normal_(network.autoencoder.decoder_pos_embed_learned)
        decoder = network.autoencoder.im_decoder
        assert isinstance(decoder, PixelDecoder)
        for weight in decoder.grain.parameters():
            nn.init.normal_(weight, std=0.02)  # or else what random weights make of the person is lost in it
    return network


def store(path: Path, made: ToldSizes, described_as: dict[str, Any]) -> Path:
    save_file(network(made).state_dict(), path, header(KIND, described_as))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights that is told all conditions."""
    path = tmp_path_factory.mktemp("trained") / "vec2face.safetensors"
    return store(path, sizes(), described(sizes(), KNOWN))


def wanting(weights: Path, **changes: Any) -> Vec2FaceTrainedSettings:
    return Vec2FaceTrainedSettings.model_validate({"weights": str(weights), **changes})


def views_of(settings: Vec2FaceTrainedSettings, count: int, **attributes: float) -> Views:
    draw = torch.Generator().manual_seed(1)
    vector = torch.nn.functional.normalize(torch.randn(count, DIMENSION, generator=draw))
    given = neutral_attributes(renderer_class("vec2face_trained").declare(settings), count)
    given.update({name: torch.full((count,), value) for name, value in attributes.items()})
    keys = torch.randint(0, 2**32, (2, count, 2), generator=draw)
    return Views(torch.arange(count), vector, vector, torch.ones(count), given, keys[0], keys[1])


def drawn(settings: Vec2FaceTrainedSettings, views: Views, dtype: Any = "float32") -> Portraits:
    return open_renderer(settings, Equipment(Backend(dtype=dtype), {})).portraits(views)


def test_the_header_says_the_dimension_and_which_attributes_there_are(weights: Path) -> None:
    kind = renderer_class("vec2face_trained")
    assert kind.vector_dimension(wanting(weights)) == DIMENSION
    assert list(kind.declare(wanting(weights))) == ["mask_rate", *KNOWN]
    assert list(kind.declare(wanting(weights, conditions=("hat",)))) == ["mask_rate", "hat"]


def test_a_picture_depends_on_its_own_row_alone(weights: Path) -> None:
    renderer = open_renderer(wanting(weights), Equipment(Backend(), {}))
    views = views_of(wanting(weights), 6)
    together = renderer.portraits(views)
    assert together.images.shape == (6, 112, 112, 3)
    assert together.images.float().std() > 5
    assert together.landmarks is not None
    for rows in (slice(0, 1), slice(2, 5)):
        alone = renderer.portraits(views.select(rows))
        # Kernels round otherwise for another batch size, by one step of 255 at most.
        assert (alone.images.int() - together.images[rows].int()).abs().max() <= 1
        assert alone.landmarks is not None
        assert torch.allclose(alone.landmarks, together.landmarks[rows], atol=1e-3)
    assert torch.equal(renderer.render(views.select(torch.arange(5, -1, -1))), together.images.flip(0))


def differs(first: Tensor, second: Tensor) -> bool:
    return bool((first.int() - second.int()).abs().max() > 1)


def test_person_attributes_and_key_reach_the_picture(weights: Path) -> None:
    settings = wanting(weights)
    renderer, views = open_renderer(settings, Equipment(Backend(), {})), views_of(settings, 1)
    plain = renderer.render(views)
    others = views_of(settings, 2).select(slice(1, 2))
    changed = {
        "vector": dataclasses.replace(views, vector=others.vector),
        "key": dataclasses.replace(views, key=others.key),
        "yaw_deg": views_of(settings, 1, yaw_deg=30.0),
        "exposure_ev": views_of(settings, 1, exposure_ev=1.0),
        "mask_rate": views_of(settings, 1, mask_rate=1.0),
    }
    for name, different in changed.items():
        assert differs(plain, renderer.render(different)), name
    person = dataclasses.replace(views, person=others.person, identity=others.identity)
    assert torch.equal(plain, renderer.render(person))  # a person is what the vector says, and nothing else


def test_landmarks_are_those_of_the_head_that_poses_moved_to_the_person(weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights)
    tensors["elsewhere.2.weight"].zero_()
    tensors["elsewhere.2.bias"].fill_(0.5)
    save_file(tensors, tmp_path / "half.safetensors", header(KIND, described(sizes(), KNOWN)))
    settings = wanting(tmp_path / "half.safetensors")
    found = drawn(settings, views_of(settings, 2, crop_x_px=3.0)).landmarks
    assert found is not None
    # As a similarity cannot fit all heads, the mean one's points lie some pixels from the template's.
    moved = found[0] - torch.tensor(TEMPLATE_PX) - torch.tensor([3.5, 0.5])
    assert moved.mean(0).abs().max() < 0.1
    assert moved.abs().max() < 4
    assert torch.equal(found[0], found[1])


def test_bfloat16_draws_nearly_the_same(weights: Path) -> None:
    settings = wanting(weights)
    full, half = (drawn(settings, views_of(settings, 3), dtype) for dtype in ("float32", "bfloat16"))
    assert full.landmarks is not None
    assert half.landmarks is not None
    assert torch.allclose(full.landmarks, half.landmarks, atol=1e-3)
    assert (full.images.float() - half.images.float()).abs().mean() < 3


def test_the_quickened_decoders_give_the_same_pictures() -> None:
    made = {name: network(sizes()) for name in ("plain", "training", "quick")}
    quicken_training(made["training"].autoencoder)
    quicken(made["quick"].autoencoder)
    assert made["training"].state_dict().keys() == made["plain"].state_dict().keys()
    generator = torch.Generator().manual_seed(1)
    grid, grain = torch.randn(2, 16, 7, 7, generator=generator), torch.randn(2, 2, 56, 56, generator=generator)
    with torch.inference_mode():
        plain, training, quick = (each.autoencoder.im_decoder(grid, grain) for each in made.values())
    assert plain.shape == (2, 3, 112, 112)
    assert torch.allclose(plain, training, atol=1e-4)
    assert torch.allclose(plain, quick, atol=1e-4)
    assert not torch.allclose(plain, made["plain"].autoencoder.im_decoder(grid), atol=1e-2)


def test_grain_changes_pixels_near_its_place_and_no_others() -> None:
    decoder = network(sizes()).autoencoder.im_decoder
    generator = torch.Generator().manual_seed(1)
    grid, grain = torch.randn(1, 16, 7, 7, generator=generator), torch.randn(1, 2, 56, 56, generator=generator)
    corner = grain.clone()
    corner[:, :, :8, :8] = -corner[:, :, :8, :8]
    assert isinstance(decoder, PixelDecoder)
    norms = [module for module in decoder.modules() if isinstance(module, nn.GroupNorm)]
    for norm in norms:  # which would carry a change everywhere
        norm.register_forward_hook(lambda module, given, result: given[0])
    with torch.inference_mode():
        changed = (decoder(grid, grain) - decoder(grid, corner)).abs().amax((0, 1))
    assert float(changed[:16, :16].amax()) > 1e-4
    assert float(changed[48:].amax()) == 0
    assert float(changed[:, 48:].amax()) == 0


def test_shuffled_pixels_lie_where_their_place_is() -> None:
    decoder = PixelDecoder(PIXELS)
    with torch.no_grad():
        decoder.conv_out.weight.zero_()
        decoder.conv_out.bias.copy_(torch.arange(12.0))
        picture = decoder(torch.randn(1, 16, 7, 7))
    assert picture[0, :, :2, :2].flatten().tolist() == list(range(12))
    assert torch.equal(picture[0, :, :2, :2], picture[0, :, 40:42, 60:62])


def test_its_cost_is_known_where_the_file_is_at_hand(weights: Path) -> None:
    kind = renderer_class("vec2face_trained")
    cost = kind.cost(wanting(weights), Backend(micro_batch=4), {})
    assert cost is not None
    assert cost.parameter_bytes == pytest.approx((weights.stat().st_size), rel=0.2)
    assert cost.flops_per_picture > 1e6
    assert kind.cost(wanting(weights / "not-there"), Backend(), {}) is None


def refusal(settings: Vec2FaceTrainedSettings) -> str:
    """What preflight and opening say alike."""
    said = []
    kind = renderer_class("vec2face_trained")
    for refuse in (kind.preflight, lambda each: open_renderer(each, Equipment(Backend(), {}))):
        with pytest.raises((DatasetError, RecipeError)) as refused:
            refuse(settings)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    return said[0]


def test_other_conditions_than_the_training_s_are_refused(weights: Path, tmp_path: Path) -> None:
    line = refusal(wanting(weights, conditions=("yaw_deg",)))
    assert "was trained with other conditions: set renderer.conditions to [yaw_deg, pitch_deg, " in line
    few = conditions.declared(("hat", "smile"))
    path = store(tmp_path / "few.safetensors", sizes(4), described(sizes(4), few))
    assert refusal(wanting(path)).endswith("set renderer.conditions to [hat, smile]")
    renderer_class("vec2face_trained").preflight(wanting(path, conditions=("hat", "smile")))
    assert "unknown condition 'wings'" in refusal(wanting(weights, conditions=("wings",)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"conditions": ["wings"]}, "is told wings, which this version of Hypersynth does not know"),
        ({"conditions": ["hat"]}, "is told 56 numbers, but its conditions are 3 in this version of Hypersynth"),
        ({"sizes": {"told": 3}}, "its header is damaged: it does not say the network's sizes"),
        ({"conditions": 3}, "its header is damaged"),
    ],
)
def test_headers_that_contradict_themselves_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    path = store(tmp_path / "flawed.safetensors", sizes(), {**described(sizes(), KNOWN), **changed})
    assert words in refusal(wanting(path))


def test_weights_that_do_not_fit_the_header_are_refused_with_their_names(weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights)
    del tensors["told.0.weight"]
    save_file(tensors, tmp_path / "lost.safetensors", header(KIND, described(sizes(), KNOWN)))
    assert "missing: told.0.weight" in refusal(wanting(tmp_path / "lost.safetensors"))
