"""`submit`: what a recipe becomes on its way to a cluster, what is refused, and what is written and run.

No cluster is here: kubectl, sbatch and ray are programs that note their words. A Ray that is real has
`tests/cluster/test_ray_jobs.py`.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cluster.submission import Submission
from jobs.handout import on_aws, write
from jobs.plan import make_plan
from jobs.recipe import load_recipe, resolve_recipe
from jobs.submit import Request, asked_of_ray, pack, prepare
from samplers.errors import HypersynthError
from tests.jobs.making import Ended, features, store, typed
from tests.programs import first_on_the_path, stand_in

ROOT = Path(__file__).parents[2]
S3 = "s3://bucket/faces"
MACHINES = {
    "resources.groups": [
        {"name": "l4", "nodes": 4, "cpus": 8, "memory_gb": 32, "gpus": 1, "accelerator": "L4", "machine": "g6.2xlarge"},
        {"name": "a100", "nodes": 1, "cpus": 96, "memory_gb": 900, "gpus": 8, "accelerator": "A100", "machine": "p4d"},
    ],
    "resources.gpus_per_worker": 1,
    "resources.image": "registry.example/hypersynth:0.1.0",
    "resources.aws": {"region": "us-west-2", "ami": "ami-0123456789abcdef0", "instance_profile": "bucket-writer"},
}
SET = [word for key, value in MACHINES.items() for word in ("--set", f"{key}={yaml.safe_dump(value).strip()}")]


def asked(target: str = "kuberay", out: str = S3, workers: int | None = 4, shared: bool = False) -> Request:
    return Request(target, out, workers, shared)


def submit(target: str, *words: str | Path, out: str | Path = S3) -> Ended:
    return typed("submit", "barcode", "--to", target, "--out", out, *words)


# ---- the recipe on its way


def test_the_cluster_gets_the_whole_recipe_which_gives_the_same_plan_there(tmp_path: Path) -> None:
    file = store(tmp_path / "people.npy", features())
    recipe = load_recipe(
        "barcode", {"identities.count": 60, "identities.prior": {"kind": "file", "vectors": str(file)}}
    )
    submission = prepare(recipe, asked("ray", shared=True))
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(submission.recipe)
    file.unlink()  # its sha256 travels with the recipe
    assert make_plan(resolve_recipe(load_recipe(str(elsewhere)))).hash == submission.plan_hash
    assert yaml.safe_load(submission.recipe)["resources"] == recipe.resources.model_dump(mode="json")


def test_files_and_folders_that_machines_share_go_by_their_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store(Path("people.npy"), features())
    recipe = load_recipe(
        "barcode", {"identities.count": 9, "identities.prior": {"kind": "file", "vectors": "people.npy"}}
    )
    submission = prepare(recipe, asked("slurm", out="out"))
    assert submission.out_url == str(tmp_path / "out")
    named = yaml.safe_load(submission.recipe)["identities"]["prior"]["vectors"]
    assert named["url"] == str(tmp_path / "people.npy")
    assert re.fullmatch("[0-9a-f]{64}", named["sha256"])


def test_where_the_work_runs_changes_no_plan() -> None:
    here, there = load_recipe("barcode"), load_recipe("barcode", MACHINES)
    assert make_plan(resolve_recipe(here)).hash == make_plan(resolve_recipe(there)).hash


def test_without_a_number_of_workers_there_are_as_many_as_the_machines_hold() -> None:
    assert prepare(load_recipe("barcode", MACHINES), asked(workers=None)).workers == 4 + 8
    only = load_recipe("barcode", {**MACHINES, "resources.accelerator": "A100"})
    assert prepare(only, asked(workers=None)).workers == 8
    assert prepare(only, asked(workers=3)).workers == 3


def test_without_machines_each_worker_has_one_of_its_own() -> None:
    (group,) = prepare(load_recipe("barcode", {"backend.threads": 4}), asked(workers=7)).groups
    assert (group.nodes, group.cpus, group.gpus) == (7, 4, 0)


# ---- refusals


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "mars", "--out", S3], "--to mars: there are ray, kuberay, slurm, aws"),
        (["--to", "ray", "--out", S3], "--to ray needs --address http://HEAD:8265"),
        (["--to", "ray", "--out", S3, "--address", "ray://head:10001"], "--to ray needs --address http://HEAD:8265"),
        (["--to", "ray", "--out", S3, "--address", "http://[head"], "--to ray needs --address http://HEAD:8265"),
        (["--to", "ray", "--out", S3, "--address", "http://me:pass@head:8265"], "no names or passwords in URLs"),
        (["--to", "slurm", "--out", S3, "--address", "http://head:8265"], "--address is for --to ray"),
        (["--to", "ray", "--out", "out", "--address", "http://127.0.0.1:8265"], "do not see this machine's folders"),
        (["--to", "kuberay", "--out", "file:///out"], "do not see this machine's folders"),
        (["--to", "aws", "--out", "out"], "say --shared-folder where they all see this one"),
        (["--to", "kuberay", "--out", "gs://bucket/x"], "datasets lie in folders or in s3://"),
        (["--to", "kuberay", "--out", "s3://key:secret@bucket/x"], "credentials belong to the machines"),
        (["--to", "kuberay", "--out", "s3:///x"], "a bucket's URL is s3://bucket/prefix"),
        (["--to", "kuberay", "--out", S3], "say how many workers: --workers N"),
        (["--to", "kuberay", "--out", S3, "--workers", "2"], "resources.image is not set"),
        (["--to", "aws", "--out", S3, "--workers", "2"], "needs resources.aws"),
        (["--to", "slurm", "--out", S3, "--set", "resources.groups=[{cpus: 1, memory_gb: 2}]"], "holds a worker"),
        (["--to", "slurm", "--out", S3, "--set", "resources.group=3"], "resources.group: unknown key; did you mean"),
    ],
)
def test_what_cannot_be_submitted_is_told_in_one_line_before_anything_is_written(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = typed("submit", "barcode", *words).line
    assert message in line
    assert "secret" not in line
    assert not list(tmp_path.iterdir())


def test_a_file_that_only_this_machine_has_is_refused(tmp_path: Path) -> None:
    file = store(tmp_path / "people.npy", features())
    recipe = load_recipe("barcode", {"identities.prior": {"kind": "file", "vectors": str(file)}})
    with pytest.raises(HypersynthError, match=r"people\.npy: the cluster's machines do not see this machine's files"):
        prepare(recipe, asked())


def test_without_the_jobs_api_submitting_to_ray_costs_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cluster.ray_jobs", raising=False)
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)  # as if it were not installed
    ended = submit("ray", "--workers", "1", "--address", "http://127.0.0.1:1")
    assert ended.line == "submitting to Ray needs its Jobs API: pip install 'hypersynth[cluster]'"


# ---- manifests


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("kuberay", ["rayjob.yaml"]),
        ("slurm", ["job.sbatch", "recipe.yaml"]),
        ("aws", ["cluster.yaml", "inputs/.gitignore", "inputs/auth_token", "inputs/recipe.yaml"]),
    ],
)
def test_manifests_are_shown_or_written_and_say_how_to_go_on(
    target: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = submit(target, *SET, "--dry-run")
    assert shown.code == 0
    assert not list(tmp_path.iterdir())
    written = submit(target, *SET)
    assert (written.code, written.err) == (0, "")
    (folder,) = tmp_path.iterdir()
    assert re.fullmatch("hypersynth-[0-9a-f]{16}-[0-9a-f]{8}", folder.name)
    assert "12 workers, to s3://bucket/faces" in written.out
    assert "to begin, give --apply, or run:" in written.out
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == names
    for name in set(names) - {"inputs/auth_token"}:
        assert (folder / name).read_text() in shown.out


def test_the_token_for_aws_is_its_owner_s_alone_stays_and_stands_nowhere_else(tmp_path: Path) -> None:
    handout = on_aws(prepare(load_recipe("barcode", MACHINES), asked("aws")), str(tmp_path))
    write(handout)
    file = tmp_path / "inputs/auth_token"
    token = file.read_text()
    assert (file.stat().st_mode & 0o777, len(token)) == (0o600, 64)
    write(handout)
    assert file.read_text() == token, "a cluster may know it"
    assert token not in repr(handout)


def test_what_this_machine_s_environment_knows_goes_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, "canary")
    for target in ("kuberay", "slurm", "aws"):
        assert "canary" not in submit(target, *SET, "--dry-run", "--folder", tmp_path).out
    shown = submit("ray", *SET, "--dry-run", "--address", "http://127.0.0.1:8265")
    assert (shown.code, "canary" in shown.out) == (0, False)
    pack(tmp_path / "packed", "name: x\n")
    assert not [path for path in (tmp_path / "packed").rglob("*") if path.is_file() and b"canary" in path.read_bytes()]


# ---- handing over


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, first on the path; the work goes on in another, empty one."""
    folder, place = tmp_path / "bin", tmp_path / "place"
    folder.mkdir()
    place.mkdir()
    first_on_the_path(folder, monkeypatch)
    monkeypatch.chdir(place)
    return folder


