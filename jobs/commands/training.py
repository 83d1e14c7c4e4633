"""`train-model` and `trainings`: networks of one's own."""

import json
import sys
from typing import Annotated

import typer
from rich.table import Table

from jobs.console import err, out


def train_model(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="what to train: encoder, vec2face, diffusion")],
    out_folder: Annotated[str, typer.Option("--out", metavar="FOLDER", help="where weights and checkpoints go")],
    settings: Annotated[
        str | None,
        typer.Option(
            metavar="SETTINGS",
            help="a shipped settings file's name, or a YAML file; by itself KIND-gpu or KIND-cpu, as fits here",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="a finished dataset to learn from, not the settings' own; may be repeated"),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="replace a value of the settings")
    ] = None,
) -> None:
    """Train a model, or go on: stop it whenever you like and run it again.

    On several GPUs: torchrun --nproc-per-node N -m jobs.cli train-model ...
    """
    from jobs.training import Request, run_training

    try:
        ended = run_training(Request(kind, out_folder, settings, data or (), overrides or ()), out)
    except KeyboardInterrupt:
        err.print("stopped; run the same command to begin again, or to go on from the last checkpoint")
        raise typer.Exit(130) from None
    if ended.weights is None:
        if ended.first:
            err.print("stopped after a checkpoint; run the same command to go on")
        raise typer.Exit(128 + (ended.signal or 0))
    if ended.first:
        folder = ended.weights.parent
        out.print("done", style="green", end="")
        out.print(f": {ended.weights}")
        out.print(f"  read      {folder}/README.md")
        out.print(
            f"  look at   {folder}/losses.png" if ended.plotted else "  plots     need pip install 'hypersynth[plots]'"
        )


def trainings(
    name: Annotated[str | None, typer.Argument(help="show this settings file")] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="KIND", help="print the JSON Schema of a kind's settings, with all defaults")
    ] = None,
) -> None:
    """List the shipped settings of trainings, or show some."""
    from jobs.source import TRAININGS, read_source
    from synth.training.trainee import kind_of

    if schema is not None:
        sys.stdout.write(json.dumps(kind_of(schema).settings.model_json_schema(), indent=1) + "\n")
    elif name is not None:
        sys.stdout.write(TRAININGS.text(name))
    else:
        table = Table(box=None, header_style="dim")
        for column in ("settings", "kind", "steps", "batch", "device", "about"):
            table.add_column(column)
        for each, text in TRAININGS.texts().items():
            said = read_source(each, {}, TRAININGS).data
            table.add_row(
                each, *(str(said[key]) for key in ("kind", "steps", "batch", "device")), TRAININGS.about(text)
            )
        out.print(table)
