"""Submitting: the same build on a cluster. A recipe and a few options become a submission, which manifests are made of.

How the recipe reaches the machines: complete, with every file named by URL and sha256, as one YAML. To Ray it goes in
the job's working directory, beside the code of this installation; to Kubernetes in a ConfigMap; on Slurm it lies in a
folder that all machines see; to AWS it is mounted. What it names must be in reach there: files in buckets, on the hub
or built in, or in a folder that all machines share. This module does not make shards, and knows neither manifests
(`cluster.manifests`), nor who hands them over (`jobs.handout`), nor the Jobs API (`cluster.ray_jobs`).
"""

import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from cluster.manifests import RECIPE
from cluster.resources import capacity, machines_for
from cluster.submission import Submission
from jobs.plan import make_plan
from jobs.recipe import Recipe, resolve_recipe
from samplers.errors import BuildError, RecipeError, StorageError
from synth.section import named_files
from synth.storage import open_storage

_PACKAGES = ("samplers", "synth", "cluster", "jobs")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^?#]*)?")  # no names, no passwords
_ADDRESS = re.compile(r"https?://(?P<user>[^/@]*@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[^?#]*)?")
_SHARING = ("slurm",)  # whose machines see one file system
_ALONE = ("kuberay", "aws")  # whose machines mount nothing


@dataclass(frozen=True)
class Request:
    """What was asked for, beside the recipe."""

    target: str
    out_url: str
    workers: int | None = None  # None: as many as the recipe's groups of machines hold
    shared_folder: bool = False  # folders of this machine are seen by the cluster's, at the same path

    @property
    def shares_folders(self) -> bool:
        """Whether the cluster's machines see the folders of this one."""
        return (self.shared_folder and self.target not in _ALONE) or self.target in _SHARING


def prepare(recipe: Recipe, request: Request) -> Submission:
    """The submission of a recipe. Files that it names without a sha256 are read, or fetched, to know their sha256.

    Raises StorageError where the cluster could not reach a folder or a file, RecipeError where the machines that the
    recipe names hold no worker, or nothing says how many workers there are to be; both before anything is fetched.
    """
    out_url = _place(request)
    _refuse_private(recipe, request)
    if recipe.backend.device == "cuda" and not recipe.resources.gpus_per_worker:
        raise RecipeError("backend.device is cuda, but resources.gpus_per_worker is 0: say how many GPUs a worker has")
    resources, threads = recipe.resources, recipe.backend.threads
    workers = request.workers
    if workers is None:
        if not resources.groups:
            raise RecipeError("say how many workers: --workers N, or machines in resources.groups of the recipe")
        workers = capacity(resources.groups, resources, threads)
        if workers == 0:
            raise RecipeError(
                f"no machine of resources.groups holds a worker: each takes {threads} CPUs, "
                f"{resources.gpus_per_worker:g} GPUs and {resources.memory_gb:g} GB, and Ray counts only 70 % of a "
                "machine's memory"
            )
    resolved = resolve_recipe(recipe)
    return Submission(
        plan_hash=make_plan(resolved).hash,
        out_url=out_url,
        workers=workers,
        recipe=_complete(resolved),
        resources=resources,
        groups=resources.groups or (machines_for(workers, resources, threads),),
    )


def _is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def _absolute(url: str) -> str:
    return str(Path(url.removeprefix("file://")).absolute()) if _is_local(url) else url


def _place(request: Request) -> str:
    """Where the dataset goes, as the cluster's machines name it."""
    url = request.out_url
    if not _is_local(url) and not url.startswith("s3://"):
        raise StorageError(f"--out {url}: datasets lie in folders or in s3://")
    if not _is_local(url) and not _BUCKET.fullmatch(url):
        raise StorageError(
            "--out: a bucket's URL is s3://bucket/prefix, the name of three small letters or more; credentials belong "
            "to the machines, not into it"
        )
    open_storage(url)  # refuses what no build could write to
    if _is_local(url) and request.shared_folder and request.target in _ALONE:
        raise StorageError(
            f"--shared-folder: machines that --to {request.target} brings up mount no folder; write to s3://"
        )
    if _is_local(url) and not request.shares_folders:
        raise StorageError(
            f"--out {url}: the cluster's machines do not see this machine's folders; write to s3://, or say "
            "--shared-folder where they all see this one"
        )
    return _absolute(url)


