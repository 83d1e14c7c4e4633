"""`embed`, `fit-prior` and `measure`: vectors of pictures, and laws fitted to them."""

from typing import Annotated

import typer

from jobs.commands.options import UrlArgument
from jobs.console import out

EmbeddingsArgument = Annotated[
    str, typer.Argument(metavar="EMBEDDINGS", help="a file: .npy, .parquet or .safetensors; pickles are never read")
]
ColumnOption = Annotated[
    str | None, typer.Option(help="the Parquet column or the tensor with the vectors  [default: found]")
]


def embed(
    url: UrlArgument,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="where they go (.safetensors)")],
    encoder: Annotated[str, typer.Option(help="a built-in one, or a file of train-model encoder")] = "builtin",
) -> None:
    """Embed all pictures of a dataset, with their labels: for fit-prior and measure, or for yourself."""
    from jobs.embeddings import embed_dataset

    count = embed_dataset(url, encoder, output)
    out.print(f"{output}: the embeddings of {count} pictures by {encoder}, and their labels")


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
