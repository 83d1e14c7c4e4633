"""What a person sees of a build or a training: a live bar on a terminal, else a line now and then. Decides nothing.

This module does not know where shards are made, nor what is learned; it is told.
"""

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.failures import Decision
from cluster.run import Where
from jobs.plan import Plan
from jobs.wording import duration, pace, without_secrets
from synth.commit import Commit
from synth.training.journal import Report
from synth.workshop import ShardFailure

_LINE_EVERY_S = 60.0


class ProgressWatch:
    """Shows pictures done, rate, redraws, rejections and time left; a context manager around one build."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("pictures, {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("shards", total=None, rate="", visible=False)
        self._total = self._before = self._kept = 0
        self._counts: Counter[str] = Counter()
        self._workers: int | None = None  # None: this process
        self._shown: set[str] = set()  # bugs whose traceback was printed: once is enough
        self._began = self._last_line = time.monotonic()

    def __enter__(self) -> "ProgressWatch":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, message: str) -> None:
        """Another step begins."""
        self._console.print(message, highlight=False, markup=False)

    def planned(self, plan: Plan, missing: Sequence[int], shards: Sequence[int]) -> None:
        """The plan is fixed; of these shards, which are all or a part of the plan's, those are missing."""
        self._total = _pictures(plan, shards)
        self._before = self._total - _pictures(plan, missing)
        self._counts["pictures"] = 0
        self._began = self._last_line = time.monotonic()
        done = len(shards) - len(missing)
        part = f", {len(shards)} of them this part" if len(shards) < plan.shards else ""
        already = f", {done} of them done before" if done else ""
        self.step(
            f"plan {plan.hash[:12]}: {plan.pictures.identities} identities x {plan.pictures.views} views = "
            f"{len(plan.pictures)} pictures in {plan.shards} shards{part}{already}"
        )
        self._bar.update(self._task, total=self._total, completed=self._before, visible=bool(missing))

    def staffed(self, workers: int) -> None:
        """So many workers have a place now."""
        self._workers = workers

    def finished(self, commit: Commit, where: Where) -> None:
        """A shard is done."""
        self._counts["pictures"] += commit.planned
        self._counts["redrawn"] += commit.rendered - commit.planned
        self._counts["rejected"] += commit.planned - commit.kept
        self._bar.update(self._task, completed=self._before + self._counts["pictures"], rate=self._rate())
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            done = self._before + self._counts["pictures"]
            left = duration((self._total - done) / self._pictures_per_s())
            self.step(f"{done} of {self._total} pictures, {self.summary()}, {left} left")

    def failed(self, failure: ShardFailure, decision: Decision, where: Where) -> None:
        """A shard failed, and this was decided."""
        self._counts["failed"] += 1
        self._console.print(
            without_secrets(f"shard {failure.shard:06d} failed ({failure.kind}): {failure.message}; {decision.value}"),
            style="red",
            highlight=False,
            markup=False,
        )
        if failure.traceback and failure.message not in self._shown:
            self._shown.add(failure.message)
            self._console.print(failure.traceback, style="dim", highlight=False, markup=False)

    def _pictures_per_s(self) -> float:
        return max(self._counts["pictures"], 1e-9) / max(time.monotonic() - self._began, 1e-9)

    def _rate(self) -> str:
        workers = "" if self._workers is None else f", {self._workers} workers"
        return f"{self._pictures_per_s():.1f}/s{workers}"

    def summary(self) -> str:
        """Rate and counts so far, in words."""
        counts = (f"{self._counts[name]} {name}" for name in ("redrawn", "rejected", "failed") if self._counts[name])
        return ", ".join((self._rate(), *counts))


def _pictures(plan: Plan, shards: Sequence[int]) -> int:
    return sum(last - first for first, last in map(plan.shard_places, shards))


class TrainingWatch:
    """Shows steps, losses, pictures a second and time left; a context manager around one training."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps, {task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, visible=False)
        self._last_line: float | None = None

    def __enter__(self) -> "TrainingWatch":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def told(self, report: Report) -> None:
        """The training has come so far."""
        losses = ", ".join(f"{name} {value:.3g}" for name, value in report.losses.items())
        left = f", {duration(report.seconds_left)} left" if report.step < report.steps else ""
        words = f"{losses}; {pace(report.pictures_per_s)}{left}"
        self._bar.update(self._task, description=words, total=report.steps, completed=report.step, visible=True)
        if not self._console.is_terminal and self._line_is_due(last=report.step == report.steps):
            line = f"{report.step} of {report.steps} steps, {words}"
            self._console.print(line, highlight=False, markup=False)

    def _line_is_due(self, last: bool) -> bool:
        """The first and the last one always are, others a minute after the one before."""
        now = time.monotonic()
        due = last or self._last_line is None or now - self._last_line >= _LINE_EVERY_S
        if due:
            self._last_line = now
        return due
