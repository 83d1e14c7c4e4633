"""`hypersynth train-model`: settings and mistakes in them, what it prints and leaves, and being stopped."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from jobs.recipe import load_recipe
from jobs.source import TRAININGS
from jobs.training import Request, load_training
from samplers.errors import RecipeError
from synth.training.journal import LOSSES, read_losses
from synth.training.trainee import KINDS
from tests.conftest import build_here
from tests.jobs.making import typed
from tests.processes import LIMIT_S, started, until

TINY: dict[str, Any] = {
    "kind": "encoder",
    "name": "tiny",
    "data": ["DATA"],
    "steps": 40,
    "batch": 8,
    "rate": {"peak": 0.01},
    "shape": {"stem": 8, "widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1], "dimension": 16},
    "threads": 1,
    "loaders": 0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 barcodes of 6 people at 112 px."""
    folder = tmp_path_factory.mktemp("data") / "codes"
    size = {"identities.count": 6, "variations.views": 4, "renderer.size": 112, "checks.list": []}
    build_here(load_recipe("barcode", size), folder)
    return folder


@pytest.fixture(scope="module")
def file(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, "data": [str(data)]}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def undisturbed(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    assert typed("train-model", "encoder", "--out", folder, "--settings", file).code == 0
    return folder


@pytest.mark.parametrize("name", TRAININGS.texts())
def test_every_shipped_settings_file_is_valid_and_named_by_kind_and_device(name: str) -> None:
    said = yaml.safe_load(TRAININGS.texts()[name])
    assert said["kind"] in KINDS
    assert load_training(Request(said["kind"], "out", name)).device == {"-cpu": "cpu", "-gpu": "cuda"}[name[-4:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps: 40", "stesp: 40"), ", line 5: stesp: unknown key; did you mean steps?"),
        (("steps: 40", "steps: many"), ", line 5: steps: input should be a valid integer"),
        (("  peak: 0.01", "  peek: 0.01"), ", line 8: rate.peek: unknown key; did you mean peak?"),
        (("  stem: 8", "  stem: 4"), ", line 10: shape.stem: input should be greater than or equal to 8, not 4"),
        (("kind: encoder", "kind: vec2face"), ", line 1: kind: these are settings for kind vec2face, not encoder"),
        (("kind: encoder", "kind: [encoder]"), ", line 1: kind: input should be 'encoder'"),
        (("name: tiny", "name: a b"), ", line 2: name: "),
        (("steps: 40\n", ""), ": steps: this key is required"),
        (("steps: 40", "steps: 40\nsteps: 50"), ", line 6: steps: already set on line 5"),
        (("name: tiny", "name: ["), ": not YAML"),
    ],
)
def test_a_mistake_in_settings_is_told_with_its_place(
    file: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    text = file.read_text()
    assert change[0] in text
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace(*change))
    line = typed("train-model", "encoder", "--out", tmp_path / "out", "--settings", wrong).line
    assert re.sub(r", line \d+(?=: not YAML)", "", line).startswith(f"{wrong}{message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encodr"], "unknown kind of model 'encodr'; did you mean encoder?"),
        (["encoder", "--settings", "encoder-cup"], "did you mean encoder-cpu?"),
        (["encoder", "--set", "stpes=1"], "encoder-cpu: stpes: unknown key; did you mean steps?"),
        (["encoder", "--set", "name.first=x"], "name is not a section of the settings file"),
        (["encoder", "--set", "steps"], "write it as key=value, for example steps=20000"),
        (["encoder", "--set", "data=a"], "encoder-cpu: data: input should be a list, not 'a'"),
        (["vec2face", "--settings", "encoder-cpu"], "line 4: kind: these are settings for kind encoder, not vec2face"),
        (["encoder", "--set", "device=cuda"], "this machine shows no CUDA device; use --settings encoder-cpu"),
        (["encoder", "--data", "nowhere"], "nowhere holds no finished dataset"),
        (["encoder", "--data", "gs://bucket/x"], "datasets lie in folders or in s3://, not in gs://"),
    ],
)
def test_a_mistake_on_the_command_line_costs_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in typed("train-model", words[0], "--out", "out", *words[1:]).line
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_shipped_settings_are_listed_and_shown_and_described() -> None:
    listed = typed("trainings").out
    assert TRAININGS.texts().keys() <= {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert typed("trainings", "encoder-cpu").out == TRAININGS.texts()["encoder-cpu"]
    assert json.loads(typed("trainings", "--schema", "diffusion").out)["properties"]["likeness"]["default"] == 1.5
    assert "no shipped settings file 'encoder-cup'; did you mean encoder-cpu?" in typed("trainings", "encoder-cup").line
    assert "unknown kind of model 'encodr'; did you mean encoder?" in typed("trainings", "--schema", "encodr").line


def test_results_go_to_folders_only(file: Path) -> None:
    ended = typed("train-model", "encoder", "--out", "s3://bucket/x", "--settings", file)
    assert "s3://bucket/x: only a folder will do here, not s3://" in ended.line


def test_the_preset_for_this_machine_is_the_default() -> None:
    due = "encoder-gpu" if torch.cuda.is_available() else "encoder-cpu"
    assert Request("encoder", "out").source == due
    assert load_training(Request("encoder", "out", data=("a", "b"))).data == ("a", "b")
    assert load_training(Request("encoder", "out", data=("a",), overrides=("data=[c]", "steps=7"))).data == ("c",)
    with pytest.raises(RecipeError, match="no such file"):
        load_training(Request("encoder", "out", "nothing.yaml"))


def test_a_training_tells_and_leaves_all_that_one_needs(file: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("train-model", "encoder", "--out", out, "--settings", file, "--set", "seed=3", "--data", data)
    ended = typed(*words)
    assert (ended.code, ended.err) == (0, "")
    first, *lines = ended.out.splitlines()
    assert first == "encoder tiny: 24 pictures of 6 people, 40 steps of 8 (13.3 times through them)"
    assert re.fullmatch(r"20 of 40 steps, loss [\d.]+, right .*; [\d.]+ pictures/s, [\d.]+ s left", lines[0])
    assert re.fullmatch(r"40 of 40 steps, loss [\d.]+, right .*; [\d.]+ pictures/s", lines[1])
    assert lines[2:] == [
        f"done: {out}/tiny.safetensors",
        f"  read      {out}/README.md",
        f"  look at   {out}/losses.png",
    ]
    names = {"tiny.safetensors", "checkpoint.pt", "losses.jsonl", "losses.png", "training.json", "README.md"}
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == names
    with Image.open(out / "losses.png") as picture:
        assert picture.format == "PNG"
    card = (out / "README.md").read_text()
    manifest = json.loads((data / "dataset.json").read_text())
    assert f"barcode: 24 pictures of 6 people, plan `{manifest['plan_hash']}`" in card
    assert "| steps | 40 of 8 pictures: 13.3 times through the data |" in card
    assert "| seed | 3 |" in card
    assert f"hypersynth train-model encoder --out {out} --settings {file} --data {data} --set seed=3\n" in card
    assert yaml.safe_load(card.partition("```yaml\n")[2].partition("```")[0])["seed"] == 3
    (out / "README.md").write_text(f"{card}\nEER 2 %\n")
    again = typed(*words).out
    assert ", on from its checkpoint\n" in again
    assert (out / "README.md").read_text().endswith("## Measured\n\nEER 2 %\n"), "what others wrote is kept"


def test_without_matplotlib_there_are_no_curves_and_a_word_about_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {"matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))}:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    ended = typed("train-model", "encoder", "--out", tmp_path, "--settings", file, "--set", "steps=2")
    assert ended.out.endswith("  plots     need pip install 'hypersynth[plots]'\n")
    assert not (tmp_path / "losses.png").exists()


def test_another_training_in_the_folder_is_left_alone(file: Path, undisturbed: Path) -> None:
    words = ("train-model", "encoder", "--out", undisturbed, "--settings", file, "--set", "rate.peak=0.02")
    due = f"{undisturbed} holds a training with other settings (rate.peak is 0.01 there, not 0.02); use another --out"
    assert typed(*words).line.startswith(due)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_training_stopped_from_outside_goes_on_in_another_process_to_the_same_bits(
    file: Path, undisturbed: Path, tmp_path: Path, told: signal.Signals
) -> None:
    words = ["train-model", "encoder", "--out", tmp_path, "--settings", file, "--set", "loaders=1"]
    with started([sys.executable, "-m", "jobs", *words]) as program:
        until(lambda: bool(read_losses(tmp_path / LOSSES)), program)  # the first 20 of 40 steps
        program.send_signal(told)
        said = program.communicate(timeout=LIMIT_S)[1]
    assert said == "stopped after a checkpoint; run the same command to go on\n"
    assert program.returncode == 128 + told
    assert not (tmp_path / "tiny.safetensors").exists()
    assert typed(*words).code == 0
    for name in ("tiny.safetensors", LOSSES):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_torchrun_trains_in_two_processes_of_which_one_tells(file: Path, tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["train-model", "encoder", "--out", str(tmp_path), "--settings", str(file), "--set", "steps=20"]
    ended = subprocess.run(
        [*launcher, "-m", "jobs.cli", *words],
        capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment(),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("done: ") == 1
    assert ended.stdout.count("20 of 20 steps") == 1
    assert "torchrun --nproc-per-node 2 -m jobs.cli train-model encoder" in (tmp_path / "README.md").read_text()
    assert json.loads((tmp_path / "training.json").read_text())["processes"] == 2
