"""The build: plan -> identities -> shards -> dataset. Read this first.

Every step looks at what is stored and does the rest, so a build that was stopped anywhere goes on where it was. This
module does not know who makes the shards (`cluster.run`) nor how (`synth.shard`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from cluster.run import Crew, Watch, run_shards
from jobs.foundations import lay_foundations
from jobs.plan import Plan, claim, make_plan, refuse_foreign
from jobs.preflight import preflight
from jobs.recipe import Recipe, resolve_recipe
from samplers.errors import BuildError, StoppedError, StorageError
from synth import dataset
from synth.card import Words
from synth.commit import Commit, commit_name, committed_shards
from synth.seal import seal_dataset
from synth.storage import Storage, open_storage
from synth.workshop import ShardFailure


class BuildWatch(Watch, Protocol):
    """Is told how a build goes."""

    def planned(self, plan: Plan, done: int) -> None:
        """The plan is fixed, and so many of its shards are already done."""
        ...

    def step(self, message: str) -> None:
        """Another step begins."""
        ...


@dataclass(frozen=True)
class Built:
    """The end of a build that succeeded."""

    dataset: dataset.Dataset
    made: int  # shards made now; the others lay there


def build(recipe: Recipe, url: str, crew: Crew, watch: BuildWatch) -> Built:
    """Build the dataset of a recipe at a URL, or what is missing of it.

    Raises PlanMismatchError where another plan lies there, SaturationError where the identities do not fit, what
    `jobs.preflight` refuses (all three leave nothing behind), BuildError where shards could not be made (all others are
    done and stay), StorageError where writing fails.
    """
    storage = open_storage(url)
    sealed = storage.exists(dataset.NAME)
    if not sealed:
        preflight(recipe, crew)
    plan = make_plan(resolve_recipe(recipe))
    refuse_foreign(storage, plan)
    if sealed:
        claim(storage, plan)
        watch.planned(plan, plan.shards)
        return Built(dataset.read_manifest(storage), 0)
    lay_foundations(plan, storage, crew, watch.step)
    made = _make_shards(plan, storage, crew, watch)
    commits, damaged = _hold(plan, storage, watch)
    if damaged:
        made += _make_shards(plan, storage, crew, watch)
        commits, damaged = _hold(plan, storage, watch)
    if damaged:
        raise BuildError(f"shards {_names(damaged)} do not keep what was written; is the disk failing?")
    words = Words(plan.recipe.license, plan.recipe.date, plan.recipe.renderer.kind)
    return Built(seal_dataset(storage, plan.profile, words, commits), made)


def _make_shards(plan: Plan, storage: Storage, crew: Crew, watch: BuildWatch) -> int:
    """Make the shards that have no commit; returns how many were made."""
    done = set(committed_shards(storage)) & set(range(plan.shards))
    missing = [shard for shard in range(plan.shards) if shard not in done]
    watch.planned(plan, len(done))
    backlog = run_shards(plan.workshop(storage.location), missing, crew, watch)
    if backlog.stopped_by is not None:
        raise _stopped(backlog.stopped_by)
    finished = len(done) + backlog.done
    if backlog.told_to_end and finished + len(backlog.parked) < plan.shards:
        raise StoppedError(f"told to end: {finished} of {plan.shards} shards are done; run the same command to go on")
    if backlog.parked:
        first = next(iter(backlog.parked.values()))
        raise BuildError(
            f"{len(backlog.parked)} of {plan.shards} shards could not be made ({_names(backlog.parked)}); "
            f"the first: {first.message}; the others are done: {_what_next(first)}"
        )
    return backlog.done


def _what_next(failure: ShardFailure) -> str:
    """What to do about shards that failed like this one: what the pictures themselves forbid is the same every time."""
    if failure.kind == "contract":
        return "these fail every time, until the recipe (then another --out) or the renderer changes"
    return "build again to retry these"


def _stopped(failure: ShardFailure) -> BuildError | StorageError:
    error = StorageError if failure.kind == "storage" else BuildError
    return error(f"the build was stopped at shard {failure.shard:06d}: {failure.message}; what was done stays")


def _hold(plan: Plan, storage: Storage, watch: BuildWatch) -> tuple[list[Commit], list[int]]:
    """Hold every commit against the stored bytes; drop one that does not match: its shard is to be made again."""
    watch.step("holding every shard against its commit")
    commits, damaged = dataset.sound_commits(storage, plan.shards, plan.hash)
    for shard in damaged:
        storage.delete(commit_name(shard))
    return commits, damaged


def _names(shards: Iterable[int]) -> str:
    return ", ".join(f"{shard:06d}" for shard in sorted(shards))
