"""What the tests of this room learn from: two small finished datasets."""

from pathlib import Path

import pytest

from jobs.recipe import load_recipe
from tests.conftest import build_here

PEOPLE, VIEWS = 12, 8
CODES = {
    "identities.count": PEOPLE,
    "variations.views": VIEWS,
    "variations.attributes": {"damage": {"kind": "constant", "value": 0}},
    "renderer.size": 112,
    "checks.list": [],
    "output.shard_size": 40,
}


@pytest.fixture(scope="session")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 barcodes of 12 people at 112 px, in three shards. Only for reading."""
    folder = tmp_path_factory.mktemp("codes") / "codes"
    build_here(load_recipe("barcode", CODES), folder)
    return folder


@pytest.fixture(scope="session")
def other_codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 barcodes of 5 other people at 112 px. Only for reading."""
    folder = tmp_path_factory.mktemp("codes") / "others"
    build_here(load_recipe("barcode", {**CODES, "seed": 2, "identities.count": 5, "variations.views": 4}), folder)
    return folder
