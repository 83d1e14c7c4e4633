"""`build`: a dataset, or what is missing of it."""

import signal
from typing import Annotated

import typer

from jobs.commands.options import (
    AllowCpuOption,
    RecipeArgument,
    SetOption,
    WorkersOption,
    allowed,
    default_workers,
    named_recipe,
)
from jobs.console import err, out
from samplers.errors import StoppedError


def build(
    recipe: RecipeArgument,
    out_url: Annotated[str, typer.Option("--out", metavar="URL", help="folder of the dataset")],
    workers: WorkersOption = None,
    address: Annotated[str | None, typer.Option(help="a Ray cluster's address; default: Ray on this machine")] = None,
    plots: Annotated[bool, typer.Option("--plots", help="draw how the identities lie, into plots/")] = False,
    allow_cpu: AllowCpuOption = False,
    overrides: SetOption = None,
) -> None:
    """Build a dataset, or what is missing of it: stop it whenever you like and run it again."""
    from cluster.run import Crew
    from jobs.build import build as run_build
    from jobs.progress import ProgressWatch

    chosen = allowed(named_recipe(recipe, overrides), allow_cpu, address)
    crew = Crew(
        workers=default_workers(chosen.backend.threads) if workers is None else workers,
        address=address,
        gpus_per_worker=chosen.resources.gpus_per_worker,
        memory_gb=chosen.resources.memory_gb,
    )
    if plots:
        from synth.plots import require_matplotlib

        require_matplotlib()
    try:
        with ProgressWatch(out) as watch:
            built = run_build(chosen, out_url, crew, watch)
    except KeyboardInterrupt:
        err.print("stopped; nothing is half-written, run the same command to go on")
        raise typer.Exit(130) from None
    except StoppedError as told:
        err.print(str(told))
        raise typer.Exit(128 + signal.SIGTERM) from None
    if not built.made:
        out.print("nothing was left to do")
    done = f"{built.dataset.kept} pictures of {built.dataset.classes} people"
    speed = f" ({watch.summary()})" if built.made else ""
    out.print("done", style="green", end="")
    out.print(f": {done} in {len(built.dataset.shards)} shards{speed}")
    from synth.card import CARD_NAME, SHEET_NAME

    out.print(f"  look at   {out_url}/{SHEET_NAME}")
    out.print(f"  read      {out_url}/{CARD_NAME}")
    out.print(f"  train on  {out_url}/shards/*.tar, or synth.reader.open_dataset({out_url!r})")
    out.print(f"  check     hypersynth verify {out_url}")
    if plots:
        from synth.plots import write_plots
        from synth.storage import open_storage

        out.print(f"  plots     {', '.join(f'{out_url}/{name}' for name in write_plots(open_storage(out_url)))}")
