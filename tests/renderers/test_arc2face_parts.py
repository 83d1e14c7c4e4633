"""The parts of arc2face, each against a second opinion: transformers, diffusers, arithmetic."""

import math
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
import transformers
from torch import Tensor

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.renderer import TEMPLATE_PX
from synth.renderers.arc2face import configs, networks, text
from synth.renderers.arc2face.costs import arc2face_cost
from synth.renderers.arc2face.framing import frontal_points, inverse, moved, similarity, template, warp
from synth.renderers.arc2face.lora import changes
from synth.renderers.arc2face.sampling import Step, dpm_steps, lcm_steps, sample
from synth.renderers.arc2face.text import TextConfig, TextEncoder
from synth.renderers.guides import Guide
from synth.renderers.settings import Arc2FaceSettings, DpmSampler
from tests.renderers.tiny_arc2face import CONFIGS, SCHEDULER, TEXT, as_published, lora_of, views, weights_of


def tiny_reader() -> TextEncoder:
    reader = TextEncoder(TextConfig.of(TEXT, ""))
    reader.load_state_dict(weights_of("text_encoder"))
    return reader.eval().requires_grad_(False)


# The text encoder


def test_the_text_encoder_reads_as_transformers_own() -> None:
    config = transformers.CLIPTextConfig(**TEXT, hidden_act="quick_gelu", eos_token_id=2599, bos_token_id=2598)
    theirs = transformers.CLIPTextModel(config).eval()
    names = theirs.state_dict()
    weights = {name: weights_of("text_encoder")[short] for name, short in zip(names, map(_short, names), strict=True)}
    theirs.load_state_dict(weights)
    ours = TextEncoder(TextConfig.of(TEXT, ""))
    ours.load_state_dict(text.renamed(theirs.state_dict()))
    tokens = torch.randint(0, 2600, (3, 77), generator=torch.Generator().manual_seed(1))
    tokens[:, -1] = 2599
    with torch.no_grad():
        expected = theirs(tokens).last_hidden_state
        assert (ours(ours.embedded(tokens)) - expected).abs().max() < 1e-4 * expected.std()


def _short(name: str) -> str:
    return name.removeprefix("text_model.")


def test_many_people_are_read_as_each_alone() -> None:
    reader, embeddings = tiny_reader(), views(5).vector
    together = reader.people(embeddings)
    alone = torch.cat([reader.people(each[None]) for each in embeddings])
    assert together.shape == (5, 77, 512)
    assert (together - alone).abs().max() < 1e-4 * together.std()
    assert (together[0] - together[1]).abs().max() > 1e-2 * together.std()


def test_an_embedding_replaces_the_word_id_and_shows_from_there_on_only() -> None:
    reader = tiny_reader()
    one, two = reader.people(views(2).vector)
    assert torch.equal(one[:4], two[:4])  # <start> photo of a
    assert not torch.equal(one[4], two[4])
    assert not torch.equal(one[76], two[76])


def test_prompts_are_those_of_the_published_tokenizer() -> None:
    with torch.device("meta"):
        reader = TextEncoder(TextConfig.of({}, ""))
    reader.embeddings.to_empty(device="cpu")
    empty = [49406, *[49407] * 76]
    assert reader._tokens().tolist() == empty
    person = reader._tokens(text._PHOTO, text._OF, text._A, 0, text._PERSON).tolist()
    assert person == [49406, 1125, 539, 320, 0, 2533, *[49407] * 71]


def test_old_names_of_weights_are_understood() -> None:
    for name, renamed in (("text_encoder", text.renamed), ("vae", networks.renamed_vae)):
        today = weights_of(name)
        published = as_published(name, today)
        assert set(published) != set(today)
        assert renamed(published).keys() == today.keys() == renamed(today).keys()


def test_default_configs_are_those_of_stable_diffusion_1_5() -> None:
    numbers = {}
    with torch.device("meta"):
        for kind, config in (
            (diffusers.UNet2DConditionModel, configs.UNET),
            (diffusers.AutoencoderKL, configs.VAE),
            (diffusers.ControlNetModel, configs.CONTROLNET),
        ):
            numbers[kind.__name__] = sum(p.numel() for p in kind.from_config(dict(config)).parameters())
        numbers["text"] = sum(p.numel() for p in TextEncoder(TextConfig.of({}, "")).parameters())
    assert numbers == {
        "UNet2DConditionModel": 859_520_964,
        "AutoencoderKL": 83_653_863,
        "ControlNetModel": 361_279_120,
        "text": 123_060_480,
    }


# Sampling


def foretold(latents: Tensor, time: int) -> Tensor:
    """A network that is none: smooth in its input and in time."""
    return (latents * 0.9 + math.cos(time / 300)).sin()


