"""Vec2Face and Vec2Face+: the published numbers, masks that belong to the picture, weights that are held strictly."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from samplers import random
from samplers.attributes import Normal
from samplers.errors import DatasetError, RecipeError, RenderError
from synth.backend import Backend
from synth.encoder import open_encoders
from synth.encoders.iresnet import BLOCKS, IResNet, IResNetSizes
from synth.encoders.settings import IResNetSettings
from synth.renderer import Equipment, Views, open_renderer, renderer_class
from synth.renderers.guides import Guide
from synth.renderers.settings import RendererSettings, Vec2FacePlusSettings, Vec2FaceSettings
from synth.renderers.vec2face.masking import PLACES, token_mask
from synth.renderers.vec2face.network import SIZES, FeatureAutoencoder, PoseCondition, Sizes, merged_adapters
from synth.renderers.vec2face.pixels import PixelSizes
from synth.renderers.vec2face.pose_network import PoseNetwork, yaw_deg
from synth.renderers.vec2face.quick import doubling_kernel, quicken
from synth.section import InputFile
from tests.golden import FIXTURES, filled, golden, nested_shapes, wave

PLUS_SIZES = Sizes(768, 2, 4, 2, 8, PixelSizes(32, 32))


def published(plus: bool) -> dict[str, Tensor]:
    """The weights of the golden network, by formula."""
    shapes = nested_shapes("vec2face_plus")["model_vec2face"] if plus else nested_shapes("vec2face")[""]
    weights = filled({name: torch.zeros(shape) for name, shape in shapes.items() if not name.endswith("position_ids")})
    return {**weights, "token_emb.position_ids": torch.arange(PLACES + 1)[None]}


def network(plus: bool, dtype: torch.dtype = torch.float32) -> FeatureAutoencoder:
    """The golden network with its adapters merged."""
    made = FeatureAutoencoder(PLUS_SIZES if plus else SIZES["tiny"])
    made.to(dtype).load_state_dict(merged_adapters({n: t.to(dtype) for n, t in published(plus).items()}, 32))
    return made.eval()


def conditions(plus: bool, dtype: torch.dtype = torch.float32) -> Tensor | None:
    if not plus:
        return None
    pose = PoseCondition().eval()
    pose.load_state_dict(filled(pose.state_dict()))
    condition: Tensor = pose.to(dtype)(wave((3, 3, 112, 112), 0.0173).to(dtype)).detach()
    return condition


def name(plus: bool) -> str:
    return "vec2face_plus" if plus else "vec2face"


class Adapted(nn.Module):
    """A linear layer with its adapter beside it, as the published code computes it."""

    def __init__(self, linear: nn.Linear, down: Tensor, up: Tensor) -> None:
        super().__init__()
        self.linear, self.down, self.up = linear, down, up

    def forward(self, x: Tensor) -> Tensor:
        whole: Tensor = self.linear(x) + 4 * (x @ self.down.T) @ self.up.T
        return whole


def put_adapters_back(made: FeatureAutoencoder, weights: dict[str, Tensor]) -> None:
    for at, block in made.named_modules():
        for layer in ("qkv", "proj") if at.endswith("attn") else ():
            linear = getattr(block, layer)
            linear.weight.data = weights[f"{at}.{layer}.base.weight"]
            setattr(block, layer, Adapted(linear, weights[f"{at}.{layer}.A"], weights[f"{at}.{layer}.B"]))


@pytest.mark.parametrize("plus", [False, True])
def test_the_published_numbers_in_the_published_order_of_operations(plus: bool) -> None:
    # Picture by picture, channels last, adapters beside their layers: other orders round differently, and these
    # weights blow rounding up to 1e-3 of the scale. The next test is the one that no rounding can hide in.
    made, stored, condition = network(plus), golden(name(plus)), conditions(plus)
    if plus:
        put_adapters_back(made, published(plus))
    mask = token_mask(stored["token_noise"], stored["mask_rate"], 0.1)
    assert torch.equal(mask.replaced, stored["replace_mask"][:, 1:])
    assert torch.equal(mask.kept, (~stored["drop_mask"]).nonzero()[:, 1].view(3, -1))
    decode = made.im_decoder.to(memory_format=torch.channels_last).forward
    made.im_decoder.forward = lambda grid, *_: decode(grid.contiguous(memory_format=torch.channels_last))
    with torch.inference_mode():
        for row in range(3):
            alone = slice(row, row + 1)
            given = None if condition is None else condition[alone]
            picture = made(stored["feature"][alone], mask.select(alone), given)
            assert (picture - stored["image"][alone]).abs().max() < 1e-4 * stored["image"].abs().max()


@pytest.mark.parametrize("plus", [False, True])
def test_in_float64_the_network_is_the_published_one(plus: bool) -> None:
    # Every fourth pixel of what the published code gives with everything in float64 (computed 2026-11-25).
    with np.load(FIXTURES / f"{name(plus)}_float64.npz") as kept:
        expected = torch.from_numpy(kept["image"])
    stored, made = golden(name(plus)), network(plus, torch.float64)
    mask = token_mask(stored["token_noise"], stored["mask_rate"], 0.1)
    with torch.inference_mode():
        pictures = made(stored["feature"].double(), mask, conditions(plus, torch.float64))
    assert (pictures[:, :, ::4, ::4] - expected).abs().max() < 1e-9 * expected.abs().max()


def test_the_base_size_has_the_names_and_shapes_of_the_published_checkpoint() -> None:
    with torch.device("meta"):
        made = FeatureAutoencoder(SIZES["base"])
    assert {n: tuple(t.shape) for n, t in made.state_dict().items()} == nested_shapes("vec2face_base")[""]


@pytest.mark.parametrize("plus", [False, True])
def test_the_quickened_network_gives_the_same_pictures(plus: bool) -> None:
    stored, made = golden(name(plus)), network(plus)
    mask, condition = token_mask(stored["token_noise"], stored["mask_rate"], 0.1), conditions(plus)
    quick = copy.deepcopy(made)
    quicken(quick)
    with torch.inference_mode():
        before, after = (each(stored["feature"], mask, condition) for each in (made, quick))
    assert (after - before).abs().max() < 2e-3 * before.abs().max()


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))
def test_doubling_and_convolving_is_one_transposed_convolution(before: int, after: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    kernel = torch.randn(after, before, 3, 3, generator=draw, dtype=torch.float64)
    picture = torch.randn(2, before, 4, 5, generator=draw, dtype=torch.float64)
    doubled = torch.nn.functional.interpolate(picture, scale_factor=2, mode="nearest")
    expected = torch.nn.functional.conv2d(doubled, kernel, padding=1)
    given = torch.nn.functional.conv_transpose2d(picture, doubling_kernel(kernel), stride=2, padding=1)
    assert torch.allclose(given, expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.floats(0, 0.97), st.floats(0.01, 1))
def test_masks_have_exact_numbers_and_a_picture_has_the_same_one_in_any_company(
    seed: int, dropped_share: float, rate: float
) -> None:
    draw = torch.Generator().manual_seed(seed)
    noise = torch.rand(4, PLACES, generator=draw)
    noise[1] = noise[1].round(decimals=1)  # ties
    rates = torch.tensor([rate, 0.5, 0.1, 1.0])
    mask = token_mask(noise, rates, dropped_share)
    dropped = int(np.ceil(PLACES * dropped_share))
    assert mask.kept.shape == (4, PLACES + 1 - dropped)
    assert bool((mask.kept[:, 0] == 0).all() and (mask.kept.diff(dim=1) > 0).all())
    assert mask.replaced.sum(1).tolist() == np.ceil(PLACES * rates.double().numpy() - 1e-5).tolist()
    for row in range(4):
        alone = token_mask(noise[row : row + 1], rates[row : row + 1], dropped_share)
        assert torch.equal(alone.kept[0], mask.kept[row])
        assert torch.equal(alone.replaced[0], mask.replaced[row])
    # What is dropped is what has the lowest noise.
    lost = torch.ones(4, PLACES + 1, dtype=torch.bool).scatter(1, mask.kept, value=False)[:, 1:]
    assert bool((noise.masked_fill(~lost, -1).amax(1) <= noise.masked_fill(lost, 2).amin(1)).all())


def test_a_share_of_whole_tokens_replaces_just_these() -> None:
    """Though float32 may hold k / 49 a little too large."""
    counts = torch.arange(PLACES + 1)
    mask = token_mask(torch.rand(PLACES + 1, PLACES), counts / PLACES, 0.1)
    assert torch.equal(mask.replaced.sum(1), counts)


def test_a_mask_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves none of 49 tokens"):
        token_mask(torch.rand(1, PLACES), torch.ones(1), 0.99)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny random networks in every form in which weights come."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    tensors = FeatureAutoencoder(SIZES["tiny"]).state_dict()
    pose = PoseCondition(SIZES["tiny"].width).state_dict()
    save_file(tensors, folder / "tiny.safetensors")
    torch.save({"model_vec2face": tensors, "epoch": 3}, folder / "tiny.pth")
    adapted = dict(tensors)
    for layer in [each.removesuffix(".weight") for each in tensors if each.endswith(("qkv.weight", "proj.weight"))]:
        if ".attn." in layer:
            weight = adapted.pop(f"{layer}.weight")
            adapted |= {f"{layer}.base.weight": weight, f"{layer}.base.bias": adapted.pop(f"{layer}.bias")}
            adapted |= {f"{layer}.A": torch.randn(8, weight.shape[1]), f"{layer}.B": torch.randn(len(weight), 8) / 50}
    torch.save({"model_vec2face": adapted, "pose_model": pose}, folder / "plus.pth")
    save_file(pose, folder / "pose.safetensors")
    return folder


def views_of(renderer: RendererSettings, count: int, **attributes: float) -> Views:
    identity = torch.arange(count) % 3
    index = torch.stack((identity, torch.arange(count), torch.zeros_like(identity)), 1)
    noise = random.normals(random.key_of(1, "people"), index * torch.tensor([1, 0, 0]), 512)
    anchor = torch.nn.functional.normalize(noise, dim=1)
    declared = renderer_class(renderer.kind).declare(renderer)
    return Views(
        identity=identity,
        anchor=anchor,
        vector=anchor,
        norm=torch.full((count,), 21.9),
        attributes={
            each: torch.full((count,), float(attributes.get(each, law.default))) for each, law in declared.items()
        },
        key=random.picture_keys(1, index),
        person=random.person_keys(1, identity),
    )


def drawn(settings_: RendererSettings, views: Views) -> Tensor:
    return open_renderer(settings_, Equipment(Backend(), {})).render(views)


def tiny(folder: Path, /, **changes: object) -> Vec2FaceSettings:
    return Vec2FaceSettings.model_validate({"network": "tiny", "weights": f"{folder}/tiny.pth", **changes})


def tiny_plus(folder: Path, /, **changes: object) -> Vec2FacePlusSettings:
    return Vec2FacePlusSettings.model_validate({"network": "tiny", "weights": f"{folder}/plus.pth", **changes})


@pytest.mark.parametrize("make", [tiny, tiny_plus])
def test_pictures_are_what_the_network_makes_of_the_views(weights: Path, make: Callable[..., Vec2FaceSettings]) -> None:
    """Vectors at their length, noise from the key, the recipe's share dropped, colours in order, numbers cut off."""
    wanting = make(weights, dropped_share=0.3)
    views = dataclasses.replace(
        views_of(wanting, 4, yaw_deg=20.0), anchor=torch.eye(4, 512), norm=torch.tensor([5.0, 12.0, 20.0, 30.0])
    )
    plus, condition = isinstance(wanting, Vec2FacePlusSettings), None
    stored = torch.load(weights / ("plus.pth" if plus else "tiny.pth"), weights_only=True)
    made = FeatureAutoencoder(SIZES["tiny"])
    made.load_state_dict(merged_adapters(stored["model_vec2face"], 32))
    if plus:
        pose = PoseCondition(SIZES["tiny"].width)
        pose.load_state_dict(stored["pose_model"])
        dots = Guide(112, "cpu").landmark_pictures(views).permute(0, 3, 1, 2).float()
        condition = pose((dots / 255 - 0.5) / 0.5).detach()
    noise = random.uniforms(views.key, random.noise_index(views.key, "tokens"), PLACES)
    mask = token_mask(noise, views.attributes["mask_rate"], 0.3)
    with torch.no_grad():
        pixels = made(views.vector * views.norm[:, None], mask, condition)
    due = ((pixels.clamp(-1, 1) + 1) / 2 * 255).floor().permute(0, 2, 3, 1).int()
    off = (drawn(wanting, views).int() - due).abs()
    assert off.max() <= 1
    assert off.float().mean() < 0.05  # were they rounded, half of them would be one off


