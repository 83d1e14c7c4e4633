"""Files of embeddings: made from a dataset's pictures, fitted by a prior, or measured for how far apart they are.

This module does not know what a file's embeddings were made from.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from cluster.hands import local_hands
from samplers.errors import DatasetError
from samplers.pairs import compare_all
from samplers.pca import PcaSummary, class_means, fit_pca_gaussian, summarise
from samplers.sphere import normalise
from samplers.uniqueness import unique_so_far
from synth.backend import Backend
from synth.embeddings import encoder_of, read_embeddings, write_embeddings, write_prior
from synth.encoder import open_encoders
from synth.encoders.settings import BUILT_IN, EncoderSettings, TrainedSettings
from synth.files import open_file
from synth.pictures import open_pictures
from synth.section import InputFile
from synth.storage import open_parent

_PICTURES_AT_ONCE = 64


@dataclass(frozen=True)
class Fit:
    """A prior that was fitted and stored."""

    rows: int
    centres: int
    summary: PcaSummary


@dataclass(frozen=True)
class EmbeddingFile:
    """A file of embeddings, and the names inside it that matter."""

    url: str
    column: str | None = None
    label_column: str | None = None


def fit_prior(file: EmbeddingFile, output: str, components: int | None = None) -> Fit:
    """Fit a PCA-Gaussian to people's centres and store it.

    Where the file has labels, the centres are the means of the raw features of each label; else every row is a centre.
    Raises DatasetError, in one line, for embeddings that no prior can be fitted to.
    """
    if not output.endswith(".safetensors"):
        raise DatasetError(f"{output}: a prior is stored as .safetensors")
    storage, name = open_parent(output)
    source = open_file(file.url)
    if storage.exists(name) and storage.read(name) == source[1]:
        raise DatasetError(f"{output} is the file of embeddings itself; choose another --output")
    found = read_embeddings(file.url, column=file.column, label_column=file.label_column)
    try:
        centres = found.vectors if found.labels is None else class_means(found.vectors, found.labels)
        prior = fit_pca_gaussian(centres, components)
    except ValueError as misfit:
        raise DatasetError(f"{file.url}: {misfit}") from misfit
    storage.replace(name, write_prior(prior, encoder_of(*source)))
    return Fit(len(found.vectors), len(centres), summarise(prior))


def embed_dataset(url: str, encoder: str, output: str) -> int:
    """Store the embeddings of all kept pictures of a finished dataset, with their labels; returns how many.

    `encoder` is the name of a built-in one, or a file that `hypersynth train-model encoder` made. Raises DatasetError
    for a dataset that is not finished and for files that are no encoders, StorageError where something cannot be read.
    """
    if not output.endswith(".safetensors"):
        raise DatasetError(f"{output}: embeddings are stored as .safetensors")
    pictures = open_pictures(url, {})
    settings = _encoder(encoder)
    network = open_encoders({encoder: settings}, Backend())[encoder]
    found = []
    for first in range(0, len(pictures.table), _PICTURES_AT_ONCE):
        rows = range(first, min(first + _PICTURES_AT_ONCE, len(pictures.table)))
        images = torch.stack([pictures.image(row) for row in rows])
        found.append(network.embed(images.permute(0, 2, 3, 1)))
    storage, name = open_parent(output)
    made_by = settings.weights.pinned().sha256 if isinstance(settings, TrainedSettings) else None
    storage.replace(name, write_embeddings(torch.cat(found), pictures.table.identity, made_by))
    return len(pictures.table)


def _encoder(name: str) -> EncoderSettings:
    """A built-in encoder by its name, else one by its file."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    if "/" not in name and not Path(name).exists():
        raise DatasetError(f"{name!r} is no built-in encoder ({', '.join(BUILT_IN)}), and no file")
    return TrainedSettings(weights=InputFile(url=name))


@dataclass(frozen=True)
class Spread:
    """How far apart vectors are."""

    count: int
    dimension: int
    mean_norm: float
    max_cosine: float
    pair: tuple[int, int]
    nearest_median: float  # of the cosines to the nearest neighbour
    unique: int  # rows without an earlier row above the limit


def measure(file: EmbeddingFile, max_cosine: float) -> Spread:
    """Compare all pairs of a file's vectors. Raises DatasetError for fewer than two."""
    found = read_embeddings(file.url, column=file.column)
    if len(found.vectors) < 2:
        raise DatasetError(f"{file.url} has a single vector: there is nothing to compare it with")
    vectors, hands = normalise(found.vectors), local_hands()
    pairs = compare_all(vectors, hands, histogram=False)
    one = int(pairs.cosine.argmax())
    return Spread(
        count=len(vectors),
        dimension=vectors.shape[1],
        mean_norm=float(found.vectors.double().norm(dim=1).mean()),
        max_cosine=float(pairs.cosine[one]),
        pair=(one, int(pairs.nearest[one])),
        nearest_median=float(torch.median(pairs.cosine)),
        unique=int(unique_so_far(vectors, max_cosine, hands).sum()),
    )
