"""The command line: `hypersynth`. Puts the verbs of `jobs.commands` together.

A user's mistake becomes one line on standard error and exit code 1; wrong usage 2; Ctrl-C in a build 130. This module
decides nothing.
"""

import sys
from collections.abc import Callable
from typing import Any

import typer

from jobs.commands import building, checking, embeddings, looking, submitting, training
from jobs.console import err
from jobs.wording import without_secrets
from samplers.errors import HypersynthError

app = typer.Typer(
    help="Build synthetic face-recognition datasets: recipe, plan, identities, shards, dataset.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (
    *(building.build, building.seal, looking.plan, looking.preview),
    *(checking.status, checking.verify, checking.gc, looking.recipes, embeddings.embed),
):
    app.command()(verb)
app.command("fit-prior")(embeddings.fit_prior)
app.command()(embeddings.measure)
app.command("train-model")(training.train_model)
app.command()(training.trainings)
app.command()(submitting.submit)


def guarded(run: Callable[[], Any]) -> int:
    """Run the command line; a user's mistake becomes one line. Returns the exit code."""
    try:
        run()
    except HypersynthError as mistake:
        err.print("hypersynth: ", style="red", end="")
        err.print(" ".join(without_secrets(str(mistake)).split()))
        return 1
    return 0


def main() -> None:
    """The entry point of the `hypersynth` command."""
    sys.exit(guarded(lambda: app(standalone_mode=True)))


if __name__ == "__main__":  # torchrun -m jobs.cli
    main()
