"""The build: plan -> identities -> shards -> dataset. Read this first.

Every step looks at what is stored and does the rest, so a build that was stopped anywhere goes on where it was. This
module does not know who makes the shards (`cluster.run`) nor how (`synth.shard`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cluster.run import Crew, Watch, run_shards
from jobs.foundations import lay_foundations
from jobs.plan import Plan, claim, make_plan, refuse_foreign, stored_plan
from jobs.preflight import preflight
from jobs.recipe import Recipe, resolve_recipe
from samplers.errors import BuildError, RecipeError, StoppedError, StorageError
from synth import dataset
from synth.anchors import anchors_written
from synth.card import Words
from synth.commit import Commit, commit_name, committed_shards
from synth.seal import seal_dataset
from synth.storage import Storage, open_storage
from synth.workshop import ShardFailure

_NAMED: Final = 12  # shards in a message


class BuildWatch(Watch, Protocol):
    """Is told how a build goes."""

    def planned(self, plan: Plan, missing: Sequence[int], shards: Sequence[int]) -> None:
        """The plan is fixed; of these shards, which are all or a part of the plan's, those are missing."""
        ...


@dataclass(frozen=True)
class Part:
    """One of several parts of a build, each made by a process of its own that knows nothing of the others."""

    number: int  # from 0
    of: int

    def __post_init__(self) -> None:
        if self.of == 0:
            raise RecipeError("a build has one part at least: 0/1")
        if not 0 <= self.number < self.of:
            raise RecipeError(f"there is no part {self.number} of {self.of}: the first is 0/{self.of}")

    @classmethod
    def parse(cls, text: str) -> "Part":
        """From `i/N`. Raises RecipeError for anything else."""
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal()):
            raise RecipeError(f"{text!r} is no part of a build: write 0/8 for the first of eight")
        return cls(int(number), int(of))

    def shards(self, plan: Plan) -> range:
        """Every `of`-th shard."""
        return range(self.number, plan.shards, self.of)


WHOLE: Final = Part(0, 1)


@dataclass(frozen=True)
class Built:
    """The end of a build that succeeded."""

    dataset: dataset.Dataset
    made: int  # shards made now; the others lay there


def build(recipe: Recipe, url: str, crew: Crew, watch: BuildWatch) -> Built:
    """Build the dataset of a recipe at a URL, or what is missing of it.

    Raises PlanMismatchError where another plan lies there, SaturationError where the identities do not fit, what
    `jobs.preflight` refuses (all three leave nothing behind), BuildError where shards could not be made (all others are
    done and stay), StoppedError where the process was told to end, StorageError where writing fails.
    """
    storage = open_storage(url)
    plan, sealed = _planned(recipe, storage, crew)
    if sealed is not None:
        watch.planned(plan, (), range(plan.shards))
        return Built(sealed, 0)
    lay_foundations(plan, storage, crew, watch.step)
    made = _make_shards(plan, WHOLE, storage, crew, watch)
    commits, damaged = _hold(plan, storage, watch)
    if damaged:
        made += _make_shards(plan, WHOLE, storage, crew, watch)
        commits, damaged = _hold(plan, storage, watch)
    if damaged:
        raise BuildError(f"shards {_names(damaged)} do not keep what was written; is the disk failing?")
    return Built(_sealed(plan, storage, commits), made)


def build_part(recipe: Recipe, url: str, part: Part, crew: Crew, watch: BuildWatch) -> int:
    """Make the shards of one part, or those that are missing of it, and seal nothing; returns how many were made.

    The first part to come lays the foundations, and so do others that come meanwhile, to the same bytes. Raises as
    `build`.
    """
    storage = open_storage(url)
    plan, sealed = _planned(recipe, storage, crew)
    if sealed is not None:
        watch.planned(plan, (), part.shards(plan))
        return 0
    lay_foundations(plan, storage, crew, watch.step)
    return _make_shards(plan, part, storage, crew, watch)


def seal(url: str, watch: BuildWatch) -> dataset.Dataset:
    """Make all parts that lie at a URL one dataset; one that is sealed stays as it is.

    Raises DatasetError where there is no plan, BuildError where shards are missing, or were damaged (their commits are
    dropped, so that their parts make them again).
    """
    storage = open_storage(url)
    plan = stored_plan(storage)
    if storage.exists(dataset.NAME) and _is_whole(storage, plan):
        return dataset.read_manifest(storage)
    if missing := sorted(set(range(plan.shards)) - set(committed_shards(storage))):
        raise BuildError(f"{len(missing)} of {plan.shards} shards are missing ({_names(missing)}): build them first")
    commits, damaged = _hold(plan, storage, watch)
    if damaged:
        raise BuildError(f"shards {_names(damaged)} did not keep what was written and were dropped: build them again")
    return _sealed(plan, storage, commits)


def _planned(recipe: Recipe, storage: Storage, crew: Crew) -> tuple[Plan, dataset.Dataset | None]:
    """The plan of a recipe, and the dataset, if it is finished. Raises what forbids to begin."""
    sealed = storage.exists(dataset.NAME)
    if not sealed:
        preflight(recipe, crew)
    plan = make_plan(resolve_recipe(recipe))
    refuse_foreign(storage, plan)
    if sealed and not _is_whole(storage, plan):
        preflight(recipe, crew)
        sealed = False
    if not sealed:
        return plan, None
    claim(storage, plan)
    return plan, dataset.read_manifest(storage)


def _is_whole(storage: Storage, plan: Plan) -> bool:
    """Whether a sealed dataset still has its certificate and all commits; what was lost is made again."""
    return anchors_written(storage) and len(committed_shards(storage)) >= plan.shards


def _sealed(plan: Plan, storage: Storage, commits: list[Commit]) -> dataset.Dataset:
    words = Words(plan.recipe.license, plan.recipe.date, plan.recipe.renderer.kind)
    return seal_dataset(storage, plan.profile, words, commits)


def _make_shards(plan: Plan, part: Part, storage: Storage, crew: Crew, watch: BuildWatch) -> int:
    """Make the shards of a part that have no commit; returns how many were made."""
    done = set(committed_shards(storage))
    wanted = part.shards(plan)
    missing = [shard for shard in wanted if shard not in done]
    watch.planned(plan, missing, wanted)
    backlog = run_shards(plan.workshop(storage.location), missing, crew, watch)
    if backlog.stopped_by is not None:
        raise _stopped(backlog.stopped_by)
    left = len(missing) - backlog.done - len(backlog.parked)
    if left:
        raise StoppedError(f"told to end: {left} of {len(wanted)} shards are left; run the same command to go on")
    if backlog.parked:
        first = next(iter(backlog.parked.values()))
        raise BuildError(
            f"{len(backlog.parked)} of {len(wanted)} shards could not be made ({_names(backlog.parked)}); "
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
        # Asked again: that look took a while, and another build may have mended the shard.
        if dataset.sound_commit(storage, plan.hash, shard) is None:
            storage.delete(commit_name(shard))
    return commits, damaged


def _names(shards: Iterable[int]) -> str:
    first = sorted(shards)
    more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    return ", ".join(f"{shard:06d}" for shard in first[:_NAMED]) + more
