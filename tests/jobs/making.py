"""What the tests of this room feed to recipes, and what comes out: files of features, small datasets, words typed."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from torch import Tensor

from jobs.cli import app, guarded
from jobs.recipe import Recipe, load_recipe
from jobs.verify import verify
from synth.anchors import read_certificate, read_course, read_people
from synth.parquet import fixed_list
from synth.storages.local import LocalStorage
from tests.conftest import build_here

DIMENSION = 64  # of the barcode's vectors
PEOPLE, VIEWS = 20, 4
SMALL = {
    "identities.count": PEOPLE,
    "variations.views": VIEWS,
    "variations.attributes": {"damage": {"kind": "constant", "value": 0}},
    "checks.list": [{"kind": "cosine_to_anchor", "encoder": "barcode", "min": -1}],
    "output.embeddings": True,
    "output.shard_size": 50,
}


def small(**overrides: Any) -> Recipe:
    """A recipe of 80 barcodes in two shards, all kept, with overrides: `identities__prior=...`."""
    return load_recipe("barcode", {**SMALL, **{key.replace("__", "."): value for key, value in overrides.items()}})


def features(count: int = 60, dimension: int = DIMENSION, seed: int = 1) -> Tensor:
    """Features float32 (count, dimension), each of another length."""
    drawn = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed))
    return drawn * torch.linspace(1, 4, count)[:, None]


def store(path: Path, rows: Tensor, **columns: Any) -> Path:
    """Store features in the format that the suffix names, with more columns where there are any."""
    if path.suffix == ".npy":
        np.save(path, rows.numpy())
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"vector": fixed_list(rows, pa.float32()), **columns}), path)
    else:
        save_file({"vectors": rows, **columns}, path)
    return path


def store_directions(path: Path, **directions: Tensor) -> Path:
    """Store directions by their names."""
    save_file(directions, path)
    return path


@dataclass(frozen=True)
class Seen:
    """A dataset that was built and found sound."""

    people: pa.Table
    pictures: pa.Table  # all indexes, by identity and view
    certificate: dict[str, Any]
    course: dict[str, Any]

    @property
    def anchors(self) -> Tensor:
        """float32 (I, D)."""
        return torch.tensor(self.people["vector"].to_pylist())

    @property
    def norms(self) -> Tensor:
        """float32 (I,)."""
        return torch.tensor(self.people["norm"].to_pylist())

    @property
    def cosines(self) -> Tensor:
        """Of all pictures to their anchors: float32 (I, V)."""
        return torch.tensor(self.pictures["cosine"].to_pylist()).view(len(self.people), -1)


def built(recipe: Recipe, folder: Path) -> Seen:
    """Build, verify, and read what lies there."""
    build_here(recipe, folder)
    storage = LocalStorage(folder)
    assert verify(storage).faults == []
    columns = pq.read_schema(folder / "identities/part-00000.parquet").names
    indexes = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "index").glob("*.parquet")))
    return Seen(
        read_people(storage, columns),
        indexes.sort_by([("identity", "ascending"), ("view", "ascending")]),
        read_certificate(storage),
        read_course(storage),
    )


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of a mistake that was told as a mistake is told."""
        assert self.code == 1
        assert self.err.startswith("hypersynth: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("hypersynth: ").rstrip("\n")


def typed(*words: str | Path) -> Ended:
    """Run the command line in this process, through its own entrance; an error that it does not expect escapes."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = guarded(lambda: app([str(word) for word in words]))
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())
