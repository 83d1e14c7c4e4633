"""What a cluster is handed so that it builds: files in a folder, and the commands that hand them over.

One function for each kind of cluster, by name; a Ray cluster that is there takes jobs over HTTP (`jobs.submit`). This
module does not know what is built, nor what stands in the manifests (`cluster.manifests`).
"""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.manifests import INPUTS_ON_AWS, RECIPE, batch_script, launcher, rayjob
from cluster.submission import Submission
from samplers.errors import BuildError, MissingPackageError, StorageError
from synth.storage import open_storage

_ON_THE_HEAD = "http://127.0.0.1:8265"  # where the dashboard of a cluster on AWS listens, for its head alone


@dataclass(frozen=True)
class Handout:
    """Files, and the commands that hand them over and begin the work, one after the other."""

    folder: str
    texts: dict[str, str]  # by the name in the folder
    commands: tuple[tuple[str, ...], ...]
    token_name: str = ""  # of the file in which a token for Ray is to be made; empty: the cluster makes its own


def on_kubernetes(submission: Submission, folder: str) -> Handout:
    """A RayJob, applied by kubectl."""
    texts = {"rayjob.yaml": rayjob(submission)}
    return Handout(folder, texts, (("kubectl", "apply", "--filename", f"{folder}/rayjob.yaml"),))


def on_slurm(submission: Submission, folder: str) -> Handout:
    """A script, and the recipe beside it; the job's log comes there too."""
    texts = {"job.sbatch": batch_script(submission, folder), RECIPE: submission.recipe}
    return Handout(folder, texts, (("sbatch", "--chdir", folder, f"{folder}/job.sbatch"),))


def on_aws(submission: Submission, folder: str) -> Handout:
    """Ray's launcher brings the cluster up, has its head build, and takes it down once that went well.

    The head hands the build to its own Jobs API, so it goes on where the line is cut; `ray exec` follows it again.
    """
    inputs, cluster = f"{folder}/inputs", f"{folder}/cluster.yaml"
    texts = {
        "cluster.yaml": launcher(submission, inputs),
        f"inputs/{RECIPE}": submission.recipe,
        "inputs/.gitignore": "*\n",  # the token lies there too
    }
    # What the machines can reach was looked at here, so the head need not ask again.
    build = ["hypersynth", "submit", f"{INPUTS_ON_AWS}/{RECIPE}", "--to", "ray", "--address", _ON_THE_HEAD]
    where = ["--out", submission.out_url, "--workers", str(submission.workers), "--shared-folder"]
    commands = (
        ("ray", "up", "--yes", cluster),
        ("ray", "exec", cluster, shlex.join(build + where)),
        ("ray", "down", "--yes", cluster),
    )
    return Handout(folder, texts, commands, token_name="inputs/auth_token")


#: By the name that `--to` takes.
HANDOUTS: dict[str, Callable[[Submission, str], Handout]] = {
    "kuberay": on_kubernetes,
    "slurm": on_slurm,
    "aws": on_aws,
}


def write(handout: Handout) -> None:
    """Store the files in their folder, and a token for Ray where one is wanted and none lies there.

    Files that an earlier submission wrote are replaced; others are not: raises StorageError where there are some, or
    where the folder cannot be written.
    """
    storage = open_storage(handout.folder)
    for name, text in handout.texts.items():
        if storage.exists(name) and not storage.read(name).startswith(_opening(text)):
            raise StorageError(
                f"{handout.folder}/{name} is there, and was not written by submit; choose another --folder"
            )
    for name, text in handout.texts.items():
        storage.replace(name, text.encode())
    if handout.token_name:
        _keep_token(Path(handout.folder) / handout.token_name)


def _opening(text: str) -> bytes:
    """By which a file is known as one of ours: its first line."""
    return text.partition("\n")[0].encode()


def _keep_token(path: Path) -> None:
    """A new token in a file that its owner alone may read; one that is there stays, since a cluster may know it."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))


def hand_over(handout: Handout, say: Callable[[str], None]) -> None:
    """Run the commands, one after the other.

    Raises MissingPackageError, before the first, where a program is missing, BuildError where one ends badly.
    """
    programs = [_program(command) for command in handout.commands]
    for number, (program, command) in enumerate(zip(programs, handout.commands, strict=True), 1):
        say(shlex.join(command))
        code = subprocess.run([program, *command[1:]], check=False).returncode
        if code:
            rest = "; not done: ".join(["", *map(shlex.join, handout.commands[number:])])
            raise BuildError(f"{shlex.join(command)}: ended with exit code {code}{rest}")


def _program(command: tuple[str, ...]) -> str:
    beside = str(Path(sys.executable).parent)  # where the programs of this Python's packages are
    found = shutil.which(command[0]) or shutil.which(command[0], path=beside)
    if found is None:
        raise MissingPackageError(f"{command[0]} is not on the PATH; where it is, run: {shlex.join(command)}")
    return found