def test_pictures_are_ordinary_tensors(weights: Path) -> None:
    assert not drawn(tiny(weights), views_of(tiny(weights), 1)).is_inference()


def test_numbers_that_overflow_are_an_error(weights: Path, tmp_path: Path) -> None:
    """As half precision can make them; here by weights beyond what float32 can add up."""
    hot = flawed(weights, tmp_path, lambda tensors: tensors["im_decoder.conv_in.bias"].fill_(3e38))
    with pytest.raises(RenderError, match="vec2face drew NaN: a number overflowed"):
        drawn(hot, views_of(hot, 1))


def test_mask_rates_are_drawn_as_published() -> None:
    laws = [renderer_class(kind).attributes["mask_rate"].distribution for kind in ("vec2face", "vec2face_plus")]
    assert laws == [Normal(mean=0.15, std=0.25, low=0.1, high=1.0), Normal(mean=0.85, std=0.05, low=0.8, high=0.9)]


def test_bfloat16_draws_nearly_the_same(weights: Path) -> None:
    for wanting in (tiny(weights), tiny_plus(weights)):
        views = views_of(wanting, 3)
        full, half = (
            open_renderer(wanting, Equipment(Backend(dtype=dtype), {})).render(views).double().flatten(1)
            for dtype in ("float32", "bfloat16")
        )
        assert not torch.equal(full, half)
        assert torch.cosine_similarity(full - full.mean(), half - half.mean()).min() > 0.985


