"""What is refused before a GPU or a folder is taken, in one line; and what is foreseen without either."""

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cluster.run import Crew
from jobs.needs import CONTEXT_BYTES, Needs, cpu_pace, refuse_small_gpu
from jobs.preflight import allowing_cpu, smallest_gpu_bytes, workers_on_a_gpu
from jobs.recipe import load_recipe
from samplers.errors import RecipeError
from synth import renderer as contract
from synth.cost import Cost
from synth.encoders.iresnet import BLOCKS, IResNet, IResNetSizes
from synth.files import at_hand, file_sha256
from synth.renderer import Views
from synth.renderers.barcode import BarcodeRenderer
from synth.renderers.vec2face.masking import PLACES
from synth.renderers.vec2face.network import SIZES, FeatureAutoencoder
from tests.jobs.making import Ended, typed

RECIPE = """
name: tiny
date: 2026-01-01
identities: {count: 12, prior: {kind: uniform}, separation: {max_cosine: 0.4}}
variations: {views: 2, vector: {kind: noise, sigma: 0.1}}
renderer: {kind: vec2face, network: tiny, weights: FOLDER/whole.safetensors, feature_norm: 20}
output: {shard_size: 16}
backend: {micro_batch: 8}
"""
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
ON_GPU = ("--set", "backend.device=cuda", "--set", "backend.dtype=bfloat16", "--set", "resources.gpus_per_worker=1")
ON_CPU = ("--set", "backend.device=cpu", "--set", "backend.dtype=float32")


class Code:
    """A pickle of it makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def filled(network: torch.nn.Module) -> dict[str, Tensor]:
    """A network's state dict with small random numbers in it."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(value.shape, generator=generator) * 0.05 if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe for the tiny network, its weights, and files that are not its weights."""
    folder = tmp_path_factory.mktemp("weights")
    whole = filled(FeatureAutoencoder(SIZES["tiny"]))
    names = list(whole)
    save_file(whole, folder / "whole.safetensors")
    save_file({name: whole[name] for name in names[6:]}, folder / "missing.safetensors")
    save_file({**whole, "ema.decay": torch.zeros(1)}, folder / "extra.safetensors")
    save_file({**whole, "norm.weight": torch.zeros(7)}, folder / "shape.safetensors")
    save_file(
        {**whole, "im_decoder.conv_out.weight": whole["im_decoder.conv_out.weight"] / 0}, folder / "nan.safetensors"
    )
    torch.save({"model_vec2face": {**whole, "note": Code(folder / "ran")}}, folder / "code.pth")
    (folder / "pickle.pth").write_bytes(pickle.dumps(Code(folder / "ran")))
    (folder / "half.safetensors").write_bytes((folder / "whole.safetensors").read_bytes()[:-1])
    (folder / "recipe.yaml").write_text(RECIPE.replace("FOLDER", str(folder)))
    with torch.device("meta"):
        network = IResNet(IResNetSizes(BLOCKS[18], 128))
    save_file({name: torch.zeros_like(t, device="cpu") for name, t in network.state_dict().items()}, folder / "r18.pt")
    (folder / "r18.pt").rename(folder / "r18.safetensors")
    return folder


def build(files: Path, out: Path, *words: str) -> Ended:
    """Build the recipe with other words."""
    placed = [word.replace("FILES", str(files)) for word in words]
    return typed("build", files / "recipe.yaml", "--out", out, "--workers", "0", *placed)