def published_scheduler(kind: Any) -> Any:
    """As the published demonstration makes it: from Stable Diffusion's own, PNDM."""
    return kind.from_config(diffusers.PNDMScheduler.from_config(SCHEDULER).config)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("count", [2, 5, 14, 15, 25, 50])
def test_dpm_steps_are_diffusers_own(count: int) -> None:
    scheduler = published_scheduler(diffusers.DPMSolverMultistepScheduler)
    scheduler.set_timesteps(count)
    latents = expected = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    for time in scheduler.timesteps:
        expected = scheduler.step(foretold(expected, int(time)), time, expected).prev_sample
    steps = dpm_steps(count)
    assert [step.time for step in steps] == scheduler.timesteps.tolist()
    assert (sample(steps, latents, foretold, no_noise) - expected).abs().max() < 1e-3


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_lcm_steps_are_diffusers_own_for_the_same_noise(count: int) -> None:
    scheduler = published_scheduler(diffusers.LCMScheduler)
    scheduler.set_timesteps(count)
    latents = expected = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    drawing = torch.Generator().manual_seed(4)
    for time in scheduler.timesteps:
        expected = scheduler.step(foretold(expected, int(time)), time, expected, generator=drawing).prev_sample
    again = torch.Generator().manual_seed(4)
    steps = lcm_steps(count)
    assert [step.time for step in steps] == scheduler.timesteps.tolist()
    ours = sample(steps, latents, foretold, lambda _: torch.randn(latents.shape, generator=again))
    assert (ours - expected).abs().max() < 1e-3 * expected.abs().max()
    assert steps[-1].from_noise == 0
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        keep, take = scheduler.get_scalings_for_boundary_condition_discrete(step.time)
        share = 1.0 if after is None else after.alpha
        assert (step.from_x / share, step.from_x0 / share) == pytest.approx((float(keep), float(take)), rel=1e-5)


def no_noise(step: int) -> Tensor:
    raise AssertionError("DPM-Solver++ takes no noise on its way")