def test_adapters_of_any_rank_are_scaled_by_their_own() -> None:
    draw = torch.Generator().manual_seed(1)
    base, ranks = torch.randn(6, 4, generator=draw), {"a": 2, "b": 3}
    given = {f"{at}.base.weight": base for at in ranks}
    for at, rank in ranks.items():
        given |= {f"{at}.A": torch.randn(rank, 4, generator=draw), f"{at}.B": torch.randn(6, rank, generator=draw)}
    merged = merged_adapters(given, 12)
    assert merged.keys() == {"a.weight", "b.weight"}
    for at, rank in ranks.items():
        due = base + 12 / rank * given[f"{at}.B"] @ given[f"{at}.A"]
        assert torch.allclose(merged[f"{at}.weight"], due, atol=1e-5)
    misfit = given | {"a.A": torch.randn(3, 4, generator=draw)}
    assert {"a.A", "a.B", "a.weight", "b.weight"} == merged_adapters(misfit, 12).keys()


@pytest.mark.parametrize("make", [tiny, tiny_plus])
def test_a_picture_depends_on_its_own_row_alone(weights: Path, make: Callable[[Path], RendererSettings]) -> None:
    renderer = open_renderer(make(weights), Equipment(Backend(), {}))
    views = views_of(make(weights), 6)
    together = renderer.render(views)
    assert together.shape == (6, 112, 112, 3)
    assert together.dtype == torch.uint8
    assert together.float().std() > 5
    for rows in (slice(0, 1), slice(2, 5)):
        # Kernels round otherwise for another batch size, by one step of 255 at most.
        assert (renderer.render(views.select(rows)).int() - together[rows].int()).abs().max() <= 1
    assert torch.equal(renderer.render(views.select(torch.arange(5, -1, -1))), together.flip(0))


