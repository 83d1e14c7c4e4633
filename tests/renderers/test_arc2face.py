"""The whole renderer, in miniature: files, loading, sampling, alignment, and a build; nothing is mocked."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jobs.recipe import load_recipe
from samplers import random
from samplers.errors import DatasetError, HypersynthError, RenderError
from synth.backend import Backend
from synth.renderer import RENDERERS, TEMPLATE_PX, checked_portraits, renderer_class
from synth.renderers.arc2face import networks
from synth.renderers.arc2face.diffusion import Diffusion
from synth.renderers.arc2face.framing import frontal_points, similarity, template, warp
from synth.renderers.arc2face.sampling import sample
from synth.renderers.guides import Guide
from synth.renderers.settings import Arc2FaceSettings
from tests.conftest import build_here
from tests.renderers.tiny_arc2face import SCHEDULER, SIDE_PX, controlled, opened, views, write
from tests.synth.test_detectors import face_graph


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tiny Arc2Face. Only for reading."""
    place = tmp_path_factory.mktemp("arc2face")
    (place / "settings.json").write_text(json.dumps(write(place)))
    return place


@pytest.fixture
def settings(folder: Path) -> dict[str, Any]:
    """Settings that name them."""
    found: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    return found


def preflight(settings: dict[str, Any]) -> None:
    renderer_class("arc2face").preflight(Arc2FaceSettings.model_validate(settings))


def test_pictures_have_the_contract_s_form_and_differ(settings: dict[str, Any]) -> None:
    renderer = opened(settings)
    portraits = checked_portraits(renderer.portraits(views(3)), 3, 112)
    assert portraits.landmarks is None
    assert not portraits.findings
    pixels = portraits.images.float()
    assert pixels.std() > 5
    assert (pixels[0] - pixels[1]).abs().mean() > 1
    assert "diffusers" in renderer.fingerprint()


@pytest.mark.parametrize("extra", ["dpm", "lcm", "controlnet"])
def test_a_picture_depends_on_its_own_row_alone(folder: Path, settings: dict[str, Any], extra: str) -> None:
    if extra == "lcm":
        settings |= {"sampler": {"kind": "lcm"}, "lcm_lora": f"{folder}/lora.safetensors"}
    if extra == "controlnet":
        settings["controlnet"] = controlled(folder)
    renderer = opened(settings)
    declared = renderer_class("arc2face").declare(Arc2FaceSettings.model_validate(settings))
    four = views(4, dict(declared))
    together = renderer.render(four).int()
    alone = torch.cat([renderer.render(four.select(slice(row, row + 1))) for row in range(4)]).int()
    assert (together - alone).abs().max() <= 1


def test_person_and_key_both_show(settings: dict[str, Any]) -> None:
    renderer = opened(settings)
    one = views(2)
    other_noise = renderer.render(one.__class__(**{**vars(one), "key": one.key.flip(0)})).float()
    other_person = renderer.render(one.__class__(**{**vars(one), "vector": one.vector.flip(0)})).float()
    plain = renderer.render(one).float()
    assert (plain - other_noise).abs().mean() > 1
    assert (plain - other_person).abs().mean() > 0.01


def test_two_processes_give_the_same_bytes(settings: dict[str, Any]) -> None:
    program = (
        "import hashlib, json, sys, torch\n"
        "from tests.renderers.tiny_arc2face import opened, views\n"
        "torch.set_num_threads(1)\n"
        "images = opened(json.loads(sys.argv[1])).render(views(3))\n"
        "print(hashlib.sha256(images.numpy().tobytes()).hexdigest())\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", program, json.dumps(settings)]
    there = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    here = hashlib.sha256(opened(settings).render(views(3)).numpy().tobytes()).hexdigest()
    assert there.stdout.split()[-1] == here