@pytest.mark.parametrize("steps_of", [dpm_steps, lcm_steps])
def test_a_network_that_knows_the_picture_ends_there(steps_of: Callable[[int], list[Step]]) -> None:
    """Who always foretells the noise that leads to one picture is led to it, by any number of steps."""
    steps = steps_of(4)
    wanted, latents = torch.linspace(-1, 1, 16).view(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    of_time = {step.time: step for step in steps}

    def knows(x: Tensor, time: int) -> Tensor:
        return (x - of_time[time].alpha * wanted) / of_time[time].sigma

    ended = sample(steps, latents, knows, lambda _: torch.ones(1, 1, 4, 4))
    assert torch.allclose(ended, wanted, atol=1e-3)


# LoRA


def test_merged_changes_are_what_peft_computes() -> None:
    pytest.importorskip("peft")
    weights = weights_of("unet")
    lora = lora_of(weights)
    merged = weights | {n: change.added_to(weights[n]) for n, change in changes(weights, lora, "lora").items()}
    ours, theirs = (diffusers.UNet2DConditionModel.from_config(CONFIGS["unet"]).eval() for _ in range(2))
    ours.load_state_dict(merged)
    theirs.load_state_dict(weights)
    theirs.load_lora_adapter(_as_peft(lora, weights), prefix=None, network_alphas=None)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    read = torch.randn(1, 7, 512, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        expected = theirs(latents, 400, read).sample
        assert (ours(latents, 400, read).sample - expected).abs().max() < 1e-3 * expected.abs().max()


def _as_peft(lora: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same changes under peft's names; alpha / rank, here 1 / 2, goes into one of the halves."""
    modules = {n.removesuffix(".weight").replace(".", "_"): n.removesuffix(".weight") for n in weights}
    renamed = {}
    for name, tensor in lora.items():
        module, _, part = name.removeprefix("lora_unet_").partition(".")
        if part != "alpha":
            ending = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight"}[part]
            renamed[f"{modules[module]}.{ending}"] = tensor / 2 if part == "lora_up.weight" else tensor
    return renamed


def test_both_namings_mean_the_same() -> None:
    weights = {"down.0.to_q.weight": torch.zeros(4, 6)}
    up, down = torch.ones(4, 2), torch.ones(2, 6)
    for lora in (
        {"lora_unet_down_0_to_q.lora_up.weight": up, "lora_unet_down_0_to_q.lora_down.weight": down},
        {"unet.down.0.to_q.lora_B.weight": up, "unet.down.0.to_q.lora_A.weight": down},
    ):
        change = changes(weights, lora, "lora")["down.0.to_q.weight"]
        assert torch.equal(change.added_to(weights["down.0.to_q.weight"]), torch.full((4, 6), 2.0))


def test_changes_that_do_not_fit_are_refused() -> None:
    weights = {"to_q.weight": torch.zeros(4, 6)}
    up, down = torch.zeros(4, 2), torch.zeros(2, 5)
    with pytest.raises(DatasetError, match=r"the change of to_q\.weight, \[4, 2\] and \[2, 5\], does not fit"):
        changes(weights, {"lora_unet_to_q.lora_up.weight": up, "lora_unet_to_q.lora_down.weight": down}, "lora")
    with pytest.raises(DatasetError, match="by half only"):
        changes(weights, {"lora_unet_to_q.lora_up.weight": up}, "lora")
    with pytest.raises(DatasetError, match="does not have: lora_te_to_q"):
        changes(weights, {"lora_te_to_q.lora_up.weight": up}, "lora")


# Alignment


def test_a_similarity_is_found_again_and_undone() -> None:
    angle, scale = torch.tensor([0.3, -1.0]), torch.tensor([0.2, 3.0])
    turn = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), 1).view(2, 2, 2)
    matrix = torch.cat((turn * scale[:, None, None], torch.tensor([[[5.0], [-7.0]], [[0.0], [100.0]]])), 2)
    places = moved(template(112).expand(2, -1, -1), inverse(matrix))
    assert torch.allclose(similarity(places, template(112)), matrix, atol=1e-3)
    assert torch.allclose(moved(places, matrix), template(112).expand(2, -1, -1), atol=1e-2)


def test_a_face_in_the_middle_of_the_frame_lands_on_the_template() -> None:
    matrix = similarity(frontal_points(512)[None], template(112))
    assert (moved(frontal_points(512)[None], matrix)[0] - torch.tensor(TEMPLATE_PX)).abs().max() < 3
    corners = moved(torch.tensor([[[-0.5, -0.5], [111.5, 111.5]]]), inverse(matrix))
    assert corners.min() > 0  # nothing outside of the drawn square is asked for
    assert corners.max() < 511


def test_a_warp_moves_what_it_should() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    images = torch.stack((x, y, x + y))[None]
    matrix = torch.tensor([[[0.5, 0.0, 2.0], [0.0, 0.5, 4.0]]])
    seen = warp(images, matrix, 16)
    to_y, to_x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    inside = (slice(None), slice(5, 15), slice(3, 15))
    expected = torch.stack(((to_x - 2) * 2, (to_y - 4) * 2, (to_x - 2) * 2 + (to_y - 4) * 2))
    assert (seen[0][inside] - expected[inside]).abs().max() < 1e-3


def test_a_warp_that_shrinks_does_not_alias() -> None:
    stripes = (torch.arange(512) % 2 * 255.0).expand(1, 3, 512, 512).contiguous()
    matrix = similarity(frontal_points(512)[None], template(112))
    seen = warp(stripes, matrix, 112)
    assert (seen - 127.5).abs().max() < 25  # a fifth of what single points would show
    assert abs(float(seen.mean()) - 127.5) < 1


# The condition and the cost


def test_the_guide_s_frontal_heads_lie_where_the_fixed_crop_looks_for_them() -> None:
    guide = Guide(512, "cpu", frame="ffhq")
    points = guide.landmarks(views(20))
    assert (points.mean(0) - frontal_points(512)).abs().max() < 20
    seen = moved(points, similarity(frontal_points(512)[None], template(112)).expand(20, -1, -1))
    assert (seen.mean(0) - torch.tensor(TEMPLATE_PX)).abs().max() < 5


def test_the_full_size_costs_what_stable_diffusion_does() -> None:
    """As counted when this was written: 0.40 tera multiplications for the UNet at 512 px, 1.25 for the decoder."""
    files = {"weights": "nowhere"}
    settings = Arc2FaceSettings.model_validate(
        {"unet": files, "text_encoder": files, "vae": files, "sampler": {"kind": "dpm", "steps": 10, "guidance": 1}}
    )
    cost = arc2face_cost(settings, Backend(micro_batch=2))
    assert cost.parameter_bytes == 4 * (859_520_964 + 83_653_863 + 123_060_480)
    assert cost.flops_per_picture == pytest.approx(2 * (10 * 0.40e12 + 1.25e12), rel=0.1)
    guided = settings.model_copy(update={"sampler": DpmSampler(steps=10)})
    halved = arc2face_cost(guided, Backend(micro_batch=2, device="cuda", dtype="bfloat16"))
    assert halved.flops_per_picture > 1.6 * cost.flops_per_picture
    assert halved.parameter_bytes * 2 == cost.parameter_bytes
