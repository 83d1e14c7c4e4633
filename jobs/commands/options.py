"""What several verbs take: arguments and options, and the recipe that they name.

This module decides nothing.
"""

from typing import Annotated, Any

import typer

from jobs.console import out

RecipeArgument = Annotated[str, typer.Argument(help="a shipped recipe's name, or a YAML file")]
UrlArgument = Annotated[
    str, typer.Argument(metavar="URL", help="where the dataset lies: a folder, or s3://bucket/prefix")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="replace a value of the recipe")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, help="worker processes; 0: this process, without Ray  [default: one for each core]")
]
AllowCpuOption = Annotated[
    bool,
    typer.Option(
        "--allow-cpu",
        help="where there is no GPU, go on with backend.device=cpu and float32: another plan, with other bytes",
    ),
]


def named_recipe(name: str, overrides: list[str] | None) -> Any:
    """The recipe of a name or file, with values replaced."""
    from jobs.recipe import load_recipe
    from jobs.source import parse_override

    return load_recipe(name, dict(map(parse_override, overrides or ())))


def allowed(recipe: Any, allow_cpu: bool, address: str | None = None) -> Any:
    """The recipe, moved to the CPU where that is allowed and there is no GPU."""
    if not allow_cpu:
        return recipe
    from jobs.preflight import allowing_cpu

    changed = allowing_cpu(recipe, address)
    if changed is not recipe:
        out.print("no CUDA device here: going on with backend.device=cpu and float32, which is another plan")
    return changed


def default_workers(threads: int) -> int:
    """Worker processes that this machine's cores can feed."""
    from cluster.hands import cores

    return max(1, cores() // threads)
