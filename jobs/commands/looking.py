"""`plan` and `preview`: what a recipe would give, before anything is built; `recipes`: which there are."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from jobs.commands.options import (
    AllowCpuOption,
    RecipeArgument,
    SetOption,
    WorkersOption,
    allowed,
    default_workers,
    named_recipe,
)
from jobs.console import out


def plan(
    recipe: RecipeArgument,
    workers: WorkersOption = None,
    allow_cpu: AllowCpuOption = False,
    overrides: SetOption = None,
) -> None:
    """Say what would be built, about how long it takes and what it needs; writes and fetches nothing."""
    from cluster.run import Crew
    from jobs.estimate import estimate, outline

    chosen = allowed(named_recipe(recipe, overrides), allow_cpu)
    crew = Crew(
        workers=default_workers(chosen.backend.threads) if workers is None else workers,
        gpus_per_worker=chosen.resources.gpus_per_worker,
    )
    outlined = outline(chosen)
    found = estimate(outlined, crew)
    planned = outlined.plan
    table = Table(box=None, show_header=False)
    for name, value in (
        ("plan", planned.hash if outlined.named else "not known: it takes the sha256 of files that are not here"),
        (
            "identities",
            f"{planned.pictures.identities}, no two with a cosine above {chosen.identities.separation.max_cosine:g}",
        ),
        *_people(found.people, planned.pictures.identities),
        (
            "pictures",
            f"{len(planned.pictures)}, {planned.pictures.views} of each, {chosen.renderer.size} px, "
            f"{chosen.renderer.kind}",
        ),
        ("shards", f"{planned.shards} of at most {chosen.output.shard_size} pictures"),
        *_foreseen(chosen, found, crew, len(planned.pictures)),
    ):
        table.add_row(name, value)
    out.print(table)


def preview(
    recipe: RecipeArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="PNG", help="where the picture goes")],
    people: Annotated[int, typer.Option(min=1, max=200, help="rows")] = 8,
    views: Annotated[int, typer.Option(min=1, max=200, help="columns")] = 10,
    sweep: Annotated[str | None, typer.Option(metavar="ATTRIBUTE", help="vary only this, from low to high")] = None,
    allow_cpu: AllowCpuOption = False,
    overrides: SetOption = None,
) -> None:
    """Draw a recipe's first people on a contact sheet, in seconds."""
    from jobs.preview import preview as draw
    from synth.storage import open_parent

    storage, name = open_parent(output)
    storage.replace(name, draw(allowed(named_recipe(recipe, overrides), allow_cpu), people, views, sweep))
    out.print(f"people in rows, {sweep or 'views'} in columns: {output}")


def recipes(
    name: Annotated[str | None, typer.Argument(help="show this one")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON Schema of recipes, for editors")] = False,
    attributes: Annotated[str | None, typer.Option(metavar="RENDERER", help="list a renderer's attributes")] = None,
) -> None:
    """List the shipped recipes, or show one."""
    from jobs.recipe import Recipe, load_recipe
    from jobs.source import RECIPES

    if attributes is not None:
        out.print(_attribute_table(attributes))
    elif schema:
        sys.stdout.write(json.dumps(Recipe.model_json_schema(), indent=1) + "\n")
    elif name is None:
        table = Table(box=None, header_style="dim")
        for column in ("recipe", "identities", "views", "renderer", "about"):
            table.add_column(column)
        for each, text in RECIPES.texts().items():
            loaded = load_recipe(each)
            size = str(loaded.identities.count), str(loaded.variations.views)
            table.add_row(each, *size, loaded.renderer.kind, RECIPES.about(text))
        out.print(table)
    else:
        sys.stdout.write(RECIPES.text(name))


def _attribute_table(renderer: str) -> Table:
    from synth.renderer import renderer_class
    from synth.renderers.settings import bare_settings

    table = Table(box=None, header_style="dim")
    for column in ("attribute", "values", "default", "about"):
        table.add_column(column)
    drawing = renderer_class(renderer)
    bare = bare_settings(renderer)
    by_itself = drawing.declare(bare)
    for name, a in drawing.attributes.items():
        values = ", ".join(a.choices) if a.choices else f"{a.low:g} to {a.high:g} {a.unit}"
        needs = "" if name in by_itself else f" (needs {bare.unlocks_attributes})"
        table.add_row(name, values, str(a.default), a.about + needs)
    return table


def _people(people: Any, wanted: int) -> list[tuple[str, str]]:
    """What the search for identities will take and how views differ, as rows of a plan's table."""
    if people is None:
        return []
    views = f"vectors at a cosine of about {people.view_cosine:.3f} to their person's"
    return [("candidates", _candidates(people.outlook, wanted)), ("views", views)]


def _foreseen(recipe: Any, found: Any, crew: Any, pictures: int) -> list[tuple[str, str]]:
    """What bytes, memory and time a plan will take, as rows of its table."""
    from jobs.needs import gpu_memory, gpu_time, operations
    from jobs.wording import duration, pace, size

    rows, needs, backend = [], found.needs, recipe.backend
    if (trial := found.trial) is not None:
        took, workers = duration(trial.seconds(pictures, crew.workers)), max(crew.workers, 1)
        rows.append(("bytes", f"about {size(pictures * trial.bytes_per_picture)}"))
        rows.append(("time", f"about {took} of rendering, on {workers} workers like this"))
        rows.append(("measured", f"{pace(trial.pictures_per_s)} for one worker here, from {trial.pictures} pictures"))
    if needs is not None:
        rows.append(("operations", operations(needs)))
        if backend.device == "cuda":
            rows.append(("GPU memory", gpu_memory(needs, backend.micro_batch)))
            if trial is None:
                rows.append(("time", gpu_time(needs, pictures, backend.dtype)))
    if found.on_cpu:
        rows.append(("", found.on_cpu))
    if found.untried:
        rows.append(("not tried", found.untried))
    return rows


def _candidates(outlook: Any, wanted: int) -> str:
    """What the search for identities will take, in words."""
    from jobs.wording import rounded

    tried = f"of the first {outlook.candidates}, {outlook.kept} were kept"
    if outlook.kept == wanted:
        return f"{outlook.candidates} are enough"
    if outlook.fitting < wanted:
        return f"{tried}; only about {rounded(outlook.fitting)} identities fit: ask for fewer, or raise the limit"
    return tried if outlook.needed is None else f"about {rounded(outlook.needed)}; {tried}"
