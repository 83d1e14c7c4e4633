"""What a cluster is handed: a RayJob for Kubernetes, a script for Slurm, a YAML for Ray's launcher on AWS, as text.

Pure functions from a submission to text, by the templates in `cluster/templates/`. YAML is read, filled and written as
data; words in shell scripts are quoted. Nothing here is a secret, so nothing here needs to be hidden. This module does
not import Ray, writes no files and runs nothing.
"""

import copy
import json
import re
import shlex
from importlib.resources import files
from itertools import takewhile
from string import Template
from typing import Any

import yaml

from cluster.resources import NodeGroup
from cluster.submission import Submission
from samplers.errors import RecipeError

RECIPE = "recipe.yaml"
#: Where machines find the recipe: `cluster/templates/rayjob.yaml` and `cluster.yaml` mount it there.
RECIPE_ON_KUBERNETES = f"/etc/hypersynth/{RECIPE}"
INPUTS_ON_AWS = "/home/ray/inputs"

#: KubeRay hands an entrypoint to two shells, one after the other; words of these letters mean themselves in any.
_PLAIN = re.compile(r"[A-Za-z0-9_./:=+,-]+")


def rayjob(submission: Submission) -> str:
    """Two objects for `kubectl apply`: a ConfigMap with the recipe, and the RayJob that builds it.

    Raises RecipeError where there is no image, or an output that the entrypoint cannot name.
    """
    header, (recipe, job) = _template("rayjob.yaml")
    words = submission.command(RECIPE_ON_KUBERNETES)
    if odd := [word for word in words if not _PLAIN.fullmatch(word)]:
        raise RecipeError(f"--out {odd[0]}: a RayJob takes URLs of letters, digits and _ . / : = + , - alone")
    recipe["metadata"]["name"] = job["metadata"]["name"] = submission.id
    recipe["data"] = {RECIPE: submission.recipe}
    spec = job["spec"]
    spec["entrypoint"], spec["jobId"] = " ".join(words), submission.id
    cluster = spec["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    head["volumes"][0]["configMap"]["name"] = submission.id
    _run_image(head, submission)
    (worker,) = cluster["workerGroupSpecs"]
    cluster["workerGroupSpecs"] = [_worker_group(worker, group, submission) for group in submission.groups]
    return _text(header, recipe, job)


def _run_image(pod: dict[str, Any], submission: Submission) -> None:
    """Make a pod run the submission's image as its service account."""
    pod["containers"][0]["image"] = _image(submission)
    if submission.resources.service_account is not None:
        pod["serviceAccountName"] = submission.resources.service_account


def _worker_group(template: dict[str, Any], group: NodeGroup, submission: Submission) -> dict[str, Any]:
    filled = copy.deepcopy(template)
    filled["groupName"], filled["maxReplicas"] = group.name, group.nodes
    if group.accelerator is not None:  # so that the autoscaler knows of the kind before a machine is there
        filled["rayStartParams"]["resources"] = json.dumps(json.dumps(_kind(group)))
    pod = filled["template"]["spec"]
    _run_image(pod, submission)
    gpus = {"nvidia.com/gpu": str(group.gpus)} if group.gpus else {}
    amounts = {"cpu": str(group.cpus), "memory": f"{_mebibytes(group)}Mi", **gpus}
    pod["containers"][0]["resources"] = {"requests": amounts, "limits": dict(amounts)}
    wanted = {"nvidia.com/gpu": group.gpus > 0}
    pod["tolerations"] = [each for each in pod["tolerations"] if wanted.get(each["key"], group.spot)]
    if not group.spot:
        del pod["affinity"]
    if group.machine is not None:
        pod["nodeSelector"] = {"node.kubernetes.io/instance-type": group.machine}
    return filled


def launcher(submission: Submission, inputs_path: str) -> str:
    """The YAML of `ray up` on AWS; `inputs_path` is the folder here that holds the recipe and Ray's token.

    Raises RecipeError for what AWS needs and the recipe's resources do not say.
    """
    header, (cluster,) = _template("cluster.yaml")
    aws = submission.resources.aws
    if aws is None:
        raise RecipeError("--to aws needs resources.aws: {region: ..., ami: ..., instance_profile: ...} in the recipe")
    cluster["cluster_name"] = submission.id
    cluster["max_workers"] = sum(group.nodes for group in submission.groups)
    cluster["docker"]["image"] = _image(submission)
    cluster["provider"]["region"] = aws.region
    cluster["file_mounts"] = {INPUTS_ON_AWS: inputs_path}
    kinds = cluster["available_node_types"]
    worker = kinds.pop("group")
    kinds["head"]["node_config"]["ImageId"] = aws.ami
    for group in submission.groups:
        if group.machine is None:
            raise RecipeError(f"--to aws needs an instance type for the group {group.name!r}: machine: g6.2xlarge")
        if group.name == "head":
            raise RecipeError("a group of workers cannot be named head; call it something else")
        filled = copy.deepcopy(worker)
        filled["max_workers"], filled["resources"] = group.nodes, _kind(group)
        filled["node_config"] |= {
            "InstanceType": group.machine,
            "ImageId": aws.ami,
            "IamInstanceProfile": {"Name": aws.instance_profile},
        }
        if not group.spot:
            del filled["node_config"]["InstanceMarketOptions"]
        kinds[group.name] = filled
    return _text(header, cluster)


def batch_script(submission: Submission, folder: str) -> str:
    """The script for `sbatch`; `folder` is where all machines find the recipe, and where the script may write.

    Several groups make a heterogeneous job; one step runs on all of its parts.
    """
    groups, nodes = submission.groups, sum(group.nodes for group in submission.groups)
    parts = [
        f"--het-group={number} {_launch(group, nodes)}" if len(groups) > 1 else _launch(group, nodes)
        for number, group in enumerate(groups)
    ]
    return _Script(_read("job.sbatch")).substitute(
        id=submission.id,
        folder=shlex.quote(folder),
        build=shlex.join(submission.command(f"{folder}/{RECIPE}")),
        machines="\n#SBATCH hetjob\n".join(_machines(group) for group in groups),
        launch=" : \\\n    ".join(parts),
    )


def _machines(group: NodeGroup) -> str:
    """The lines by which `sbatch` learns of a group. The values are numbers and plain words."""
    constraint = [] if group.machine is None else [f"--constraint={group.machine}"]
    memory = f"--mem={_mebibytes(group)}M"
    return "\n".join(f"#SBATCH {word}" for word in (*_per_node(group), memory, "--exclusive", *constraint))


def _launch(group: NodeGroup, nodes: int) -> str:
    """What follows `srun` to start Ray on a group's machines; the head waits for all nodes, then builds."""
    ray = ["--num-cpus", str(group.cpus), "--num-gpus", str(group.gpus), "--resources", json.dumps(_kind(group))]
    ray += ["--dashboard-host", "127.0.0.1"]
    return (
        f"{shlex.join((*_per_node(group), '--kill-on-bad-exit=1'))} \\\n"
        f'    ray symmetric-run --address "$address" --min-nodes {nodes} {shlex.join(ray)} \\\n'
        f'    -- bash -c "$noting" noting "${{build[@]}}"'
    )


def _per_node(group: NodeGroup) -> list[str]:
    """What both `sbatch` and `srun` are told of a group; a step does not take over the CPUs of its job's tasks."""
    gpus = [f"--gpus-per-node={_gpus(group)}"] if group.gpus else []
    return [f"--nodes={group.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={group.cpus}", *gpus]


class _Script(Template):
    """A script in which `@@{name}` is filled in, and what belongs to the shell stays."""

    delimiter = "@@"


def _gpus(group: NodeGroup) -> str:
    """As Slurm names them: the number, and before it the kind, in small letters as is usual there."""
    return str(group.gpus) if group.accelerator is None else f"{group.accelerator.lower()}:{group.gpus}"


def _kind(group: NodeGroup) -> dict[str, int]:
    """The resource by which Ray knows a machine with GPUs of a kind; machines also find it out for themselves."""
    return {} if group.accelerator is None else {f"accelerator_type:{group.accelerator}": 1}


def _mebibytes(group: NodeGroup) -> int:
    return int(group.memory_gb * 1024)


def _image(submission: Submission) -> str:
    if submission.resources.image is None:
        raise RecipeError("resources.image is not set: name the container image that was made by cluster/Dockerfile")
    return submission.resources.image


def _read(name: str) -> str:
    return (files("cluster") / "templates" / name).read_text(encoding="utf-8")


def _template(name: str) -> tuple[str, list[Any]]:
    """A template's comment at its top, and its documents."""
    text = _read(name)
    header = takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True))
    return "".join(header), list(yaml.safe_load_all(text))


class _Readable(yaml.SafeDumper):
    """Safe YAML for people: everything written out, texts of several lines as they are."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _Readable.represent_text)


def _text(header: str, *documents: Any) -> str:
    return header + yaml.dump_all(documents, Dumper=_Readable, sort_keys=False, width=120, explicit_start=False)
