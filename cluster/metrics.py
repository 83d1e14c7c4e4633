"""What is counted of a build for Prometheus: names, labels, and how an outcome adds to them. Decides nothing.

Ray exports each under its own prefix, as `ray_hypersynth_pictures_total` and so on. This module does not know Ray
(`cluster.on_ray` counts), nor who looks at the numbers (`cluster/templates/grafana.json`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from synth.commit import Commit
from synth.workshop import Outcome


@dataclass(frozen=True)
class Metric:
    """One series of numbers that only grow, or, as a gauge, go up and down."""

    about: str
    labels: tuple[str, ...] = ()
    gauge: bool = False


METRICS: Final[Mapping[str, Metric]] = {
    "hypersynth_shards_total": Metric("shards that were committed"),
    "hypersynth_pictures_total": Metric("pictures of committed shards", ("outcome",)),
    "hypersynth_redraws_total": Metric("pictures that were drawn again"),
    "hypersynth_rejections_total": Metric("pictures given up, by the reason of the last attempt", ("reason",)),
    "hypersynth_stage_seconds_total": Metric("seconds of workers, by stage", ("stage",)),
    "hypersynth_bytes_total": Metric("bytes stored, by kind of file", ("file",)),
    "hypersynth_failures_total": Metric("failures of shards, and what was decided", ("kind", "decision")),
    "hypersynth_workers": Metric("workers that have a place", gauge=True),
    "hypersynth_shards_done": Metric("shards that were committed since this driver began", gauge=True),
    "hypersynth_pictures_kept": Metric("pictures kept since this driver began", gauge=True),
    "hypersynth_shards_waiting": Metric("shards that nobody has begun", gauge=True),
}


@dataclass(frozen=True)
class Count:
    """So much is to be added to a metric."""

    name: str
    amount: float
    labels: Mapping[str, str]


def counts(outcome: Outcome) -> Iterator[Count]:
    """What an outcome adds, as its worker knows it; failures are the driver's to count."""
    if not isinstance(outcome, Commit):
        return
    yield Count("hypersynth_shards_total", 1, {})
    for kind, amount in (("kept", outcome.kept), ("rejected", outcome.planned - outcome.kept)):
        yield Count("hypersynth_pictures_total", amount, {"outcome": kind})
    yield Count("hypersynth_redraws_total", outcome.rendered - outcome.planned, {})
    for reason, amount in outcome.rejected.items():
        yield Count("hypersynth_rejections_total", amount, {"reason": reason})
    for stage, seconds in outcome.seconds.items():
        yield Count("hypersynth_stage_seconds_total", seconds, {"stage": stage})
    for kind, file in (("tar", outcome.tar), ("index", outcome.index)):
        yield Count("hypersynth_bytes_total", file.bytes, {"file": kind})
