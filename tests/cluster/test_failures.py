"""Decisions on failures, told by tables."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.failures import HOPELESS_PARKED, PATIENCE, Backlog, Decision, decide
from synth.workshop import ShardFailure

RETRY, PARK, STOP = Decision.RETRY, Decision.PARK, Decision.STOP


def failures(*kinds: str) -> list[ShardFailure]:
    return [ShardFailure(7, kind, "trouble") for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "decision"),
    [
        (["settings"], STOP),
        (["storage"], RETRY),
        (["storage", "storage"], STOP),
        (["contract"], PARK),
        (["bug"], RETRY),
        (["bug", "bug"], PARK),
        (["memory"], RETRY),
        (["memory", "memory"], PARK),
        (["lost"] * 3, RETRY),
        (["lost"] * 4, PARK),
        (["lost", "bug", "lost", "memory"], RETRY),
        (["lost", "lost", "bug", "bug"], PARK),
    ],
)
def test_what_becomes_of_a_shard_depends_on_how_it_failed_and_how_often(kinds: list[str], decision: Decision) -> None:
    assert decide(failures(*kinds), parked=0, done=1) is decision


@pytest.mark.parametrize(
    ("parked", "done", "decision"), [(0, 0, PARK), (1, 0, PARK), (2, 0, STOP), (2, 1, PARK), (9, 1, PARK)]
)
def test_a_run_in_which_nothing_succeeds_is_stopped(parked: int, done: int, decision: Decision) -> None:
    assert decide(failures("contract"), parked, done) is decision


def test_a_failed_shard_waits_behind_those_not_yet_tried() -> None:
    backlog = Backlog.of([7, 8])
    assert backlog.take() == 7
    assert backlog.fail(failures("bug")[0]) is RETRY
    assert [backlog.take(), backlog.take(), backlog.take()] == [8, 7, None]


def test_a_stopped_run_gives_out_no_more_work() -> None:
    backlog = Backlog.of([7, 8])
    backlog.take()
    backlog.fail(failures("settings")[0])
    assert backlog.take() is None
    assert backlog.stopped_by is not None


@given(
    shards=st.integers(1, 12),
    fates=st.dictionaries(st.integers(0, 11), st.lists(st.sampled_from(sorted(PATIENCE)), max_size=8)),
)
def test_every_shard_ends_done_or_parked_unless_the_run_stops(shards: int, fates: dict[int, list[str]]) -> None:
    """Whatever fails and how: nothing is lost, nothing is tried for ever."""
    backlog, tried = Backlog.of(range(shards)), Counter[int]()
    while (shard := backlog.take()) is not None:
        fate = fates.get(shard, [])
        tried[shard] += 1
        if tried[shard] <= len(fate):
            backlog.fail(ShardFailure(shard, fate[tried[shard] - 1], "trouble"))
        else:
            backlog.succeed()
    assert max(tried.values()) <= 1 + sum(patience.tries for patience in PATIENCE.values())
    if backlog.stopped_by is None:
        assert backlog.done + len(backlog.parked) == shards
        assert len(backlog.parked) < HOPELESS_PARKED or backlog.done > 0
