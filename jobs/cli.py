"""The command line: `hypersynth`. Reads what was typed, calls the verbs of `jobs`, prints what they say.

A user's mistake becomes one line on standard error and exit code 1; wrong usage 2; Ctrl-C in a build 130. This module
decides nothing.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from samplers.errors import HypersynthError, RecipeError

app = typer.Typer(
    help="Build synthetic face-recognition datasets: recipe, plan, identities, shards, dataset.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_WIDTH_WHEN_PIPED = 160  # columns: tables in a file or a pipe need no wrapping at 80
_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}  # folders may have [brackets]
out = Console(**_PLAIN, width=None if sys.stdout.isatty() else _WIDTH_WHEN_PIPED)
err = Console(**_PLAIN, stderr=True)

RecipeArgument = Annotated[str, typer.Argument(help="a shipped recipe's name, or a YAML file")]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="the dataset's folder")]
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


def _recipe(name: str, overrides: list[str] | None) -> Any:
    from jobs.recipe import load_recipe
    from jobs.source import parse_override

    return load_recipe(name, dict(map(parse_override, overrides or ())))


def _allowed(recipe: Any, allow_cpu: bool, address: str | None = None) -> Any:
    """The recipe, moved to the CPU where that is allowed and there is no GPU."""
    if not allow_cpu:
        return recipe
    from jobs.preflight import allowing_cpu

    changed = allowing_cpu(recipe, address)
    if changed is not recipe:
        out.print("no CUDA device here: going on with backend.device=cpu and float32, which is another plan")
    return changed


def _default_workers(threads: int) -> int:
    from cluster.hands import cores

    return max(1, cores() // threads)


@app.command()
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

    chosen = _allowed(_recipe(recipe, overrides), allow_cpu, address)
    crew = Crew(
        workers=_default_workers(chosen.backend.threads) if workers is None else workers,
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


@app.command()
def plan(
    recipe: RecipeArgument,
    workers: WorkersOption = None,
    allow_cpu: AllowCpuOption = False,
    overrides: SetOption = None,
) -> None:
    """Say what would be built, about how long it takes and what it needs; writes and fetches nothing."""
    from cluster.run import Crew
    from jobs.estimate import estimate, outline

    chosen = _allowed(_recipe(recipe, overrides), allow_cpu)
    crew = Crew(
        workers=_default_workers(chosen.backend.threads) if workers is None else workers,
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


@app.command()
def preview(
    recipe: RecipeArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PNG", help="where the picture goes")],
    people: Annotated[int, typer.Option(min=1, max=200, help="rows")] = 8,
    views: Annotated[int, typer.Option(min=1, max=200, help="columns")] = 10,
    sweep: Annotated[str | None, typer.Option(metavar="ATTRIBUTE", help="vary only this, from low to high")] = None,
    allow_cpu: AllowCpuOption = False,
    overrides: SetOption = None,
) -> None:
    """Draw a recipe's first people on a contact sheet, in seconds."""
    from jobs.preview import preview as draw
    from synth.storage import open_storage

    sheet = draw(_allowed(_recipe(recipe, overrides), allow_cpu), people, views, sweep)
    open_storage(str(output.parent)).replace(output.name, sheet)
    out.print(f"people in rows, {sweep or 'views'} in columns: {output}")


@app.command()
def status(url: UrlArgument) -> None:
    """Say how far a build is; only reads."""
    from jobs.status import read_status
    from synth.storage import open_storage

    found = read_status(open_storage(url))
    state = "finished" if found.sealed else "not finished"
    out.print(f"{url}: {state}, {found.done} of {found.shards} shards done, plan {found.plan_hash[:12]}")
    out.print(
        f"pictures: {found.kept} kept, {sum(found.rejected.values())} rejected, {found.redrawn} redraws, "
        f"{found.pictures} planned"
    )
    for reason, count in sorted(found.rejected.items()):
        out.print(f"  rejected by {reason}: {count}")
    if found.missing:
        listed = ", ".join(f"{shard:06d}" for shard in found.missing[:10])
        out.print(f"missing: {listed}{' ...' if len(found.missing) > 10 else ''}")


