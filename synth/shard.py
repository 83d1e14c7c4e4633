"""One shard, from the plan's places to committed bytes: the unit of work.

Vectors and attributes are drawn, pictures rendered in micro-batches of fixed size, checked, redrawn where refused,
encoded and packed (`draw_shard`), and committed (`synth.commit`). Nothing here depends on which process runs it or how
often. This module does not know where it runs, nor who retries it.

Shapes: n places in the shard, B pictures in a micro-batch.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from samplers.errors import RenderError
from samplers.pictures import Pictures, shard_range
from synth.anchors import Anchors
from synth.checks import Check, examine
from synth.commit import Commit, MadeShard, index_name, stored_file, tar_name
from synth.encoder import Encoder
from synth.index import index_table
from synth.jpeg import encode_jpeg
from synth.pack import Candidate, pack
from synth.parquet import parquet_bytes
from synth.renderer import Portraits, Renderer, checked_portraits
from synth.views import Variety, attempt_index, draw_views, named_values

Exhausted = Literal["reject", "keep_best", "fail"]


@dataclass(frozen=True)
class ShardSpec:
    """What all shards of one build share."""

    plan_hash: str
    pictures: Pictures
    shards: int
    variety: Variety
    size_px: int  # of a picture's side
    checks: tuple[Check, ...]
    attempts: int  # pictures drawn at most for one place
    exhausted: Exhausted  # what becomes of a place when every attempt was refused
    jpeg_quality: int
    embeddings: bool  # whether the index keeps them
    micro_batch: int


@dataclass(frozen=True)
class ShardTask:
    """One shard to make."""

    spec: ShardSpec
    shard: int


@dataclass(frozen=True)
class Tools:
    """What a worker opens once and uses for every shard."""

    anchors: Anchors
    renderer: Renderer
    encoders: Mapping[str, Encoder]  # by the names that the checks use
    fingerprint: Mapping[str, str]  # of the backend


@dataclass
class Ledger:
    """What is known of the places of a shard while it is made: the only mutable state here."""

    candidates: dict[int, Candidate] = field(default_factory=dict)  # by place: the kept one, the best or last refused
    rendered: Counter[int] = field(default_factory=Counter)  # by place: attempts so far
    refusals: dict[int, Counter[str]] = field(default_factory=dict)  # by attempt: reasons
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # by stage

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time inside to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start


@dataclass(frozen=True)
class Making:
    """A shard in the making: what with, and what is known so far."""

    spec: ShardSpec
    tools: Tools
    places: Tensor  # int64 (n, 2): identity and view
    ledger: Ledger
    encoding: ThreadPoolExecutor  # where JPEGs are made, while the next micro-batch is rendered
    beat: Callable[[], None]


def draw_shard(task: ShardTask, tools: Tools, beat: Callable[[], None] = lambda: None) -> MadeShard:
    """Make one shard, and store nothing; every planned picture ends kept or rejected.

    `beat` is called before each micro-batch; what it raises ends the shard. Raises RenderError where the renderer or
    the encoder breaks its contract, or where a picture is refused for good under `exhausted: fail`.
    """
    spec, ledger, start = task.spec, Ledger(), time.perf_counter()
    places = spec.pictures.at(*shard_range(len(spec.pictures), spec.shards, task.shard))
    with ThreadPoolExecutor(1, thread_name_prefix="jpeg") as encoding:
        _draw_places(Making(spec, tools, places, ledger, encoding, beat))
    with ledger.timed("pack"):
        tar, rows = pack(places, ledger.candidates, ledger.rendered, keep_refused=spec.exhausted == "keep_best")
        index = parquet_bytes(index_table(task.shard, rows, spec.variety.declared))
    assert len(rows) == len(places), "a picture was lost or doubled"
    refused = Counter(row.reason for row in rows if not row.kept)
    commit = Commit(
        shard=task.shard,
        plan_hash=spec.plan_hash,
        tar=stored_file(tar_name(task.shard), tar),
        index=stored_file(index_name(task.shard), index),
        planned=len(rows),
        kept=sum(row.kept for row in rows),
        rejected={str(reason): count for reason, count in refused.items()},
        refusals={str(attempt): dict(reasons) for attempt, reasons in ledger.refusals.items()},
        rendered=ledger.rendered.total(),
        backend=dict(tools.fingerprint),
        seconds={**_rounded(ledger.seconds), "total": round(time.perf_counter() - start, 3)},
    )
    return MadeShard(commit, tar, index)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}


def _draw_places(making: Making) -> None:
    """Fill the ledger: attempt by attempt, those refused so far, in the plan's order, in micro-batches."""
    spec, pending = making.spec, list(range(len(making.places)))
    for attempt in range(spec.attempts):
        batches = [pending[first : first + spec.micro_batch] for first in range(0, len(pending), spec.micro_batch)]
        pending = []
        for batch in batches:
            making.beat()
            pending += _draw_batch(making, batch, attempt)
    if pending and spec.exhausted == "fail":
        reasons = sorted({str(making.ledger.candidates[place].reason) for place in pending})
        raise RenderError(
            f"{len(pending)} pictures were refused {spec.attempts} times each ({', '.join(reasons)}) "
            "and checks.exhausted is 'fail'"
        )


