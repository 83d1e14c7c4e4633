"""Sealing: from all shards done to a dataset. Contact sheet, card and Croissant record first, `dataset.json` last.

This module does not make or mend shards; it refuses to seal while one is missing or damaged.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from synth.anchors import read_certificate
from synth.card import CARD_NAME, CROISSANT_NAME, SHEET_NAME, Words, card, croissant
from synth.commit import SIDE_BY_SIDE, Commit
from synth.dataset import NAME, Dataset, Profile, make_manifest, manifest_bytes
from synth.sheet import contact_sheet
from synth.storage import Storage

_SHEET_PEOPLE, _SHEET_VIEWS = 8, 10
_SHEET_SHARDS = 64  # where a sheet's pictures are looked for: enough to meet people several times


def seal_dataset(storage: Storage, profile: Profile, words: Words, commits: list[Commit]) -> Dataset:
    """Write what makes the shards a dataset. `commits` are those of all shards, in order, and known to hold."""
    assert [commit.shard for commit in commits] == list(range(len(commits))), "a shard is missing"
    dataset = make_manifest(profile, commits, read_certificate(storage))
    pictures = _sheet_pictures(storage, commits[:_SHEET_SHARDS])
    if pictures:
        storage.replace(SHEET_NAME, contact_sheet(pictures))
    storage.replace(CARD_NAME, card(dataset, words))
    storage.replace(CROISSANT_NAME, croissant(dataset, words))
    storage.replace(NAME, manifest_bytes(dataset))
    return dataset


def _sheet_pictures(storage: Storage, commits: list[Commit]) -> list[list[np.ndarray]]:
    """Pictures of the people met most often in these shards, each person's in the order of their views."""
    by_person: dict[int, list[dict[str, Any]]] = defaultdict(list)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as reading:
        for commit, rows in zip(commits, reading.map(partial(_kept_rows, storage), commits), strict=True):
            for row in rows:
                by_person[row["identity"]].append({**row, "tar": commit.tar.name})
        people = sorted(by_person, key=lambda person: (-min(len(by_person[person]), _SHEET_VIEWS), person))
        chosen = [sorted(by_person[person], key=lambda row: row["view"])[:_SHEET_VIEWS] for person in people]
        pictures = reading.map(partial(_picture, storage), chain.from_iterable(chosen[:_SHEET_PEOPLE]))
        return [list(islice(pictures, len(rows))) for rows in chosen[:_SHEET_PEOPLE]]


def _kept_rows(storage: Storage, commit: Commit) -> list[dict[str, Any]]:
    """The pictures of a shard that were kept."""
    index = pa.BufferReader(storage.read(commit.index.name))
    rows = pq.read_table(index, columns=["identity", "view", "outcome", "offset", "size"]).to_pylist()
    return [row for row in rows if row["outcome"] == "kept"]


def _picture(storage: Storage, row: dict[str, Any]) -> np.ndarray:
    picture: np.ndarray = simplejpeg.decode_jpeg(storage.read_range(row["tar"], row["offset"], row["size"]))
    return picture
