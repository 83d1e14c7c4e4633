"""`build`: a dataset, or what is missing of it; `seal`: one whose parts were built by themselves."""

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.commands.options import (
    AllowCpuOption,
    RecipeArgument,
    SetOption,
    UrlArgument,
    WorkersOption,
    allowed,
    default_workers,
    named_recipe,
)
from jobs.console import err, out
from samplers.errors import BuildError, StoppedError


def build(
    recipe: RecipeArgument,
    out_url: Annotated[str, typer.Option("--out", metavar="URL", help="where the dataset goes: a folder, or s3://...")],
    workers: WorkersOption = None,
    address: Annotated[str | None, typer.Option(help="a Ray cluster's address; default: Ray on this machine")] = None,
    shards: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="only the I-th of N parts, from 0, in this process; seal finishes them all"),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="after SIGTERM, to finish the shard in hand")
    ] = 20,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="append a line of JSON for everything that happens")
    ] = None,
    plots: Annotated[bool, typer.Option("--plots", help="draw how the identities lie, into plots/")] = False,
    allow_cpu: AllowCpuOption = False,
    overrides: SetOption = None,
) -> None:
    """Build a dataset, or what is missing of it: stop it whenever you like and run it again."""
    from cluster.run import Crew
    from jobs.build import Part, build_part
    from jobs.build import build as run_build
    from jobs.log import BuildLog, Watches
    from jobs.progress import ProgressWatch

    if address is not None and (workers == 0 or shards is not None):
        raise BuildError("--address is for workers: with --workers 0 or --shards this process builds alone")
    chosen = allowed(named_recipe(recipe, overrides), allow_cpu, address)
    part = None if shards is None else Part.parse(shards)
    usual = default_workers(chosen.backend.threads) if part is None else 0
    crew = Crew(
        workers=usual if workers is None else workers,
        address=address,
        gpus_per_worker=chosen.resources.gpus_per_worker,
        memory_gb=chosen.resources.memory_gb,
        accelerator=chosen.resources.accelerator,
        grace_s=grace,
        stuck_s=60 * chosen.resources.stuck_minutes,
    )
    if plots:
        from synth.plots import require_matplotlib

        require_matplotlib()
    try:
        with ExitStack() as open_watches:
            watch = open_watches.enter_context(ProgressWatch(out))
            told = watch if log is None else Watches(watch, open_watches.enter_context(BuildLog(log)))
            if part is not None:
                made = build_part(chosen, out_url, part, crew, told)
                _tell_part(part, out_url, made, watch.summary())
                return
            built = run_build(chosen, out_url, crew, told)
    except KeyboardInterrupt:
        err.print("stopped; nothing is half-written, run the same command to go on")
        raise typer.Exit(130) from None
    except StoppedError as stopped:
        err.print(str(stopped))
        raise typer.Exit(128 + signal.SIGTERM) from None
    if not built.made:
        out.print("nothing was left to do")
    _tell_dataset(built.dataset, out_url, f" ({watch.summary()})" if built.made else "")
    if plots:
        from synth.plots import write_plots
        from synth.storage import open_storage

        out.print(f"  plots     {', '.join(f'{out_url}/{name}' for name in write_plots(open_storage(out_url)))}")


def seal(url: UrlArgument) -> None:
    """Finish a dataset whose parts were built by themselves (build --shards)."""
    from jobs.build import seal as finish
    from jobs.progress import ProgressWatch

    with ProgressWatch(out) as watch:
        dataset = finish(url, watch)
    _tell_dataset(dataset, url, "")


def _tell_part(part: Any, url: str, made: int, summary: str) -> None:
    out.print("done", style="green", end="")
    out.print(f": part {part.number}/{part.of}, {made} shards made now ({summary})")
    out.print(f"  when all parts are done   hypersynth seal {url}")


def _tell_dataset(dataset: Any, url: str, speed: str) -> None:
    from synth.card import CARD_NAME, SHEET_NAME

    out.print("done", style="green", end="")
    out.print(f": {dataset.kept} pictures of {dataset.classes} people in {len(dataset.shards)} shards{speed}")
    out.print(f"  look at   {url}/{SHEET_NAME}")
    out.print(f"  read      {url}/{CARD_NAME}")
    out.print(f"  train on  {url}/shards/*.tar, or synth.reader.open_dataset({url!r})")
    out.print(f"  check     hypersynth verify {url}")