def test_pictures_of_one_person_differ_by_their_masks(weights: Path) -> None:
    pictures = drawn(tiny(weights), views_of(tiny(weights), 6)).float()
    assert (pictures[0] - pictures[3]).abs().mean() > 0.1
    everything_replaced = drawn(tiny(weights), views_of(tiny(weights), 6, mask_rate=1.0)).float()
    assert (everything_replaced[0] - pictures[0]).abs().mean() > 0.1


def test_features_have_the_length_that_the_recipe_says(weights: Path) -> None:
    views = views_of(tiny(weights), 2)
    as_drawn = drawn(tiny(weights), views)
    assert torch.equal(as_drawn, drawn(tiny(weights, feature_norm=21.9), views))
    assert not torch.equal(as_drawn, drawn(tiny(weights, feature_norm=5), views))


def test_weights_are_the_same_in_either_format(weights: Path) -> None:
    views = views_of(tiny(weights), 2)
    assert torch.equal(drawn(tiny(weights), views), drawn(tiny(weights, weights=f"{weights}/tiny.safetensors"), views))


def test_the_pose_network_may_lie_in_a_file_of_its_own(weights: Path) -> None:
    views = views_of(tiny_plus(weights), 2)
    apart = tiny_plus(weights, pose_weights=f"{weights}/pose.safetensors")
    assert torch.equal(drawn(tiny_plus(weights), views), drawn(apart, views))


