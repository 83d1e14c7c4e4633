"""The command line as it is typed: its verbs and flags, what it prints, and one line for every mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer.main
from PIL import Image

from jobs.cli import app


def hypersynth(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})


def succeeded(*words: str | Path) -> str:
    ended = hypersynth(*words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_verbs_and_flags_are_these() -> None:
    """Frozen: a change of the surface is a change of this table, made on purpose."""
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    surface = {
        verb: sorted(option for parameter in command.params for option in parameter.opts)
        for verb, command in group.commands.items()
    }
    assert surface == {
        "build": ["--address", "--out", "--set", "--workers", "recipe"],
        "plan": ["--set", "--workers", "recipe"],
        "preview": ["--output", "--people", "--set", "--sweep", "--views", "-o", "recipe"],
        "recipes": ["--attributes", "--schema", "name"],
        "status": ["url"],
        "verify": ["--drop-damaged", "url"],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "quikstart", "--out", "x"], "did you mean quickstart?"),
        (["plan", "barcode", "--set", "identities.cuont=3"], "identities.cuont: unknown key; did you mean count?"),
        (["plan", "barcode", "--set", "identities"], "write it as key=value"),
        (["plan", "barcode", "--set", "backend.device=cuda"], "shows no CUDA device"),
        (["build", "barcode", "--out", "s3://bucket/x"], "folders only, not in s3://"),
        (["build", "barcode", "--out", "out", "--workers", "0", "--set", "identities.count=99999"], "identities fit"),
        (["preview", "barcode", "-o", "x.png", "--sweep", "yaw"], "no attribute 'yaw'"),
        (["status", "nowhere"], "holds no plan"),
        (["verify", "nowhere"], "holds no plan"),
        (["recipes", "nothing"], "no shipped recipe 'nothing'"),
        (["recipes", "--attributes", "oil"], "unknown renderer 'oil'; there are: barcode, head"),
    ],
)
def test_a_mistake_costs_one_line_and_exit_code_1(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    ended = hypersynth(*words)
    assert ended.returncode == 1
    assert ended.stderr.startswith("hypersynth: ")
    assert ended.stderr.count("\n") == 1
    assert message in ended.stderr
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_wrong_usage_costs_exit_code_2() -> None:
    assert hypersynth("build", "barcode").returncode == 2


def test_plan_says_what_would_be_built_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
    monkeypatch.chdir(tmp_path)
    said = succeeded("plan", "barcode", "--workers", "4")
    assert "2000, 10 of each, 32 px, barcode" in said
    assert "8 of at most 256 pictures" in said
    assert "on 4 workers" in said
    assert not list(tmp_path.iterdir())


def test_build_status_and_verify_tell_one_story(tmp_path: Path) -> None:
    small = ("--set", "identities.count=30", "--set", "variations.views=4", "--set", "output.shard_size=50")
    built = succeeded("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *small)
    assert "30 identities x 4 views = 120 pictures in 3 shards" in built
    assert f"{tmp_path}/out/contact_sheet.png" in built
    assert "nothing was left to do" in succeeded(
        "build", "barcode", "--out", tmp_path / "out", "--workers", "0", *small
    )
    assert "finished, 3 of 3 shards done" in succeeded("status", tmp_path / "out")
    assert succeeded("verify", tmp_path / "out").startswith("sound: ")
    (tmp_path / "out" / "shards" / "000001.tar").write_bytes(b"")
    damaged = hypersynth("verify", tmp_path / "out", "--drop-damaged")
    assert damaged.returncode == 1
    assert "shards/000001.tar does not have the size and sha256" in damaged.stdout
    assert "2 of 3 shards done" in succeeded("status", tmp_path / "out")
    again = succeeded("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *small)
    assert "2 of them done before" in again
    assert succeeded("verify", tmp_path / "out").startswith("sound: ")


def test_preview_draws_a_sheet(tmp_path: Path) -> None:
    succeeded("preview", "barcode", "-o", tmp_path / "sheet.png", "--people", "3", "--views", "5")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (5 * 34 - 2, 3 * 34 - 2)


def test_a_swept_attribute_is_all_that_differs(tmp_path: Path) -> None:
    succeeded("preview", "barcode", "-o", tmp_path / "s.png", "--people", "1", "--views", "3", "--sweep", "tint")
    with Image.open(tmp_path / "s.png") as drawn:
        sheet = drawn.convert("RGB")
    unused = [sheet.getpixel((column * 34 + 30, 30)) for column in range(3)]
    assert unused == [(128, 128, 128), (0, 0, 0), (255, 255, 255)]
    assert {sheet.getpixel((column * 34 + 1, 1)) for column in range(3)} == {sheet.getpixel((1, 1))}


def test_recipes_lists_and_shows() -> None:
    assert {"barcode", "quickstart"} <= {line.split()[0] for line in succeeded("recipes").splitlines()}
    assert "kind: barcode" in succeeded("recipes", "barcode")
    schema = json.loads(succeeded("recipes", "--schema"))
    assert "identities" in schema["properties"]
    assert "damage" in succeeded("recipes", "--attributes", "barcode")