def _draw_batch(making: Making, batch: list[int], attempt: int) -> list[int]:
    """Render and check one micro-batch of places (rows of `making.places`); returns those that were refused."""
    spec, tools, ledger = making.spec, making.tools, making.ledger
    # Padded with the last place, so that kernels always see the same shape and round the same way.
    padded = batch + batch[-1:] * (spec.micro_batch - len(batch))
    with ledger.timed("draw"):
        views = draw_views(spec.variety, tools.anchors, attempt_index(making.places[padded], attempt))
        attributes = named_values(spec.variety.declared, views)
    with ledger.timed("render"):
        portraits = checked_portraits(tools.renderer.portraits(views), len(views), spec.size_px)
    with ledger.timed("check"):
        seen = examine(spec.checks, tools.encoders, portraits.images, views.identity, tools.anchors)
    images = portraits.images.numpy()
    for row, place in enumerate(batch):
        wanted = seen.reasons[row] is None or spec.exhausted == "keep_best"
        candidate = Candidate(
            attempt=attempt,
            reason=seen.reasons[row],
            attributes=attributes[row],
            cosine=seen.cosine[row] if seen.cosine else None,
            quality=seen.quality[row] if seen.quality else None,
            findings={name: float(f"{float(values[row]):.6g}") for name, values in portraits.findings.items()},
            landmarks=_landmark_row(portraits, row),
            embedding=seen.embedding[row].tolist() if seen.embedding is not None and spec.embeddings else None,
            jpeg=making.encoding.submit(encode_jpeg, images[row], spec.jpeg_quality) if wanted else None,
        )
        _record(ledger, place, candidate, best=spec.exhausted == "keep_best")
    return [place for place, reason in zip(batch, seen.reasons, strict=False) if reason]


def _landmark_row(portraits: Portraits, row: int) -> list[float] | None:
    """x and y of one picture's five points, to a thousandth of a pixel."""
    if portraits.landmarks is None:
        return None
    return [round(coordinate, 3) for coordinate in portraits.landmarks[row].flatten().tolist()]


def _record(ledger: Ledger, place: int, candidate: Candidate, best: bool) -> None:
    """Note one attempt: a kept picture stands, a refused one makes way for the next, unless it is `best` so far."""
    ledger.rendered[place] += 1
    if candidate.reason:
        ledger.refusals.setdefault(candidate.attempt, Counter())[candidate.reason] += 1
        earlier = ledger.candidates.get(place)
        if best and earlier and _likeness(earlier) >= _likeness(candidate):
            return
    ledger.candidates[place] = candidate


def _likeness(candidate: Candidate) -> float:
    """What the best of refused pictures has most of: cosine to the anchor, else quality; one of them was asked for."""
    best = candidate.quality if candidate.cosine is None else candidate.cosine
    assert best is not None
    return best
