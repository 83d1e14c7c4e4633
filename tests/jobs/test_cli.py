"""The command line as it is typed: its verbs and flags, what it prints, and one line for every mistake."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer.main
from PIL import Image

from jobs.cli import app
from tests.files import digests
from tests.jobs.making import features, store, typed


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
        "build": [
            *("--address", "--allow-cpu", "--grace", "--log", "--out", "--plots", "--set", "--shards", "--workers"),
            "recipe",
        ],
        "embed": ["--encoder", "--output", "-o", "url"],
        "fit-prior": ["--column", "--components", "--labels", "--output", "-o", "embeddings"],
        "gc": ["--delete", "url"],
        "measure": ["--column", "--max-cosine", "embeddings"],
        "plan": ["--allow-cpu", "--set", "--workers", "recipe"],
        "preview": ["--allow-cpu", "--output", "--people", "--set", "--sweep", "--views", "-o", "recipe"],
        "recipes": ["--attributes", "--schema", "name"],
        "seal": ["url"],
        "status": ["url"],
        "submit": [
            *(
                "--address",
                "--apply",
                "--dry-run",
                "--folder",
                "--out",
                "--set",
                "--shared-folder",
                "--to",
                "--workers",
            ),
            "recipe",
        ],
        "train-model": ["--data", "--out", "--set", "--settings", "kind"],
        "trainings": ["--schema", "name"],
        "verify": ["--drop-damaged", "url"],
    }


CROWD = ("--set", "identities.count=2000", "--set", "identities.separation.max_cosine=0.2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "quikstart", "--out", "x"], "did you mean quickstart?"),
        (["plan", "barcode", "--set", "identities.cuont=3"], "identities.cuont: unknown key; did you mean count?"),
        (["plan", "barcode", "--set", "identities"], "write it as key=value"),
        (["plan", "barcode", "--set", "backend.device=cuda"], "shows no CUDA device"),
        (["build", "barcode", "--out", "out", "--set", "backend.device=cuda"], "shows no CUDA device"),
        (["build", "barcode", "--out", "gs://bucket/x"], "datasets lie in folders or in s3://, not in gs://"),
        (["build", "barcode", "--out", "x", "--shards", "3/3"], "there is no part 3 of 3: the first is 0/3"),
        (["build", "barcode", "--out", "x", "--shards", "3"], "'3' is no part of a build: write 0/8"),
        (["build", "barcode", "--out", "out", "--workers", "0", *CROWD], "of the 2000 identities asked for"),
        (["preview", "barcode", "-o", "x.png", "--sweep", "yaw"], "no attribute 'yaw'"),
        (["status", "nowhere"], "holds no plan"),
        (["verify", "nowhere"], "holds no plan"),
        (["seal", "nowhere"], "holds no plan"),
        (["gc", "nowhere"], "holds no plan"),
        (["recipes", "nothing"], "no shipped recipe 'nothing'"),
        (["recipes", "--attributes", "oil"], "unknown renderer 'oil'; there are: arc2face, barcode, diffusion, head"),
    ],
)
def test_a_mistake_costs_one_line_and_exit_code_1(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in typed(*words).line
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_the_program_tells_a_mistake_as_it_is_told_inside(tmp_path: Path) -> None:
    words = ("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *CROWD)
    ended = hypersynth(*words)
    assert ended.returncode == 1
    assert (ended.stdout, ended.stderr) == (typed(*words).out, typed(*words).err)
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_wrong_usage_costs_exit_code_2() -> None:
    assert hypersynth("build", "barcode").returncode == 2


def test_plan_says_what_would_be_built_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = typed("plan", "barcode", "--workers", "4").out
    assert "2000, 10 of each, 32 px, barcode" in said
    assert "8 of at most 256 pictures" in said
    assert "of rendering, on 4 workers" in said
    assert not list(tmp_path.iterdir())


def test_build_status_and_verify_tell_one_story(tmp_path: Path) -> None:
    small = ("--set", "identities.count=30", "--set", "variations.views=4", "--set", "output.shard_size=50")
    built = succeeded("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *small)
    assert "30 identities x 4 views = 120 pictures in 3 shards" in built
    assert f"{tmp_path}/out/contact_sheet.png" in built
    words = ("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *small)
    assert "nothing was left to do" in typed(*words).out
    assert "finished, 3 of 3 shards done" in typed("status", tmp_path / "out").out
    assert succeeded("verify", tmp_path / "out").startswith("sound: ")
    (tmp_path / "out" / "shards" / "000001.tar").write_bytes(b"")
    damaged = typed("verify", tmp_path / "out", "--drop-damaged")
    assert damaged.code == 1
    assert "shards/000001.tar does not have the size and sha256" in damaged.out
    assert "2 of 3 shards done" in typed("status", tmp_path / "out").out
    assert "2 of them done before" in typed(*words).out
    assert typed("verify", tmp_path / "out").out.startswith("sound: ")


def test_plan_foresees_what_the_search_for_identities_will_take(tmp_path: Path) -> None:
    """Between 16 and 17 thousand fit; of the first candidates nearly all are kept."""
    assert re.search(r"candidates +\d+ are enough\n", re.sub(" +\n", "\n", typed("plan", "barcode").out))
    tight = ("--set", "identities.count=400", "--set", "identities.separation.max_cosine=0.25")
    foreseen = re.search(
        r"of the first \d+, 213 were kept; only about (\d+) identities fit", typed("plan", "barcode", *tight).out
    )
    assert foreseen is not None
    refused = typed("build", "barcode", *tight, "--out", tmp_path / "out", "--workers", "0").line
    assert int(foreseen[1]) == pytest.approx(int(re.findall(r"holds about (\d+) of the 400", refused)[0]), rel=0.1)


def test_embeddings_are_fitted_and_measured(tmp_path: Path) -> None:
    file, prior = store(tmp_path / "people.npy", features()), tmp_path / "prior.safetensors"
    assert ": 60 centres; " in succeeded("fit-prior", file, "--output", prior)
    assert prior.is_file()
    assert succeeded("measure", file).startswith("60 vectors of 64 numbers, mean norm ")


PACKED = ("--set", "identities.count=30", "--set", "variations.views=2", "--set", "identities.packing={steps: 5}")


def test_plots_are_drawn_beside_the_dataset_and_change_nothing_else(tmp_path: Path) -> None:
    folders = [tmp_path / "plain", tmp_path / "drawn"]
    for folder, words in zip(folders, ([], ["--plots"]), strict=True):
        ended = typed("build", "barcode", "--out", folder, "--workers", "0", *PACKED, *words)
        assert (ended.code, ended.err) == (0, "")
    plain, drawn = map(digests, folders)
    names = [f"plots/{name}.png" for name in ("cosines", "saturation", "packing")]
    assert f"  plots     {', '.join(f'{tmp_path}/drawn/{name}' for name in names)}\n" in ended.out
    assert {name: drawn[name] for name in drawn if name not in names} == plain
    assert set(drawn) == {*plain, *names}
    for name in names:
        with Image.open(folders[1] / name) as picture:
            assert picture.format == "PNG"
    assert typed("verify", folders[1]).code == 0


def test_plots_of_a_finished_dataset_are_drawn_when_asked_for_later(tmp_path: Path) -> None:
    words = ("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *PACKED)
    assert typed(*words).code == 0
    again = typed(*words, "--plots").out
    assert again.startswith("plan ")
    assert "nothing was left to do" in again
    assert (tmp_path / "out/plots/cosines.png").exists()


def test_without_matplotlib_plots_cost_one_line_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {"matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))}:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    words = ("build", "barcode", "--out", tmp_path / "out", "--workers", "0", *PACKED)
    assert typed(*words, "--plots").line == "plots need matplotlib: pip install 'hypersynth[plots]'"
    assert not (tmp_path / "out").exists()
    assert typed(*words).code == 0, "without plots nothing is missed"


def test_preview_draws_a_sheet(tmp_path: Path) -> None:
    succeeded("preview", "barcode", "-o", tmp_path / "sheet.png", "--people", "3", "--views", "5")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (5 * 34 - 2, 3 * 34 - 2)


def test_a_swept_attribute_is_all_that_differs(tmp_path: Path) -> None:
    typed("preview", "barcode", "-o", tmp_path / "s.png", "--people", "1", "--views", "3", "--sweep", "tint")
    with Image.open(tmp_path / "s.png") as drawn:
        sheet = drawn.convert("RGB")
    unused = [sheet.getpixel((column * 34 + 30, 30)) for column in range(3)]
    assert unused == [(128, 128, 128), (0, 0, 0), (255, 255, 255)]
    assert {sheet.getpixel((column * 34 + 1, 1)) for column in range(3)} == {sheet.getpixel((1, 1))}


def test_recipes_lists_and_shows() -> None:
    assert {"barcode", "quickstart"} <= {line.split()[0] for line in succeeded("recipes").splitlines()}
    assert "kind: barcode" in typed("recipes", "barcode").out
    schema = json.loads(typed("recipes", "--schema").out)
    assert "identities" in schema["properties"]
    assert "damage" in typed("recipes", "--attributes", "barcode").out
