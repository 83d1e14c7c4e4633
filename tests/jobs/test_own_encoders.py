"""Encoders of one's own, from pictures to a prior to a build: vectors of two encoders are never mixed unnoticed."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from synth import conditions
from synth.embeddings import encoder_of
from synth.encoders.iresnet import IResNet, IResNetSizes
from synth.files import file_sha256
from synth.network_file import header
from synth.renderer import renderer_class
from synth.renderers.diffusion.network import DiffusionNetwork, describe_network
from synth.renderers.diffusion.sizes import DiffusionSizes
from synth.renderers.settings import bare_settings
from synth.section import InputFile
from synth.training.loop import drawn_from
from tests.jobs.making import Ended, typed

DIMENSION = 16
ENCODER = IResNetSizes.compact(8, (8, 8, 8, 8), (1, 1, 1, 1), DIMENSION)
TOLD = conditions.declared(("yaw_deg",))
NETWORK = DiffusionSizes(
    DIMENSION, conditions.width(TOLD), widths=(8, 16), attention_from=1, heads=2, groups=4, tokens=2, token_width=8,
    places=2, patch=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def files(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two encoders, a prior of each, and a renderer that was trained with the first."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("first", "second"):
        with drawn_from(1, name):
            network = IResNet(ENCODER)
        encoder, seen, prior = (folder / f"{name}{part}.safetensors" for part in ("", "-seen", "-prior"))
        save_file(network.state_dict(), encoder, header("encoder", {"sizes": ENCODER.document()}))
        assert typed("embed", dataset_folder, "--encoder", encoder, "-o", seen).code == 0
        assert typed("fit-prior", seen, "-o", prior).code == 0
    with drawn_from(1, "renderer"):
        renderer = DiffusionNetwork(NETWORK)
    described = {**describe_network(NETWORK, TOLD), "encoder": file_sha256(folder / "first.safetensors")}
    save_file(renderer.state_dict(), folder / "renderer.safetensors", header("diffusion", described))
    return folder


def built(files: Path, out: Path, prior: str, encoder: str) -> Ended:
    recipe = files / f"{prior}-{encoder}.yaml"
    recipe.write_text(f"""
name: own
date: 2026-11-28
identities:
  count: 2
  prior: {{kind: pca_gaussian, file: {files}/{prior}-prior.safetensors}}
  separation: {{max_cosine: 0.99}}
variations: {{views: 1}}
renderer: {{kind: diffusion, weights: {files}/renderer.safetensors, conditions: [yaw_deg], sampler: {{steps: 1}}}}
encoders: {{mine: {{kind: trained, weights: {files}/{encoder}.safetensors}}}}
checks: {{list: [{{kind: cosine_to_anchor, encoder: mine, min: -1}}]}}
""")
    return typed("build", recipe, "--out", out, "--workers", "0")


@pytest.mark.parametrize("name", ["first", "second"])
def test_embeddings_and_priors_say_which_encoder_made_them(files: Path, name: str) -> None:
    made_by = file_sha256(files / f"{name}.safetensors")
    for file in (files / f"{name}-seen.safetensors", files / f"{name}-prior.safetensors"):
        assert encoder_of(file.name, file.read_bytes()) == made_by
    assert encoder_of("a.npy", b"") is None


def test_one_encoder_throughout_is_built(files: Path, tmp_path: Path) -> None:
    assert built(files, tmp_path / "out", "first", "first").code == 0
    assert (tmp_path / "out" / "dataset.json").exists()


def test_a_prior_of_another_encoder_is_refused(files: Path, tmp_path: Path) -> None:
    line = built(files, tmp_path / "out", "second", "first").line
    assert "second-prior.safetensors comes from another encoder" in line
    assert "than the renderer was trained with" in line
    assert not (tmp_path / "out" / "plan.json").exists()


def test_a_check_by_another_encoder_is_refused(files: Path, tmp_path: Path) -> None:
    line = built(files, tmp_path / "out", "first", "second").line
    assert "the encoder 'mine' is another than the renderer was trained with" in line
    assert "the check cosine_to_anchor cannot compare them" in line
    assert not (tmp_path / "out").exists()


def test_all_that_is_shipped_is_of_one_encoder() -> None:
    encoder, prior = (InputFile(url=f"builtin://{name}.safetensors").fetch() for name in ("encoder", "prior"))
    made_by = file_sha256(encoder)
    assert encoder_of(prior.name, prior.read_bytes()) == made_by
    for kind in ("vec2face_trained", "diffusion"):
        assert renderer_class(kind).vector_encoder(bare_settings(kind)) == made_by, kind
