"""Packing: the chosen pictures of a shard as one tar, and one index row for every planned picture.

Samples stand in the plan's order; a sample's members are sorted by name. This module does not know how pictures were
chosen, only which attempt was.
"""

import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from torch import Tensor

from synth.index import KEPT, REJECTED, AttributeValues, Row, picture_key
from synth.storage import sha256
from synth.tar import Member, write_tar

_MEMBERS_PER_SAMPLE = 3
_JPEG_MEMBER = 1


@dataclass(frozen=True)
class Candidate:
    """One rendered picture of one place, with what the checks said."""

    attempt: int
    reason: str | None  # the first check that refused it; None: all passed
    attributes: AttributeValues
    cosine: float | None  # to the anchor
    quality: float | None
    findings: Mapping[str, float]  # of the renderer's
    landmarks: list[float] | None  # x, y of five points, pixels
    embedding: list[float] | None
    jpeg: Future[bytes] | None  # None where a refused picture is not wanted


def pack(
    places: Tensor, candidates: Mapping[int, Candidate], rendered: Mapping[int, int], keep_refused: bool
) -> tuple[bytes, list[Row]]:
    """The tar and the index rows of a shard.

    `places` int64 (n, 2) are identity and view; `candidates` and `rendered` go by the row of `places`. A candidate
    with a reason is rejected, unless `keep_refused`.
    """
    members: list[Member] = []
    kept: dict[int, bytes] = {}
    for place, (identity, view) in enumerate(places.tolist()):
        candidate = candidates[place]
        if candidate.jpeg is not None and (candidate.reason is None or keep_refused):
            kept[place] = candidate.jpeg.result()
            members += _sample(identity, view, candidate, kept[place])
    tar, offsets = write_tar(members)
    jpeg_offsets = dict(zip(kept, offsets[_JPEG_MEMBER::_MEMBERS_PER_SAMPLE], strict=True))
    rows = [
        _row(identity, view, rendered[place], candidates[place], kept.get(place), jpeg_offsets.get(place))
        for place, (identity, view) in enumerate(places.tolist())
    ]
    return tar, rows


def _sample(identity: int, view: int, candidate: Candidate, jpeg: bytes) -> tuple[Member, Member, Member]:
    key = picture_key(identity, view)
    return (
        Member(f"{key}.cls", str(identity).encode()),
        Member(f"{key}.jpg", jpeg),
        Member(f"{key}.json", _sample_json(identity, view, candidate)),
    )


def _sample_json(identity: int, view: int, candidate: Candidate) -> bytes:
    """What a sample says of itself. A build has these keys in all samples or in none, so readers can infer types."""
    said = {
        "identity": identity,
        "view": view,
        "attempt": candidate.attempt,
        "attributes": candidate.attributes,
        "cosine": None if candidate.cosine is None else round(candidate.cosine, 6),
        "quality": None if candidate.quality is None else round(candidate.quality, 6),
        "findings": dict(candidate.findings) or None,
        "landmarks": candidate.landmarks,
    }
    present = {name: value for name, value in said.items() if value is not None}
    return json.dumps(present, sort_keys=True, separators=(",", ":")).encode()


def _row(identity: int, view: int, attempts: int, candidate: Candidate, jpeg: bytes | None, offset: int | None) -> Row:
    return Row(
        identity=identity,
        view=view,
        attempts=attempts,
        outcome=REJECTED if jpeg is None else KEPT,
        attempt=candidate.attempt,
        reason=candidate.reason,
        attributes=candidate.attributes,
        cosine=candidate.cosine,
        quality=candidate.quality,
        findings=dict(candidate.findings) or None,
        landmarks=candidate.landmarks,
        embedding=candidate.embedding,
        sha256=None if jpeg is None else sha256(jpeg),
        offset=offset,
        size=None if jpeg is None else len(jpeg),
    )