@app.command()
def verify(
    url: UrlArgument,
    drop_damaged: Annotated[
        bool, typer.Option("--drop-damaged", help="drop what is damaged, for build to make again")
    ] = False,
) -> None:
    """Read a dataset again and hold everything against everything; exit code 1 names what is wrong."""
    from jobs.verify import drop_damaged as drop
    from jobs.verify import verify as check
    from synth.storage import open_storage

    storage = open_storage(url)
    verdict = check(storage)
    if verdict.sound:
        out.print("sound", style="green", end="")
        out.print(f": {verdict.pictures} pictures; hashes, counts, labels and certificate hold")
        return
    for fault in verdict.faults:
        out.print(fault, style="red")
    if drop_damaged:
        dropped = drop(storage, verdict)
        what = ["the identities"] * bool(verdict.identities) + [f"shard {shard:06d}" for shard in dropped]
        out.print(f"dropped: {', '.join(what) or 'the manifest'}; hypersynth build makes it again")
    raise typer.Exit(1)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="show this one")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON Schema of recipes, for editors")] = False,
    attributes: Annotated[str | None, typer.Option(metavar="RENDERER", help="list a renderer's attributes")] = None,
) -> None:
    """List the shipped recipes, or show one."""
    from jobs.recipe import Recipe, load_recipe
    from jobs.source import shipped_recipes

    shipped = shipped_recipes()
    if attributes is not None:
        out.print(_attribute_table(attributes))
    elif schema:
        sys.stdout.write(json.dumps(Recipe.model_json_schema(), indent=1) + "\n")
    elif name is None:
        table = Table(box=None, header_style="dim")
        for column in ("recipe", "identities", "views", "renderer", "about"):
            table.add_column(column)
        for each, text in shipped.items():
            loaded = load_recipe(each)
            about = text.splitlines()[0].lstrip("# ") if text.startswith("#") else ""
            table.add_row(each, str(loaded.identities.count), str(loaded.variations.views), loaded.renderer.kind, about)
        out.print(table)
    elif name in shipped:
        sys.stdout.write(shipped[name])
    else:
        raise RecipeError(f"no shipped recipe {name!r}; there are: {', '.join(shipped)}")


@app.command()
def embed(
    url: UrlArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="where they go (.safetensors)")],
    encoder: Annotated[str, typer.Option(help="a built-in one, or a file of train-model encoder")] = "builtin",
) -> None:
    """Embed all pictures of a dataset, with their labels: for fit-prior and measure, or for yourself."""
    from jobs.embeddings import embed_dataset

    count = embed_dataset(url, encoder, output)
    out.print(f"{output}: the embeddings of {count} pictures by {encoder}, and their labels")


EmbeddingsArgument = Annotated[
    str, typer.Argument(metavar="EMBEDDINGS", help="a file: .npy, .parquet or .safetensors; pickles are never read")
]
ColumnOption = Annotated[
    str | None, typer.Option(help="the Parquet column or the tensor with the vectors  [default: found]")
]


@app.command("fit-prior")
def fit_prior(
    embeddings: EmbeddingsArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="where the prior goes (.safetensors)")],
    components: Annotated[int | None, typer.Option(min=1, help="principal components kept  [default: all]")] = None,
    column: ColumnOption = None,
    labels: Annotated[
        str | None,
        typer.Option(help="the column or tensor with people's labels, whose means are fitted  [default: found]"),
    ] = None,
) -> None:
    """Fit a PCA-Gaussian prior to embeddings, for recipes: prior: {kind: pca_gaussian, file: FILE}."""
    from jobs.embeddings import EmbeddingFile
    from jobs.embeddings import fit_prior as fit

    fitted = fit(EmbeddingFile(embeddings, column, labels), output, components)
    summary = fitted.summary
    means = f" (means of {fitted.rows} rows by their label)" if fitted.rows != fitted.centres else ""
    out.print(
        f"{output}: {fitted.centres} centres{means}; participation ratio {summary.participation_ratio:.1f}, "
        f"dimensions for 90 % of the variance {summary.dimensions_90}, for 99 % {summary.dimensions_99}, "
        f"mean norm {summary.mean_norm:.3f}"
    )


@app.command()
def measure(
    embeddings: EmbeddingsArgument,
    max_cosine: Annotated[float, typer.Option(min=-1, max=1, help="two nearer than this are too alike")] = 0.4,
    column: ColumnOption = None,
) -> None:
    """Say how far apart vectors are, all pairs compared: the largest cosine, and how many are unique."""
    from jobs.embeddings import EmbeddingFile
    from jobs.embeddings import measure as compare

    found = compare(EmbeddingFile(embeddings, column), max_cosine)
    out.print(f"{found.count} vectors of {found.dimension} numbers, mean norm {found.mean_norm:.3f}")
    out.print(f"largest cosine: {found.max_cosine:.6f}, rows {found.pair[0]} and {found.pair[1]}")
    out.print(f"nearest neighbours: median cosine {found.nearest_median:.4f}")
    out.print(f"unique: {found.unique} rows have no earlier row at a cosine above {max_cosine:g}")


@app.command("train-model")
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
        list[str] | None, typer.Option(metavar="URL", help="a finished dataset to learn from, not the settings' own")
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


def guarded(run: Callable[[], Any]) -> int:
    """Run the command line; a user's mistake becomes one line. Returns the exit code."""
    try:
        run()
    except HypersynthError as mistake:
        err.print("hypersynth: ", style="red", end="")
        err.print(" ".join(str(mistake).split()))
        return 1
    return 0


def main() -> None:
    """The entry point of the `hypersynth` command."""
    sys.exit(guarded(lambda: app(standalone_mode=True)))


if __name__ == "__main__":  # torchrun -m jobs.cli
    main()