def test_poses_reach_the_picture(weights: Path) -> None:
    ahead, aside = (drawn(tiny_plus(weights), views_of(tiny_plus(weights), 1, yaw_deg=yaw)) for yaw in (0.0, 50.0))
    assert not torch.equal(ahead, aside)


def flawed(weights: Path, folder: Path, change: Callable[[dict[str, Tensor]], object]) -> Vec2FaceSettings:
    tensors = torch.load(weights / "tiny.pth", weights_only=True)["model_vec2face"]
    change(tensors)
    torch.save({"model_vec2face": tensors}, folder / "flawed.pth")
    return tiny(weights, weights=f"{folder}/flawed.pth")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("norm.bias"), "missing: norm.bias"),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "extra: extra"),
        (lambda tensors: tensors.update({"norm.bias": torch.ones(2)}), r"misshapen: norm.bias \[2\] for \[64\]"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_their_names(
    weights: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], object], words: str
) -> None:
    flaw = flawed(weights, tmp_path, change)
    for refuse in (renderer_class("vec2face").preflight, lambda each: open_renderer(each, Equipment(Backend(), {}))):
        with pytest.raises(DatasetError, match=words):
            refuse(flaw)


def test_weights_that_are_not_numbers_are_refused(weights: Path, tmp_path: Path) -> None:
    flaw = flawed(weights, tmp_path, lambda tensors: tensors["norm.bias"].fill_(torch.nan))
    with pytest.raises(DatasetError, match=r"norm\.bias has numbers that are not finite"):
        open_renderer(flaw, Equipment(Backend(), {}))


def test_a_checkpoint_of_another_size_is_refused(weights: Path) -> None:
    with pytest.raises(DatasetError, match=r"does not fit the network \(349 tensors are due\)"):
        renderer_class("vec2face").preflight(tiny(weights, network="base"))


def test_attrop_needs_gradients_through_its_encoder(weights: Path) -> None:
    from synth.encoders.barcode import BarcodeEncoder

    wanting = tiny(weights, optimise={"identity": {"encoder": "barcode"}})
    assert wanting.used_encoders == ("barcode",)
    with pytest.raises(RecipeError, match=r"AttrOP needs gradients through the encoder 'barcode'"):
        open_renderer(wanting, Equipment(Backend(), {"barcode": BarcodeEncoder()}))


def test_masks_can_be_selected() -> None:
    mask = token_mask(torch.rand(3, PLACES, generator=torch.Generator().manual_seed(1)), torch.full((3,), 0.5), 0.1)
    second = mask.select(slice(1, 2))
    assert torch.equal(second.kept, mask.kept[1:2])
    assert torch.equal(second.replaced, mask.replaced[1:2])


@pytest.fixture(scope="module")
def grader(tmp_path_factory: pytest.TempPathFactory) -> IResNetSettings:
    """A random recogniser."""
    path = tmp_path_factory.mktemp("grader") / "r18.safetensors"
    torch.manual_seed(5)
    save_file(IResNet(IResNetSizes(BLOCKS[18])).state_dict(), path)
    return IResNetSettings(layers=18, convention="magface_rgb", weights=InputFile(url=str(path)))