def test_applied_to_kubernetes_kubectl_gets_the_file(programs: Path) -> None:
    words = stand_in(programs, "kubectl")
    ended = submit("kuberay", *SET, "--apply", "--folder", "here")
    assert ended.code == 0
    assert words.read_text().split("\n")[:2] == ["apply", "--filename"]
    assert list(yaml.safe_load_all(Path(words.read_text().split("\n")[2]).read_text()))[1]["kind"] == "RayJob"


def test_applied_to_slurm_sbatch_gets_the_script_in_its_folder(programs: Path) -> None:
    words = stand_in(programs, "sbatch")
    assert submit("slurm", *SET, "--apply", "--folder", "here", out="out").code == 0
    here = Path("here").absolute()
    assert words.read_text().split("\n")[:3] == ["--chdir", str(here), f"{here}/job.sbatch"]
    assert f"--out {Path('out').absolute()}" in (here / "job.sbatch").read_text()


def test_applied_to_aws_the_cluster_is_brought_up_builds_and_is_taken_down(programs: Path) -> None:
    words = stand_in(programs, "ray")
    assert submit("aws", *SET, "--apply", "--folder", "here").code == 0
    said = words.read_text().splitlines()
    cluster = str(Path("here/cluster.yaml").absolute())
    assert said[:5] == ["up", "--yes", cluster, "exec", cluster]
    assert said[6:] == ["down", "--yes", cluster]
    inner = typed(*shlex.split(said[5])[1:2], "barcode", *shlex.split(said[5])[3:], "--dry-run")
    assert inner.code == 0, "the head's command is one of ours"
    assert said[5].startswith(
        "hypersynth submit /home/ray/inputs/recipe.yaml --to ray --address http://127.0.0.1:8265 "
    )


