"""What the tests of this room learn from: small finished datasets, and an encoder that has learnt nothing."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from jobs.recipe import load_recipe
from synth.encoders.iresnet import IResNet, IResNetSizes
from synth.network_file import header
from synth.training.loop import drawn_from
from tests.conftest import build_here

PEOPLE, VIEWS = 12, 8
DIMENSION = 16  # of the encoder
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


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen pictures of 6 procedural heads at 112 px. Only for reading."""
    folder = tmp_path_factory.mktemp("heads") / "heads"
    build_here(load_recipe("quickstart", {"identities.count": 6, "variations.views": 2}), folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a recogniser with random weights."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    sizes = IResNetSizes.compact(8, (8, 8, 8, 8), (1, 1, 1, 1), DIMENSION)
    with drawn_from(3, "test"):
        save_file(IResNet(sizes).state_dict(), path, header("encoder", {"sizes": sizes.document()}))
    return path
