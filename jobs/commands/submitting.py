"""`submit`: the same build on a cluster."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.commands.options import RecipeArgument, SetOption, named_recipe
from jobs.console import err, out
from samplers.errors import BuildError


def submit(
    recipe: RecipeArgument,
    target: Annotated[str, typer.Option("--to", metavar="CLUSTER", help="ray, kuberay, slurm or aws")],
    out_url: Annotated[str, typer.Option("--out", metavar="URL", help="where the dataset goes: s3://bucket/prefix")],
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="of the Ray cluster that is there: http://HEAD:8265")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="worker processes; unless said, as many as resources.groups hold")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="where manifests go; unless said, one named after the build")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="also hand them over, by kubectl, sbatch or ray up")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be handed over; write nothing")] = False,
    shared_folder: Annotated[
        bool, typer.Option("--shared-folder", help="the cluster's machines see this machine's folders")
    ] = False,
    overrides: SetOption = None,
) -> None:
    """Build on a cluster: on one that is there (--to ray), or on one that Kubernetes, Slurm or AWS bring up for it.

    The same build is never run twice at once: where it runs already, it is followed.
    """
    from jobs.handout import HANDOUTS
    from jobs.submit import Request, checked_address, prepare

    if target not in ("ray", *HANDOUTS):
        raise BuildError(f"--to {target}: there are ray, {', '.join(HANDOUTS)}")
    if target == "ray":
        address = checked_address(address)
    elif address is not None:
        raise BuildError(f"--address is for --to ray; --to {target} brings up a cluster of its own")
    submission = prepare(named_recipe(recipe, overrides), Request(target, out_url, workers, shared_folder))
    if address is not None:
        _on_ray(submission, address, dry_run)
    else:
        _on_its_own(submission, HANDOUTS[target], folder, apply, dry_run)


def _on_ray(submission: Any, address: str, dry_run: bool) -> None:
    """Have a cluster that is there build, and end as its job ends."""
    from jobs.submit import asked_of_ray, run_on_ray

    if dry_run:
        sys.stdout.write(asked_of_ray(submission, address))
        return
    out.print(_told(submission))
    try:
        code = run_on_ray(submission, address, out.print, _echo)
    except KeyboardInterrupt:
        err.print("no longer followed; the job goes on, and the same command follows it again")
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def _on_its_own(submission: Any, hand_out: Any, folder: Path | None, apply: bool, dry_run: bool) -> None:
    """Write what a cluster is handed, and hand it over where that was asked for."""
    from jobs.handout import hand_over, write

    handout = hand_out(submission, str((folder or Path(submission.id)).absolute()))
    if dry_run:
        for name, text in handout.texts.items():
            sys.stdout.write(f"# ---- {name}\n{text}")
        return
    out.print(_told(submission))
    write(handout)
    out.print(f"written: {', '.join(f'{handout.folder}/{name}' for name in handout.texts)}")
    if apply:
        hand_over(handout, out.print)
        return
    out.print("to begin, give --apply, or run:")
    for command in handout.commands:
        out.print(f"  {shlex.join(command)}")


def _told(submission: Any) -> str:
    workers = f"{submission.workers} worker{'s' if submission.workers > 1 else ''}"
    return f"{submission.id}: plan {submission.plan_hash[:12]}, {workers}, to {submission.out_url}"


def _echo(log: str) -> None:
    """A job's log, as it is."""
    sys.stdout.write(log)
    sys.stdout.flush()
