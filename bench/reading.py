"""Reading: pictures by offset from the index, and the reader against webdataset's own loop."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import webdataset
from rich.console import Console

from bench.measure import Measurement, paired_ratio, seconds
from cluster.run import Crew
from jobs.build import build
from jobs.progress import ProgressWatch
from jobs.recipe import load_recipe
from synth.reader import open_dataset
from synth.storages.local import LocalStorage

_READS = 2000


def _dataset(folder: str) -> None:
    """A barcode dataset at 112 px: as many bytes as faces, in seconds."""
    overrides = {"identities.count": 400, "renderer.size": 112, "checks.list": []}
    with ProgressWatch(Console(quiet=True)) as watch:
        build(load_recipe("barcode", overrides), folder, Crew(0), watch)


def measure() -> list[Measurement]:
    """Random reads/s by offset; samples/s of our reader, raw, and its ratio to webdataset's."""
    with tempfile.TemporaryDirectory() as folder:
        _dataset(folder)
        storage = LocalStorage(folder)
        tables = [(f"shards/{file.stem}.tar", pq.read_table(file)) for file in sorted(Path(folder, "index").iterdir())]
        rows = [(tar, row["offset"], row["size"]) for tar, table in tables for row in table.to_pylist()]
        chosen = np.random.default_rng(1).integers(0, len(rows), _READS)

        def by_offset() -> None:
            for i in chosen:
                storage.read_range(*rows[i])

        def ours() -> None:
            assert sum(1 for _ in open_dataset(folder, shuffle_buffer=0, decode=False)) == len(rows)

        def theirs() -> None:
            urls = [str(path) for path in sorted(Path(folder, "shards").glob("*.tar"))]
            samples = webdataset.WebDataset(urls, shardshuffle=False)
            assert sum(1 for sample in samples if json.loads(sample["cls"]) >= 0) == len(rows)

        reads = _READS / seconds(by_offset)
        ratio = paired_ratio(theirs, ours, 3)
        rate = len(rows) / seconds(ours)
    return [
        Measurement("reading by offset, random pictures of a local dataset", reads, "pictures/s"),
        Measurement("reading in order, ours (JPEG and label) over webdataset's loop", ratio, "x"),
        Measurement("reading in order", rate, "samples/s", note="raw, one process"),
    ]
