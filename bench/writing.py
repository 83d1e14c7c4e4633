"""Shard writing: our tar writer against webdataset's ShardWriter, on the same bytes."""

import json
import tempfile
from pathlib import Path

import numpy as np
import webdataset

from bench.measure import Measurement, paired_ratio, seconds
from synth.storages.local import LocalStorage
from synth.tar import Member, write_tar

_SAMPLES = 4096
_JPEG_BYTES = 9_000


def _samples() -> list[tuple[str, bytes, bytes, bytes]]:
    """Keys, labels, pictures and records, of the size of 112 px faces."""
    noise = np.random.default_rng(1).bytes(_JPEG_BYTES)
    record = json.dumps({"identity": 1, "view": 2, "attributes": {f"name_{i}": i / 7 for i in range(40)}}).encode()
    return [(f"{i:08d}-0000", str(i).encode(), noise, record) for i in range(_SAMPLES)]


def _ours(samples: list[tuple[str, bytes, bytes, bytes]]) -> bytes:
    members: list[Member] = []
    for key, label, picture, record in samples:
        members += (Member(f"{key}.cls", label), Member(f"{key}.jpg", picture), Member(f"{key}.json", record))
    return write_tar(members)[0]


def measure() -> list[Measurement]:
    """The ratio of samples/s, to a plain file as ShardWriter writes it, and flushed to the disk as a build does."""
    samples = _samples()
    with tempfile.TemporaryDirectory() as folder:
        storage = LocalStorage(folder)

        def plain() -> None:
            Path(folder, "ours.tar").write_bytes(_ours(samples))

        def durable() -> None:
            storage.replace("ours-flushed.tar", _ours(samples))

        def theirs() -> None:
            pattern = f"{folder}/theirs-%06d.tar"
            with webdataset.ShardWriter(pattern, maxcount=_SAMPLES + 1, verbose=0, mtime=0) as writer:
                for key, label, picture, record in samples:
                    writer.write({"__key__": key, "cls": label, "jpg": picture, "json": record})

        ratio = paired_ratio(theirs, plain, 5)
        flushed = paired_ratio(theirs, durable, 5)
        rate = _SAMPLES / seconds(plain)
    note = f"{_SAMPLES} samples of {_JPEG_BYTES} bytes"
    return [
        Measurement("shard writing, ours over webdataset's ShardWriter", ratio, "x", 2.0, note=note),
        Measurement("the same, ours flushed to the disk (fsync), theirs not", flushed, "x", note=note),
        Measurement("shard writing", rate, "samples/s", note=note),
    ]