def refused(files: Path, out: Path, *words: str) -> str:
    """The line that refuses a build, which leaves nothing behind."""
    line = build(files, out, *words).line
    assert not out.exists(), "something was left behind"
    return line


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.safetensors", ["does not fit the network", "missing: ", "and 2 more"]),
        ("extra.safetensors", ["does not fit the network", "extra: ema.decay"]),
        ("shape.safetensors", ["misshapen: norm.weight [7] for [64]"]),
        ("code.pth", ["is refused", "could run code", "safetensors"]),
        ("pickle.pth", ["is refused", "could run code", "safetensors"]),
        ("nan.safetensors", ["nan.safetensors: im_decoder.conv_out.weight has numbers that are not finite"]),
        ("half.safetensors", ["half.safetensors is no .safetensors file, or is damaged"]),
        ("nothing.pth", ["cannot read", "nothing.pth: No such file or directory"]),
        ("recipe.yaml", ["is no file of PyTorch weights"]),
    ],
)
def test_weights_that_are_not_the_network_s_are_refused(
    files: Path, tmp_path: Path, name: str, words: list[str]
) -> None:
    setting = f"renderer.weights=FILES/{name}"
    line = refused(files, tmp_path / "out", "--set", setting)
    assert [word for word in words if word not in line] == [], line
    assert not (files / "ran").exists(), "the code in a pickle ran"
    placed = setting.replace("FILES", str(files))
    previewed = typed("preview", files / "recipe.yaml", "-o", tmp_path / "sheet.png", "--set", placed)
    assert previewed.line == line
    assert not (tmp_path / "sheet.png").exists()


def test_missing_names_are_listed(files: Path, tmp_path: Path) -> None:
    line = refused(files, tmp_path / "out", "--set", "renderer.weights=FILES/missing.safetensors")
    for name in list(FeatureAutoencoder(SIZES["tiny"]).state_dict())[:4]:
        assert name in line


def test_weights_with_another_sha256_are_refused(files: Path, tmp_path: Path) -> None:
    weights = f"{{url: FILES/whole.safetensors, sha256: {'a' * 64}}}"
    line = refused(files, tmp_path / "out", "--set", f"renderer.weights={weights}")
    assert "whole.safetensors does not have the sha256 that the recipe names: " in line
    assert line.endswith(", not aaaaaaaaaaaa")


def test_a_sha256_may_be_written_in_capitals(files: Path, tmp_path: Path) -> None:
    digest = file_sha256(files / "whole.safetensors").upper()
    weights = f"{{url: FILES/whole.safetensors, sha256: {digest}}}"
    assert build(files, tmp_path / "out", "--set", f"renderer.weights={weights}").code == 0


def test_a_share_that_would_drop_all_tokens_is_refused(files: Path, tmp_path: Path) -> None:
    assert "renderer.dropped_share" in refused(files, tmp_path / "out", "--set", "renderer.dropped_share=0.98")
    assert math.ceil(PLACES * 0.97) < PLACES


def test_attributes_that_other_settings_would_give_are_told_with_them(files: Path, tmp_path: Path) -> None:
    yaw = "variations.attributes={yaw_deg: {kind: constant, value: 3}}"
    line = refused(files, tmp_path / "out", "--set", yaw)
    assert line.endswith("variations.attributes.yaw_deg: vec2face has this attribute only with renderer.optimise.pose")
    assert "(needs renderer.optimise.pose)" in typed("recipes", "--attributes", "vec2face").out
    assert "needs" not in typed("recipes", "--attributes", "vec2face_plus").out
    assert typed("recipes", "--attributes", "arc2face").out.count("(needs renderer.controlnet)") == 10


IRESNET = "encoders={small: {kind: iresnet, layers: 18, convention: magface, weights: FILES/r18.safetensors}}"


@pytest.mark.parametrize("kind", ["cosine_to_anchor, min: 0", "nearest_anchor"])
@pytest.mark.parametrize(("encoder", "dimension"), [("barcode", 64), ("small", 128)])
def test_an_encoder_of_another_dimension_than_the_anchors_is_refused(
    files: Path, tmp_path: Path, kind: str, encoder: str, dimension: int
) -> None:
    check = f"checks.list=[{{kind: {kind}, encoder: {encoder}}}]"
    encoders = ["--set", IRESNET] if encoder == "small" else []
    line = refused(files, tmp_path / "out", "--set", check, *encoders)
    assert f"'{encoder}' gives {dimension} numbers, people of the renderer vec2face have 512: the check" in line


