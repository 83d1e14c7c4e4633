"""The dataset: what a build leaves when all its shards are done, and the record that says so, `dataset.json`.

Commits are held against the stored bytes and counted; `synth.seal` writes the manifest, last of all: without it there
is no dataset. This module does not know how shards are made, nor what to do about a damaged one: it names them.
"""

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from samplers.errors import DatasetError
from synth.commit import SIDE_BY_SIDE, Commit, StoredFile, contradiction, read_commit
from synth.storage import Storage, json_bytes

NAME = "dataset.json"


class ShardRecord(BaseModel):
    """One shard as the manifest lists it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    bytes: int
    samples: int
    sha256: str
    index: StoredFile


class Dataset(BaseModel):
    """The manifest of a finished dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    plan_hash: str
    planned: int  # pictures
    kept: int
    rejected: dict[str, int]  # by reason
    classes: int  # labels are 0 .. classes - 1
    views: int  # planned for each identity
    picture_size_px: int
    backends: list[dict[str, str]]  # all that took part
    certificate: dict[str, Any]
    shards: list[ShardRecord]


@dataclass(frozen=True)
class Profile:
    """What the manifest says that no shard knows."""

    name: str
    plan_hash: str
    classes: int
    views: int
    picture_size_px: int


def sound_commits(storage: Storage, shards: int, plan_hash: str) -> tuple[list[Commit], list[int]]:
    """All commits that hold, and the shards whose commit is missing, foreign, or not matched by the stored bytes."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as looking:
        found = list(looking.map(partial(sound_commit, storage, plan_hash), range(shards)))
    return [commit for commit in found if commit], [shard for shard, commit in enumerate(found) if commit is None]


def sound_commit(storage: Storage, plan_hash: str, shard: int) -> Commit | None:
    """The commit of a shard; None where it is missing, damaged, foreign, or not matched by the stored bytes."""
    try:
        commit = read_commit(storage, shard)
    except DatasetError:
        return None
    if commit is None or commit.plan_hash != plan_hash or contradiction(commit, shard):
        return None
    return commit if commit.tar.holds_in(storage) and commit.index.holds_in(storage) else None


def make_manifest(profile: Profile, commits: Iterable[Commit], certificate: dict[str, Any]) -> Dataset:
    """The manifest over the commits of all shards, in order."""
    commits = list(commits)
    backends = {json.dumps(commit.backend, sort_keys=True) for commit in commits}
    return Dataset(
        name=profile.name,
        plan_hash=profile.plan_hash,
        planned=sum(commit.planned for commit in commits),
        kept=sum(commit.kept for commit in commits),
        rejected=dict(sum((Counter(commit.rejected) for commit in commits), Counter())),
        classes=profile.classes,
        views=profile.views,
        picture_size_px=profile.picture_size_px,
        backends=[json.loads(backend) for backend in sorted(backends)],
        certificate=certificate,
        shards=[
            ShardRecord(
                name=commit.tar.name,
                bytes=commit.tar.bytes,
                samples=commit.kept,
                sha256=commit.tar.sha256,
                index=commit.index,
            )
            for commit in commits
        ],
    )


def manifest_bytes(dataset: Dataset) -> bytes:
    """The manifest as it is stored."""
    return json_bytes(dataset.model_dump())


def read_manifest(storage: Storage) -> Dataset:
    """The manifest of a finished dataset. Raises DatasetError where there is none."""
    if not storage.exists(NAME):
        raise DatasetError(f"{storage.url} holds no finished dataset (no {NAME}); build it, or see hypersynth status")
    try:
        return Dataset.model_validate_json(storage.read(NAME))
    except ValidationError as damage:
        raise DatasetError(
            f"{storage.url}/{NAME} is damaged; hypersynth verify --drop-damaged, then build, makes it again"
        ) from damage
