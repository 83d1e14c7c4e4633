"""What several tests share: one small finished dataset, built through the public door."""

from pathlib import Path

import pytest
from rich.console import Console

from cluster.run import Crew
from jobs.build import build
from jobs.progress import ProgressWatch
from jobs.recipe import Recipe, load_recipe

SMALL = {
    "identities.count": 40,
    "variations.views": 6,
    "output.shard_size": 50,
    "output.embeddings": True,
    "renderer.size": 32,
}


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """240 barcodes in five shards, with checks."""
    return load_recipe("barcode", SMALL)


@pytest.fixture(scope="session")
def dataset_folder(small_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `small_recipe`, finished. Only for reading: copy it to damage it."""
    folder = tmp_path_factory.mktemp("dataset") / "small"
    build_here(small_recipe, folder)
    return folder


def build_here(recipe: Recipe, folder: Path) -> int:
    """Build in this process; returns the number of shards made."""
    with ProgressWatch(Console(quiet=True)) as watch:
        return build(recipe, str(folder), Crew(0), watch).made