def test_a_lora_changes_the_pictures_and_its_strength_matters(folder: Path, settings: dict[str, Any]) -> None:
    settings["sampler"] = {"kind": "lcm", "steps": 2}
    plain = opened(settings).render(views(1)).float()
    halved = {n: w / 2 if n.endswith("alpha") else w for n, w in load_file(folder / "lora.safetensors").items()}
    save_file(halved, folder / "half.safetensors")
    whole, half = (
        opened(settings | {"lcm_lora": f"{folder}/{name}.safetensors"}).render(views(1)).float()
        for name in ("lora", "half")
    )
    assert 0 < (half - plain).abs().mean() < (whole - plain).abs().mean() * 1.5
    assert (whole - half).abs().mean() > 0.1


def test_more_guidance_leads_farther(settings: dict[str, Any]) -> None:
    none, some, much = (
        opened(settings | {"sampler": {"kind": "dpm", "steps": 3, "guidance": g}}).render(views(2)).float()
        for g in (1.0, 3.0, 9.0)
    )
    assert 0 < (some - none).abs().mean() < (much - none).abs().mean()


def test_a_controlnet_makes_pose_an_attribute_that_shows(folder: Path, settings: dict[str, Any]) -> None:
    kind = renderer_class("arc2face")
    assert not kind.declare(Arc2FaceSettings.model_validate(settings))
    settings["controlnet"] = controlled(folder)
    declared = dict(kind.declare(Arc2FaceSettings.model_validate(settings)))
    assert {"yaw_deg", "pitch_deg", "roll_deg", "smile"} <= set(declared)
    renderer = opened(settings)
    straight = renderer.render(views(1, declared)).float()
    turned = renderer.render(views(1, declared, yaw_deg=torch.tensor([40.0]))).float()
    assert (straight - turned).abs().mean() > 0.1
    weak = opened(settings | {"controlnet_scale": 0.0})
    assert torch.equal(weak.render(views(1, declared)), weak.render(views(1, declared, yaw_deg=torch.tensor([40.0]))))


def test_detected_points_align_the_picture_and_are_reported(folder: Path, settings: dict[str, Any]) -> None:
    points = [[20, 25], [44, 25], [32, 36], [24, 46], [40, 46]]
    onnx.save(face_graph(SIDE_PX, points, any_size=True), folder / "finds.onnx")
    onnx.save(face_graph(SIDE_PX, None), folder / "blind.onnx")
    size = 224
    fixed = opened(settings | {"size": size}).render(views(2))
    finds, blind = (
        opened(
            settings
            | {
                "size": size,
                "alignment": {"kind": "detected", "detector": f"{folder}/{name}.onnx", "input_px": SIDE_PX},
            }
        )
        for name in ("finds", "blind")
    )
    found = checked_portraits(finds.portraits(views(2)), 2, size)
    assert found.findings["face_found"].tolist() == [1, 1]
    assert found.landmarks is not None
    assert (found.landmarks[0] - torch.tensor(TEMPLATE_PX) * 2).abs().max() < 10  # a similarity cannot fit all
    assert (found.images.float() - fixed.float()).abs().mean() > 1
    lost = checked_portraits(blind.portraits(views(2)), 2, size)
    assert lost.findings["face_found"].tolist() == [0, 0]
    assert torch.equal(lost.images, fixed)
    assert "onnxruntime" in finds.fingerprint()["detector"]


