"""Status: how far a build is, from what is stored alone. Only reads, from anywhere.

This module does not know whether anybody is building right now.
"""

from collections import Counter
from dataclasses import dataclass

from jobs.plan import stored_plan
from synth import dataset
from synth.commit import committed_shards, read_commits
from synth.storage import Storage


@dataclass(frozen=True)
class Status:
    """What lies in a storage."""

    plan_hash: str
    pictures: int  # planned
    shards: int  # planned
    done: int  # shards with a commit
    kept: int
    rejected: dict[str, int]  # by reason
    redrawn: int
    missing: list[int]
    sealed: bool


def read_status(storage: Storage) -> Status:
    """Count what is stored. Raises DatasetError where there is no plan or a record is damaged."""
    plan = stored_plan(storage)
    shards = (shard for shard in committed_shards(storage) if shard < plan.shards)
    commits = [commit for commit in read_commits(storage, shards) if commit]
    done = {commit.shard for commit in commits}
    rejected: Counter[str] = sum((Counter(commit.rejected) for commit in commits), Counter())
    return Status(
        plan_hash=plan.hash,
        pictures=len(plan.pictures),
        shards=plan.shards,
        done=len(done),
        kept=sum(commit.kept for commit in commits),
        rejected=dict(rejected),
        redrawn=sum(commit.rendered - commit.planned for commit in commits),
        missing=[shard for shard in range(plan.shards) if shard not in done],
        sealed=len(done) == plan.shards and _has_manifest(storage, plan.hash),
    )


def _has_manifest(storage: Storage, plan_hash: str) -> bool:
    """Whether the manifest of a plan is stored. Raises DatasetError where it is damaged."""
    return storage.exists(dataset.NAME) and dataset.read_manifest(storage).plan_hash == plan_hash