def test_an_encoder_that_only_grades_may_have_any_dimension(files: Path, tmp_path: Path) -> None:
    check = "checks.list=[{kind: quality, encoder: small, min: 0}]"
    ended = build(files, tmp_path / "out", "--set", check, "--set", IRESNET)
    assert "gave embeddings that are not finite, or zero" in ended.line, "it was built: the zeros are the weights'"


def test_attrop_asks_the_same_of_its_encoder_and_that_gradients_flow_through_it(files: Path, tmp_path: Path) -> None:
    search = "renderer.optimise={{steps: 1, identity: {{encoder: {}}}}}"
    line = refused(files, tmp_path / "out", "--set", search.format("small"), "--set", IRESNET)
    assert "'small' gives 128 numbers" in line
    assert "512: renderer.optimise.identity cannot compare them" in line
    line = refused(files, tmp_path / "out", "--set", search.format("barcode"))
    assert "needs gradients through 'barcode'" in line


def test_float16_without_a_gpu_is_refused(files: Path, tmp_path: Path) -> None:
    line = refused(files, tmp_path / "out", "--set", "backend.dtype=float16")
    assert line.endswith("backend: dtype float16 wants device cuda; on a CPU use float32")


@WITHOUT_GPU
def test_without_a_gpu_it_is_said_how_slow_a_cpu_would_be(files: Path, tmp_path: Path) -> None:
    line = refused(files, tmp_path / "out", *ON_GPU, "--set", "identities.count=100000")
    assert line.startswith("backend.device is cuda, but this machine shows no CUDA device; on this machine's CPU (1 ")
    assert " 200,000 pictures would take about " in line
    assert "at best; --allow-cpu goes on without, or --set backend.device=cpu --set backend.dtype=float32" in line


@WITHOUT_GPU
def test_a_renderer_without_a_network_just_says_what_to_type(tmp_path: Path) -> None:
    words = ("build", "barcode", "--out", tmp_path / "out", "--set", "backend.device=cuda")
    assert typed(*words).line == (
        "backend.device is cuda, but this machine shows no CUDA device; "
        "--allow-cpu goes on without, or --set backend.device=cpu"
    )


@WITHOUT_GPU
def test_no_weights_are_looked_at_where_there_is_no_gpu_for_them(files: Path, tmp_path: Path) -> None:
    line = refused(files, tmp_path / "out", *ON_GPU, "--set", "renderer.weights=hf://nobody/nothing/x.pth")
    assert "no CUDA device" in line


@WITHOUT_GPU
def test_allow_cpu_builds_the_dataset_of_the_cpu_s_own_plan(files: Path, tmp_path: Path) -> None:
    ended = build(files, tmp_path / "out", *ON_GPU, "--allow-cpu")
    assert ended.code == 0, ended.err
    assert "going on with backend.device=cpu and float32, which is another plan" in ended.out
    manifest = json.loads((tmp_path / "out/dataset.json").read_text())
    assert "nothing was left to do" in build(files, tmp_path / "out", *ON_GPU, *ON_CPU).out
    assert manifest["plan_hash"] in typed("plan", files / "recipe.yaml", *ON_GPU, "--allow-cpu").out
    sheet = tmp_path / "sheet.png"
    assert typed("preview", files / "recipe.yaml", "-o", sheet, "--people", "2", *ON_GPU, "--allow-cpu").code == 0
    assert sheet.exists()


def test_allow_cpu_changes_nothing_where_nothing_needs_it() -> None:
    plain = load_recipe("barcode")
    assert allowing_cpu(plain, None) is plain
    remote = load_recipe("barcode", {"backend.device": "cuda", "backend.dtype": "float16"})
    assert allowing_cpu(remote, "ray://elsewhere") is remote, "the cluster may have GPUs"
    here = allowing_cpu(remote, None)
    if smallest_gpu_bytes() is not None:
        assert here is remote
    else:
        assert (here.backend.device, here.backend.dtype) == ("cpu", "float32")