@pytest.mark.filterwarnings("ignore")  # of the published pipeline's own
@pytest.mark.parametrize("with_controlnet", [False, True])
def test_pictures_are_those_of_the_published_pipeline(
    folder: Path, settings: dict[str, Any], with_controlnet: bool
) -> None:
    if with_controlnet:
        settings["controlnet"] = controlled(folder)
    parsed = Arc2FaceSettings.model_validate(settings)
    opened_networks = networks.open_networks(parsed, Backend())
    two, reader = views(2), opened_networks.text_encoder
    shown = torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours = Diffusion(opened_networks, parsed.sampler, 1.0)
        drawn = ours.draw(two.vector, two.key, shown if with_controlnet else None)
    parts: dict[str, Any] = {"unet": opened_networks.unet, "vae": opened_networks.vae, "safety_checker": None}
    kind = diffusers.StableDiffusionPipeline
    if with_controlnet:
        kind, parts["controlnet"] = diffusers.StableDiffusionControlNetPipeline, opened_networks.controlnet
    scheduler = diffusers.DPMSolverMultistepScheduler.from_config(SCHEDULER)
    pipeline = kind(
        **parts, text_encoder=None, tokenizer=None, feature_extractor=None, requires_safety_checker=False,
        scheduler=scheduler,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        theirs = pipeline(
            **({"image": shown} if with_controlnet else {}),
            prompt_embeds=reader.people(two.vector),
            negative_prompt_embeds=reader.nobody().expand(2, -1, -1),
            latents=random.normals(two.key, random.noise_index(two.key, "arc2face/latents"), 256).view(2, 4, 8, 8),
            num_inference_steps=3,
            guidance_scale=3.0,
            output_type="pt",
        ).images
    assert drawn.std() > 10
    assert (drawn.clamp(0, 255) - theirs * 255).abs().max() < 0.1


@pytest.mark.parametrize("sampler", ["dpm", "lcm"])
def test_pictures_are_what_the_parts_make_of_the_views(folder: Path, settings: dict[str, Any], sampler: str) -> None:
    """Noise for every step from the key, the pose as a map of normals, colours in order, grey levels rounded."""
    settings |= {"controlnet": controlled(folder), "sampler": {"kind": sampler, "steps": 3}}
    parsed = Arc2FaceSettings.model_validate(settings)
    parts, declared = networks.open_networks(parsed, Backend()), dict(renderer_class("arc2face").declare(parsed))
    two = views(2, declared, yaw_deg=torch.tensor([-30.0, 20.0]), pitch_deg=torch.tensor([15.0, -10.0]))
    normals = Guide(SIDE_PX, "cpu", frame="ffhq").normals(two).permute(0, 3, 1, 2)

    def noise(purpose: str) -> Tensor:
        return random.normals(two.key, random.noise_index(two.key, f"arc2face/{purpose}"), 256).view(2, 4, 8, 8)

    drawing = Diffusion(parts, parsed.sampler, 1.0)
    with torch.inference_mode():
        read, shown = drawing.read(two.vector), (normals + 1) / 2
        if sampler == "dpm":
            shown = torch.cat((shown, shown))
        latents = sample(
            drawing.steps,
            noise("latents"),
            lambda latents, time: drawing.predicted(latents, time, read, shown),
            lambda step: noise(f"step {step}"),
        )
        square = drawing.decoded(latents).clamp(0, 255)
        framed = warp(square, similarity(frontal_points(SIDE_PX)[None], template(112)).expand(2, -1, -1), 112)
    off = (opened(settings).render(two).int() - (framed + 0.5).floor().int().permute(0, 2, 3, 1)).abs()
    assert off.max() <= 1
    assert off.float().mean() < 0.05  # were they cut off, half of them would be one off


def build_with(settings: dict[str, Any], folder: Path) -> int:
    changes = {
        "renderer": settings,
        "checks.list": [],
        "identities.count": 3,
        "variations.views": 2,
        "output.shard_size": 4,
        "backend.micro_batch": 4,
    }
    return build_here(load_recipe("barcode", changes), folder)


def test_a_build_runs_with_it(folder: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    assert build_with(settings | {"controlnet": controlled(folder)}, tmp_path / "dataset") == 2
    assert (tmp_path / "dataset" / "dataset.json").exists()


def test_a_build_runs_without_attributes(settings: dict[str, Any], tmp_path: Path) -> None:
    assert build_with(settings, tmp_path / "dataset") == 2


def test_numbers_that_overflow_are_an_error(folder: Path, settings: dict[str, Any]) -> None:
    weights = load_file(folder / "vae.safetensors")
    weights["decoder.conv_out.bias"] = torch.full_like(weights["decoder.conv_out.bias"], 3e38)
    weights["decoder.conv_norm_out.bias"] = torch.full_like(weights["decoder.conv_norm_out.bias"], 3e38)
    save_file(weights, folder / "hot.safetensors")
    hot = settings["vae"] | {"weights": f"{folder}/hot.safetensors"}
    with pytest.raises(RenderError, match="drew NaN"):
        opened(settings | {"vae": hot}).render(views(1))


def test_bfloat16_draws_nearly_the_same(settings: dict[str, Any]) -> None:
    full, half = (opened(settings, Backend(dtype=dtype)).render(views(2)).float() for dtype in ("float32", "bfloat16"))
    assert (full - half).abs().mean() < 0.1 * full.std()


def test_preflight_says_what_does_not_fit(folder: Path, settings: dict[str, Any]) -> None:
    preflight(settings | {"controlnet": controlled(folder)})
    weights = load_file(folder / "unet.safetensors")
    weights["extra"] = weights.pop("conv_in.bias")
    save_file(weights, folder / "wrong.safetensors")
    wrong = {"weights": f"{folder}/wrong.safetensors", "config": f"{folder}/unet.json"}
    with pytest.raises(DatasetError, match=r"wrong\.safetensors .* missing: conv_in\.bias; extra: extra"):
        preflight(settings | {"unet": wrong})
    with pytest.raises(DatasetError, match="attends to 768 channels, the text encoder gives 512"):  # the default's
        preflight(settings | {"unet": {"weights": wrong["weights"]}})
    with pytest.raises(DatasetError, match="config of a UNet2DConditionModel, not of a AutoencoderKL"):
        preflight(settings | {"vae": settings["vae"] | {"config": f"{folder}/unet.json"}})
    (folder / "broken.json").write_text("{")
    with pytest.raises(DatasetError, match="is no JSON"):
        preflight(settings | {"unet": wrong | {"config": f"{folder}/broken.json"}})
    lora = {"lora_unet_nowhere.lora_up.weight": torch.zeros(2, 2)}
    save_file(lora, folder / "strange.safetensors")
    with pytest.raises(DatasetError, match="modules that the UNet does not have: lora_unet_nowhere"):
        preflight(settings | {"sampler": {"kind": "lcm"}, "lcm_lora": f"{folder}/strange.safetensors"})


def test_networks_that_do_not_go_together_are_refused(folder: Path, settings: dict[str, Any]) -> None:
    text = json.loads((folder / "text_encoder.json").read_text())
    (folder / "wide.json").write_text(json.dumps(text | {"hidden_size": 768}))
    with pytest.raises(DatasetError, match="attends to 512 channels, the text encoder gives 768"):
        preflight(settings | {"text_encoder": settings["text_encoder"] | {"config": f"{folder}/wide.json"}})
    (folder / "narrow.json").write_text(json.dumps(text | {"hidden_size": 256}))
    with pytest.raises(DatasetError, match="hidden_size 256 must be 512 or more"):
        preflight(settings | {"text_encoder": settings["text_encoder"] | {"config": f"{folder}/narrow.json"}})
    (folder / "vae4.json").write_text(
        json.dumps(json.loads((folder / "vae.json").read_text()) | {"latent_channels": 8})
    )
    with pytest.raises(DatasetError, match="the autoencoder has 8"):
        preflight(settings | {"vae": settings["vae"] | {"config": f"{folder}/vae4.json"}})


def test_a_recipe_that_makes_no_sense_is_refused_in_one_line(folder: Path, settings: dict[str, Any]) -> None:
    def load(**changes: Any) -> None:
        load_recipe("barcode", {"renderer": settings | changes, "checks.list": []})

    with pytest.raises(HypersynthError, match="lcm_lora spoils a UNet for sampler dpm"):
        load(lcm_lora=f"{folder}/lora.safetensors")
    with pytest.raises(HypersynthError, match="size"):
        load(size=100)
    assert "arc2face" in RENDERERS
