"""A submission: one build as a cluster is asked for it, under an id that the same build always has.

The id is made of the plan and of where the dataset goes, so a cluster that knows jobs by their ids never runs one build
twice at the same time. Pure: this module knows no cluster, does not import Ray, and opens no files.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.resources import NodeGroup, Resources

_PLAN_DIGITS, _PLACE_DIGITS = 16, 8


@dataclass(frozen=True)
class Submission:
    """What is to be built, where to, and on what."""

    plan_hash: str
    out_url: str
    workers: int
    recipe: str  # YAML: complete, files named by URL and sha256, `resources` included
    resources: Resources
    groups: tuple[NodeGroup, ...]  # never empty

    @property
    def id(self) -> str:
        """The same for the same plan and place: letters, digits and hyphens, short enough for every cluster."""
        place = hashlib.sha256(self.out_url.rstrip("/").encode()).hexdigest()
        return f"hypersynth-{self.plan_hash[:_PLAN_DIGITS]}-{place[:_PLACE_DIGITS]}"

    def command(self, recipe_path: str, program: Sequence[str] = ("hypersynth",)) -> tuple[str, ...]:
        """The words that do the build on a Ray cluster, from one of its machines."""
        where = ("--out", self.out_url, "--workers", str(self.workers), "--address", "auto")
        return (*program, "build", recipe_path, *where)


@dataclass(frozen=True)
class Attempt:
    """A job to follow, or to start."""

    id: str
    runs: bool  # it is there and has not ended: follow it


def next_attempt(submission_id: str, jobs: Mapping[str, bool]) -> Attempt:
    """The job to follow or to start, from all jobs of a cluster: their ids, and whether each has ended.

    A cluster takes an id once, so after a job that ended, well or not, the next is numbered: -2, -3 and so on. A build
    of which nothing is missing then finds that nothing is left to do.
    """
    pattern = re.compile(re.escape(submission_id) + r"(?:-([1-9][0-9]*))?")
    numbers = {int(found[1] or 1): found[0] for found in map(pattern.fullmatch, jobs) if found}
    if not numbers:
        return Attempt(submission_id, runs=False)
    last = max(numbers)
    if not jobs[numbers[last]]:
        return Attempt(numbers[last], runs=True)
    return Attempt(f"{submission_id}-{last + 1}", runs=False)
