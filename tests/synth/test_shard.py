"""One shard: what becomes of every planned picture, and what is committed of it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from torch import Tensor

from samplers.attributes import Constant, Uniform
from samplers.errors import RenderError
from samplers.sphere import cosine
from synth.encoders.barcode import BarcodeEncoder
from synth.pack import Candidate
from synth.shard import Ledger, ShardSpec, _record
from synth.storage import sha256
from synth.storages.local import LocalStorage
from synth.tar import read_tar
from synth.views import attempt_index, draw_views
from tests.synth.making import PEOPLE, VIEWS, Bench, spec

RUINED = {"damage": Constant(value=1.0)}
DAMAGED = {"damage": Uniform(low=0.3, high=1.0)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(LocalStorage(tmp_path / "out"))


def images_of(bench: Bench, spec: ShardSpec, attempt: int) -> tuple[Tensor, Tensor]:
    """All planned pictures in their order, at one attempt, and who they show."""
    places = spec.pictures.at(0, len(spec.pictures))
    views = draw_views(spec.variety, bench.tools.anchors, attempt_index(places, attempt))
    return bench.renderer.render(views), views.identity


def judge(bench: Bench, spec: ShardSpec, attempt: int) -> tuple[list[str | None], list[float]]:
    """The reason against every picture of one attempt, and its cosine to the anchor, by brute force."""
    images, identity = images_of(bench, spec, attempt)
    everyone = cosine(BarcodeEncoder().embed(images)[:, None], bench.identities.vectors[None])
    own = everyone[torch.arange(len(identity)), identity]
    reasons: list[str | None] = []
    for row in range(len(identity)):
        near, nearest = float(own[row]) >= 0.7, bool(own[row] >= everyone[row].max())
        reasons.append("cosine_to_anchor" if not near else "nearest_anchor" if not nearest else None)
    return reasons, own.tolist()


def test_every_planned_picture_is_kept_or_rejected_once(bench: Bench) -> None:
    commit = bench.make(spec())
    rows = bench.rows(commit)
    assert commit.planned == PEOPLE * VIEWS == commit.kept + sum(commit.rejected.values())
    assert [[row["identity"], row["view"]] for row in rows] == spec().pictures.at(0, PEOPLE * VIEWS).tolist()
    assert Counter(row["outcome"] for row in rows) == {"kept": commit.kept, "rejected": sum(commit.rejected.values())}
    assert commit.kept
    assert commit.rejected
    assert {row["identity"]: row["shard"] for row in rows} == dict.fromkeys(range(PEOPLE), 0)


def test_offsets_and_sizes_give_the_jpeg_and_its_sha256(bench: Bench) -> None:
    commit = bench.make(spec())
    kept = [row for row in bench.rows(commit) if row["outcome"] == "kept"]
    members = {member.name: member.data for member in read_tar(bench.storage.read(commit.tar.name))}
    assert len(members) == 3 * len(kept)
    for row in kept:
        jpeg = bench.storage.read_range(commit.tar.name, row["offset"], row["size"])
        assert jpeg == members[f"{row['key']}.jpg"]
        assert sha256(jpeg) == row["sha256"]
        assert members[f"{row['key']}.cls"] == str(row["identity"]).encode()
        said = json.loads(members[f"{row['key']}.json"])
        assert (said["identity"], said["view"], said["attempt"]) == (row["identity"], row["view"], row["attempt"])
        assert said["attributes"] == pytest.approx(row["attributes"])
        assert said["cosine"] == pytest.approx(row["cosine"], abs=1e-6)
    for row in bench.rows(commit):
        if row["outcome"] == "rejected":
            assert (row["offset"], row["size"], row["sha256"]) == (None, None, None)


def test_a_jpeg_shows_the_picture_that_was_rendered(bench: Bench) -> None:
    made = spec(attempts=1)
    commit = bench.make(made)
    images = images_of(bench, made, 0)[0].numpy().astype(float)
    for row, image in zip(bench.rows(commit), images, strict=True):
        if row["outcome"] == "kept":
            jpeg = bench.storage.read_range(commit.tar.name, row["offset"], row["size"])
            assert np.abs(simplejpeg.decode_jpeg(jpeg) - image).mean() < 8


def test_reasons_are_counted_by_attempt_and_places_end_as_their_attempts_say(bench: Bench) -> None:
    made = spec(laws=DAMAGED, attempts=3)
    commit = bench.make(made)
    judged = [judge(bench, made, attempt) for attempt in range(3)]
    refusals: dict[str, Counter[str]] = {}
    rejected: Counter[str] = Counter()
    for place, row in enumerate(bench.rows(commit)):
        reasons = [judged[attempt][0][place] for attempt in range(3)]
        last = reasons.index(None) if None in reasons else 2
        for attempt, reason in enumerate(reasons[: last + 1]):
            if reason:
                refusals.setdefault(str(attempt), Counter())[reason] += 1
        reason = reasons[last]
        rejected.update([reason] if reason else [])
        assert (row["attempt"], row["attempts"], row["reason"]) == (last, last + 1, reason)
        assert row["outcome"] == ("rejected" if reason else "kept")
        assert row["cosine"] == pytest.approx(judged[last][1][place], abs=1e-6)
    assert commit.refusals == refusals
    assert commit.rejected == rejected
    assert commit.rendered == sum(row["attempts"] for row in bench.rows(commit))
    assert len(refusals) == 3


def test_keep_best_keeps_the_most_alike_of_refused_attempts(bench: Bench) -> None:
    made = spec(laws={"damage": Uniform(low=0.5, high=1.0)}, attempts=3, exhausted="keep_best")
    commit = bench.make(made)
    judged = [judge(bench, made, attempt) for attempt in range(3)]
    refused = 0
    for place, row in enumerate(bench.rows(commit)):
        reasons, cosines = zip(*((reason[place], alike[place]) for reason, alike in judged), strict=True)
        best = reasons.index(None) if None in reasons else int(np.argmax(cosines))
        assert (row["outcome"], row["attempt"], row["reason"]) == ("kept", best, reasons[best])
        refused += None not in reasons
    assert refused > VIEWS
    assert (commit.kept, commit.rejected) == (PEOPLE * VIEWS, {})


@pytest.mark.parametrize(
    ("best", "figures", "kept"),
    [
        (True, [(0.2, 9.0), (0.4, 1.0), (0.4, 3.0), (0.3, 5.0)], 1),  # of equals the first
        (True, [(None, 2.0), (None, 1.0), (None, 3.0)], 2),
        (False, [(0.4, 9.0), (0.2, 1.0)], 1),
    ],
)
def test_of_refused_attempts_the_best_or_the_last_is_remembered(
    best: bool, figures: list[tuple[float | None, float]], kept: int
) -> None:
    ledger = Ledger()
    for attempt, (alike, quality) in enumerate(figures):
        refused = Candidate(attempt, "quality", {}, alike, quality, {}, None, None, None)
        _record(ledger, 5, refused, best=best)
    assert ledger.candidates[5].attempt == kept
    assert ledger.rendered[5] == len(figures)


def test_fail_commits_nothing_when_a_place_is_refused_for_good(bench: Bench) -> None:
    with pytest.raises(RenderError, match=r"^120 pictures were refused 2 times each \(cosine_to_anchor\)"):
        bench.make(spec(laws=RUINED, exhausted="fail"))
    assert bench.storage.list("") == []
    assert bench.make(spec(laws={"damage": Constant(value=0.0)}, exhausted="fail")).kept == PEOPLE * VIEWS


def test_a_shard_of_which_nothing_is_kept_is_a_shard(bench: Bench) -> None:
    commit = bench.make(spec(laws=RUINED))
    assert (commit.kept, commit.rejected) == (0, {"cosine_to_anchor": 120})
    assert list(read_tar(bench.storage.read(commit.tar.name))) == []