def test_a_finished_dataset_is_told_without_its_weights(files: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((files / "whole.safetensors").read_bytes())
    words = ("--set", f"renderer.weights={{url: {weights}, sha256: {file_sha256(weights)}}}")
    assert build(files, tmp_path / "out", *words).code == 0
    weights.unlink()
    assert "nothing was left to do" in build(files, tmp_path / "out", *words).out
    assert "No such file or directory" in refused(files, tmp_path / "other", *words)


GB = 1_000_000_000


def wanting(parameters_gb: float, batch_gb: float) -> Needs:
    cost = Cost(int(parameters_gb * GB), int(batch_gb * GB), 1e9)
    return Needs(cost, encoder_bytes=0, unknown=())


def test_a_gpu_that_is_too_small_is_refused_with_the_estimate_and_what_would_fit() -> None:
    with pytest.raises(RecipeError) as refusal:
        refuse_small_gpu(wanting(2, 28), 24 * GB, micro_batch=64)
    assert str(refusal.value) == (
        "the recipe needs about 31 GB of GPU memory at backend.micro_batch 64 (in GB: the renderer's weights 2.0, "
        "one micro-batch 28, CUDA itself 0.60), this GPU has 24 GB: lower backend.micro_batch: about 48 would fit"
    )


@pytest.mark.parametrize(
    ("needs", "gpu_gb", "workers", "words"),
    [
        (wanting(2, 28), 24, 1, "lower backend.micro_batch: about 48 would fit"),
        (wanting(23, 4), 24, 1, "lower backend.micro_batch: about 6 would fit"),
        (wanting(24, 1), 24, 1, "not even a micro-batch of 1 would fit: use a larger GPU, or smaller networks"),
        (wanting(2, 4), 24, 4, "let fewer workers share a GPU (resources.gpus_per_worker, --workers), or lower"),
        (wanting(12, 4), 24, 2, "let fewer workers share a GPU (resources.gpus_per_worker, --workers)"),
    ],
)
def test_what_to_change_depends_on_what_does_not_fit(needs: Needs, gpu_gb: int, workers: int, words: str) -> None:
    with pytest.raises(RecipeError) as refusal:
        refuse_small_gpu(needs, gpu_gb * GB, 64, workers)
    assert f"this GPU has {gpu_gb} GB: {words}" in str(refusal.value)


def test_a_gpu_that_is_just_large_enough_is_not_refused() -> None:
    needs = wanting(2, 4)
    assert needs.memory_bytes == 6 * GB + CONTEXT_BYTES
    refuse_small_gpu(needs, needs.memory_bytes, 64)
    refuse_small_gpu(needs, 3 * needs.memory_bytes, 64, workers=3)
    with pytest.raises(RecipeError):
        refuse_small_gpu(needs, needs.memory_bytes - 1, 64)


@pytest.mark.parametrize(
    ("crew", "workers"),
    [
        (Crew(0), 1),
        (Crew(4, gpus_per_worker=1), 1),
        (Crew(4, gpus_per_worker=0.5), 2),
        (Crew(1, gpus_per_worker=0.25), 1),
        (Crew(4), 4),  # who asks for none sees all, and uses the first
    ],
)
def test_workers_that_share_a_gpu_are_counted(crew: Crew, workers: int) -> None:
    assert workers_on_a_gpu(crew) == workers


def test_a_cpu_s_pace_is_told_in_words() -> None:
    needs = Needs(Cost(0, 0, 50e9), encoder_bytes=0, unknown=())
    assert cpu_pace(needs, 500_000, rate=90e9, threads=2) == (
        "on this machine's CPU (2 threads) 500,000 pictures would take about 3.2 days, at 1.8 pictures/s at best"
    )
    assert cpu_pace(needs, 10, rate=1e9, threads=1).endswith(
        "(1 thread) 10 pictures would take about 8.3 min, at 72 pictures/h at best"
    )


@WITHOUT_GPU
def test_plan_foresees_what_a_gpu_would_need_where_there_is_none(files: Path) -> None:
    ended = typed("plan", files / "recipe.yaml", *ON_GPU)
    assert (ended.code, ended.err) == (0, "")
    rows = {line.split()[0]: line.strip() for line in ended.out.splitlines() if line.strip()}
    assert "0.00194 TFLOP for each picture" in rows["operations"]
    assert "GB for one worker at backend.micro_batch 8 (in GB: " in rows["GPU"]
    assert "on one GPU that sustains 100 TFLOP/s in bfloat16: a round figure, not measured" in rows["time"]
    assert "24 pictures would take about" in rows["on"]
    assert rows["not"].endswith("this machine shows no CUDA device")
    assert "measured" not in rows
    assert "bytes" not in rows


def test_plan_counts_without_the_weights_and_says_what_is_missing(files: Path) -> None:
    absent = ("--set", "renderer.weights=hf://nobody/nothing/x.safetensors")
    ended = typed("plan", files / "recipe.yaml", *absent)
    assert (ended.code, ended.err) == (0, "")
    assert "24, 2 of each, 112 px, vec2face" in ended.out
    assert "not known: it takes the sha256 of files that are not here" in ended.out
    assert "candidates  12 are enough" in ended.out
    assert "hf://nobody/nothing/x.safetensors: not on this machine" in ended.out
    pinned = ("--set", f"renderer.weights={{url: hf://nobody/nothing/x.safetensors, sha256: {'a' * 64}}}")
    ended = typed("plan", files / "recipe.yaml", *pinned)
    assert (ended.code, ended.err) == (0, "")
    assert "not known" not in ended.out


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("FILES/recipe.yaml", True),
        ("file://FILES/recipe.yaml", True),
        ("FILES", False),
        ("FILES/nothing", False),
        ("s3://bucket/recipe.yaml", False),
        ("hf://nobody/nothing/x.safetensors", False),
        ("hf://no body/--/x.safetensors", False),
        ("hf://nobody", False),
        ("ftp://nobody/x", False),
    ],
)
def test_what_can_be_read_without_fetching_is_known(files: Path, url: str, here: bool) -> None:
    assert at_hand(url.replace("FILES", str(files))) is here