def test_a_step_that_fails_is_the_last_and_what_was_not_done_is_told(programs: Path) -> None:
    stand_in(programs, "ray", '[ "$1" != exec ] || exit 4\n')
    line = submit("aws", *SET, "--apply", "--folder", "here").line
    assert "ended with exit code 4; not done: ray down --yes " in line


@pytest.mark.parametrize(("target", "program"), [("kuberay", "kubectl"), ("slurm", "sbatch")])
def test_a_program_that_is_not_here_costs_one_line(
    target: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    line = submit(target, *SET, "--apply", "--folder", tmp_path / "here").line
    assert line.startswith(f"{program} is not on the PATH; where it is, run: {program} ")


# ---- what travels to Ray


def test_what_travels_with_a_job_is_a_program_by_itself(tmp_path: Path) -> None:
    """Run where nothing else of this repository is on the path, and with the version that commits name."""
    pack(tmp_path / "packed", "name: x\n")
    assert not list((tmp_path / "packed").rglob("__pycache__"))
    asking = "import importlib.metadata as m, jobs.cli, cluster; print(m.version('hypersynth'), cluster.__file__)"
    told = subprocess.run(
        [sys.executable, "-c", asking],
        cwd=tmp_path / "packed",
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert told[1] == str(tmp_path / "packed/cluster/__init__.py")
    assert (tmp_path / f"packed/hypersynth-{told[0]}.dist-info").is_dir()
    assert (tmp_path / "packed/synth/models/encoder.safetensors").is_file()


def test_what_ray_is_asked_for_can_be_looked_at() -> None:
    submission: Submission = prepare(load_recipe("barcode"), asked("ray", workers=2))
    shown: dict[str, Any] = yaml.safe_load(asked_of_ray(submission, "http://head:8265"))
    assert shown["submission_id"] == submission.id
    assert shown["entrypoint"] == f"python -m jobs build recipe.yaml --out {S3} --workers 2 --address auto"
    assert shown["recipe.yaml"]["name"] == "barcode"
    assert shown["metadata"] == {"plan": submission.plan_hash, "out": S3}


# ---- the image


def test_the_image_s_recipe_copies_what_is_there_and_not_ignored() -> None:
    text = (ROOT / "cluster/Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied) == sorted(kept)
    assert not [name for name in copied if not (ROOT / name).exists()]
    assert re.search(r"^USER ray$", text, re.MULTILINE)
    assert f"torch=={torch.__version__.partition('+')[0]} " in text


# ---- what no cluster could do


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--workers", "10001"], "10001 workers on a machine each are too many"),
        (["--workers", "1", "--set", "resources.gpus_per_worker=1.5"], "a share of one GPU, or whole ones"),
        (["--workers", "1", "--set", "resources.gpus_per_worker=100"], "resources.gpus_per_worker"),
        (
            ["--workers", "1", "--set", "backend.device=cuda"],
            "backend.device is cuda, but resources.gpus_per_worker is 0",
        ),
        (["--workers", "1", "--set", "resources.memory_gb=1e308"], "resources.memory_gb"),
    ],
)
def test_machines_that_nobody_has_are_refused(words: list[str], line: str) -> None:
    assert line in submit("slurm", *words).line


@pytest.mark.parametrize("target", ["kuberay", "aws"])
def test_clusters_that_mount_nothing_share_no_folder(target: str, tmp_path: Path) -> None:
    ended = submit(target, *SET, "--workers", "1", "--shared-folder", "--dry-run", out=tmp_path / "x")
    assert f"machines that --to {target} brings up mount no folder; write to s3://" in ended.line


@pytest.mark.parametrize("out", ["s3://bucket//x", "s3://bucket/x/../y", "s3:/bucket/x", ""])
def test_a_place_that_no_build_could_write_to_is_refused(out: str) -> None:
    assert submit("slurm", "--workers", "1", "--dry-run", out=out).line


def test_files_that_submit_did_not_write_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "recipe.yaml"
    mine.write_text("# mine\nname: barcode\n")
    words = ["--workers", "1", "--folder", tmp_path]
    assert f"{mine} is there, and was not written by submit" in submit("slurm", *words).line
    assert mine.read_text() == "# mine\nname: barcode\n"
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    mine.unlink()
    assert submit("slurm", *words).code == 0
    assert submit("slurm", *words).code == 0, "what it wrote it may write again"