def test_attrop_reports_for_each_picture_which_targets_it_meets(weights: Path, grader: IResNetSettings) -> None:
    equipment = Equipment(Backend(), open_encoders({"both": grader}, Backend()))
    wanting = tiny(
        weights,
        optimise={
            "steps": 2,
            "identity": {"encoder": "both", "max_distance": 2.0, "weight": 0},  # everything meets this
            "quality": {"encoder": "both", "min": 1e4},  # and nothing this
        },
    )
    plain, views = tiny(weights), views_of(wanting, 3)
    found = open_renderer(wanting, equipment).portraits(views)
    assert found.findings["identity_met"].tolist() == [1, 1, 1]
    assert found.findings["quality_met"].tolist() == [0, 0, 0]
    assert found.findings["steps"].tolist() == [2, 2, 2]
    assert not found.images.is_inference()
    # The first picture looked at is the one without AttrOP: the network's mask is the same.
    easy = tiny(weights, optimise={"steps": 2, "identity": {"encoder": "both", "max_distance": 2.0}})
    unmoved = open_renderer(easy, equipment).portraits(views)
    assert unmoved.findings["steps"].tolist() == [0, 0, 0]
    assert (unmoved.images.int() - drawn(plain, views).int()).abs().max() <= 1
    assert (found.images.int() - unmoved.images.int()).abs().max() > 1
    graded = equipment.encoders["both"].embed
    assert bool((graded(found.images).norm(dim=1) >= graded(unmoved.images).norm(dim=1) - 1e-3).all())


def test_attrop_holds_pictures_against_the_anchor_and_the_quality_that_is_wanted(
    weights: Path, grader: IResNetSettings
) -> None:
    equipment = Equipment(Backend(), open_encoders({"both": grader}, Backend()))
    plain, views = tiny(weights), views_of(tiny(weights), 3)
    embedding = equipment.encoders["both"].embed(drawn(plain, views))
    views = dataclasses.replace(views, anchor=torch.nn.functional.normalize(embedding))
    least = float(embedding.norm(dim=1).min())
    targets = {"max_distance": 1e-3, "weight": 1}, {"min": least + 2, "tolerance": 2.5, "weight": 0.1}
    wanting = tiny(weights, optimise={"steps": 1} | {
        name: {"encoder": "both", **target} for name, target in zip(("identity", "quality"), targets, strict=True)
    })  # fmt: skip
    found = open_renderer(wanting, equipment).portraits(views)
    assert {name: values.tolist() for name, values in found.findings.items()} == {
        "identity_met": [1, 1, 1], "quality_met": [1, 1, 1], "steps": [0, 0, 0]
    }  # fmt: skip


def test_attrop_s_pose_is_the_yaw_to_either_side(weights: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    reader = PoseNetwork()
    with torch.no_grad():
        reader.linear_reg.weight.mul_(0)  # the same turn in every picture
    save_file(reader.state_dict(), tmp_path / "pose.safetensors")
    with torch.no_grad():
        turn = abs(float(yaw_deg(reader, torch.zeros(1, 3, 112, 112))))
    assert turn > 5
    pose = {"weights": f"{tmp_path}/pose.safetensors", "tolerance_deg": 2.0}
    renderer = open_renderer(tiny(weights, optimise={"steps": 1, "pose": pose}), Equipment(Backend(), {}))
    views = views_of(tiny(weights), 4)
    for off, met in ((1.5, 1), (2.5, 0)):
        yaw = torch.tensor([turn + off, turn - off, -turn - off, -turn + off])
        given = dataclasses.replace(views, attributes=views.attributes | {"yaw_deg": yaw})
        assert renderer.portraits(given).findings["pose_met"].tolist() == [met] * 4


def test_a_missing_adapter_is_told(weights: Path, tmp_path: Path) -> None:
    stored = torch.load(weights / "plus.pth", weights_only=True)
    del stored["model_vec2face"]["blocks.0.attn.qkv.A"]
    torch.save(stored, tmp_path / "lost.pth")
    with pytest.raises(DatasetError, match=r"missing: blocks\.0\.attn\.qkv\.weight.*extra: .*blocks\.0\.attn\.qkv\.B"):
        renderer_class("vec2face_plus").preflight(tiny_plus(weights, weights=f"{tmp_path}/lost.pth"))