def test_plan_counts_without_the_prior_too(files: Path) -> None:
    ended = typed("plan", files / "recipe.yaml", "--set", "identities.prior={kind: file, vectors: nowhere.npy}")
    assert (ended.code, ended.err) == (0, "")
    assert "24, 2 of each" in ended.out
    assert "nowhere.npy: not on this machine" in ended.out
    assert "candidates" not in ended.out


def test_plan_refuses_weights_that_are_here_and_wrong(files: Path) -> None:
    ended = typed("plan", files / "recipe.yaml", "--set", f"renderer.weights={files}/extra.safetensors")
    assert "extra: ema.decay" in ended.line


def test_plan_tries_no_pictures_that_would_take_minutes(files: Path) -> None:
    slow = ("--set", "backend.micro_batch=4096", "--set", "renderer.optimise={steps: 200, quality: {encoder: small}}")
    ended = typed("plan", files / "recipe.yaml", *slow, "--set", IRESNET.replace("FILES", str(files)))
    assert (ended.code, ended.err) == (0, "")
    assert "12288 pictures would take this CPU " in ended.out
    assert "GPU memory" not in ended.out


class Full(BarcodeRenderer):
    """Runs out of memory."""

    trouble: Exception

    def render(self, views: Views) -> Tensor:
        raise self.trouble


@pytest.mark.parametrize(
    "trouble",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["cuda", "python", "cpu", "cublas"],
)
def test_memory_that_runs_out_names_the_setting_to_lower(
    trouble: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Callable[[], type[BarcodeRenderer]] = lambda: Full  # noqa: E731
    monkeypatch.setitem(contract.RENDERERS, "barcode", kind)
    Full.trouble = trouble
    small = ("--set", "identities.count=5", "--set", "variations.views=2")
    ended = typed("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *small)
    assert "failed (memory): out of memory: lower backend.micro_batch (now 16)" in ended.out
    assert "Traceback" not in ended.out
    assert "could not be made (000000); the first: out of memory: lower backend.micro_batch (now 16)" in ended.err
    assert "\n" not in ended.err.strip()