def _refuse_private(recipe: Recipe, request: Request) -> None:
    """Raises StorageError where the recipe names a file that only this machine has."""
    private = [file.url for file in named_files(recipe) if _is_local(file.url)]
    if private and not request.shares_folders:
        raise StorageError(
            f"{private[0]}: the cluster's machines do not see this machine's files; put it into s3://, or say "
            "--shared-folder where they all see it at the same path"
        )


def _complete(resolved: Recipe) -> str:
    """The recipe as YAML, with files in folders by their whole paths. It gives the same plan, wherever it is read."""
    text: str = yaml.safe_dump(_with_whole_paths(resolved.model_dump(mode="json")), sort_keys=False, width=100)
    return f"# Written by hypersynth submit: complete, with every file's sha256.\n{text}"


def _with_whole_paths(document: Any) -> Any:
    if isinstance(document, dict):
        if set(document) == {"url", "sha256"}:
            return {**document, "url": _absolute(document["url"])}
        return {name: _with_whole_paths(value) for name, value in document.items()}
    return [_with_whole_paths(value) for value in document] if isinstance(document, list) else document


def checked_address(address: str | None) -> str:
    """The address of a cluster's Jobs API. Raises BuildError for what is none."""
    parts = _ADDRESS.fullmatch(address or "")
    if address is None or parts is None:
        raise BuildError("--to ray needs --address http://HEAD:8265 (or https://): that of the cluster's dashboard")
    if parts["user"]:
        raise BuildError("--address: no names or passwords in URLs; a cluster's token stands in RAY_AUTH_TOKEN_PATH")
    return address


def asked_of_ray(submission: Submission, address: str) -> str:
    """What `run_on_ray` asks for, as YAML, to be looked at."""
    asked = {
        "address": address,
        "submission_id": submission.id,
        "entrypoint": _entrypoint(submission),
        "working_dir": [*_PACKAGES, RECIPE],
        "metadata": _metadata(submission),
        RECIPE: yaml.safe_load(submission.recipe),
    }
    text: str = yaml.safe_dump(asked, sort_keys=False, width=100)
    return text


def _entrypoint(submission: Submission) -> str:
    """A Ray job's command, in its working directory: the code there comes before any that is installed."""
    return shlex.join(submission.command(RECIPE, ("python", "-m", "jobs")))


def _metadata(submission: Submission) -> dict[str, str]:
    return {"plan": submission.plan_hash, "out": submission.out_url}


def run_on_ray(submission: Submission, address: str, say: Callable[[str], None], echo: Callable[[str], None]) -> int:
    """Build on the Ray cluster at an address, by its Jobs API; returns the exit code of the job.

    The code of this installation travels with the job, so that the cluster builds what was planned here; the packages
    that it needs must be installed there. Raises MissingPackageError and BuildError as `cluster.ray_jobs` does.
    """
    from cluster.ray_jobs import Job, run_job

    with TemporaryDirectory(prefix="hypersynth-") as place:
        pack(Path(place), submission.recipe)
        job = Job(submission.id, _entrypoint(submission), Path(place), _metadata(submission))
        return run_job(job, address, say, echo)


def pack(folder: Path, recipe: str) -> None:
    """What travels with a Ray job: this installation's packages, the version that commits name, and the recipe."""
    for package in _PACKAGES:
        shutil.copytree(str(files(package)), folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with suppress(PackageNotFoundError):
        named = version("hypersynth")
        told = folder / f"hypersynth-{named}.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hypersynth\nVersion: {named}\n")
    (folder / RECIPE).write_text(recipe)
