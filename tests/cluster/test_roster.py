"""Who is hired, who is stuck, and what is lost with whom: told by tables, and for any course of events."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.roster import Roster

STUCK_S = 100.0


def team(size: int, wanted: int = 4) -> Roster:
    """Some workers who have a place and wait."""
    roster = Roster(wanted, STUCK_S)
    for _ in range(size):
        roster.placed(roster.hire(0.0))
    return roster


def test_no_more_are_hired_than_wanted_nor_than_there_is_work_for() -> None:
    roster = Roster(3, STUCK_S)
    assert roster.vacancies(2) == 2
    assert roster.vacancies(9) == 3
    roster.hire(0.0)
    assert roster.vacancies(1) == 0, "the one that was hired will take it"
    assert roster.vacancies(2) == 1
    assert roster.vacancies(0) == 0


def test_who_is_gone_is_replaced_while_there_is_work() -> None:
    roster = team(2, wanted=2)
    roster.give(1, 7, 1.0)
    assert roster.dismiss(1) == [7]
    assert roster.vacancies(1) == 0, "the other one is free"
    roster.give(2, 7, 2.0)
    assert roster.vacancies(1) == 1


def test_a_shard_stays_in_hand_until_it_is_stored() -> None:
    roster = team(1)
    roster.give(1, 7, 1.0)
    roster.answered(1, [], 2.0)
    assert roster.busy
    roster.give(1, 8, 3.0)
    assert roster.posts[1].in_hand == [7, 8]
    roster.answered(1, [7], 4.0)
    roster.told_to_rest(1, 5.0)
    roster.answered(1, [8], 6.0)
    assert not roster.busy


def test_who_does_not_come_further_is_stuck() -> None:
    roster = team(3)
    roster.give(1, 7, 0.0)
    roster.give(2, 8, 0.0)
    roster.heard(2, 5, 60.0)
    assert roster.stuck(99.0) == []
    assert roster.stuck(100.0) == [1], "the second came further, the third has nothing to do"
    roster.heard(2, 5, 150.0)
    assert roster.stuck(160.0) == [1, 2], "an answer that says nothing new is none"


def test_who_waits_for_a_place_or_for_work_is_not_stuck() -> None:
    roster = team(1)
    roster.hire(0.0)
    assert roster.stuck(1e9) == []


def test_what_is_heard_of_those_who_are_gone_counts_nothing() -> None:
    roster = team(1)
    roster.dismiss(1)
    roster.heard(1, 3, 1.0)
    assert roster.posts == {}


@given(st.integers(1, 5), st.integers(0, 12), st.randoms(use_true_random=False))
def test_every_shard_is_in_one_hand_or_in_none(wanted: int, shards: int, chance: object) -> None:
    """Whatever happens to workers: what they had in hand comes back, once."""
    assert hasattr(chance, "choice")
    roster, waiting, done, now = Roster(wanted, STUCK_S), list(range(shards)), list[int](), 0.0
    for _ in range(400):
        now += 1.0
        for _ in range(roster.vacancies(len(waiting))):
            roster.placed(roster.hire(now))
        assert len(roster.posts) <= wanted
        if not roster.posts:
            assert len(done) == shards
            return
        number = chance.choice(sorted(roster.posts))
        post = roster.posts[number]
        if chance.random() < 0.1:
            waiting += roster.dismiss(number)
        elif post.idle and waiting:
            roster.give(number, waiting.pop(), now)
        elif post.idle and post.in_hand:
            roster.told_to_rest(number, now)
        elif not post.idle:
            ended = post.in_hand[:1] if chance.random() < 0.8 else []
            roster.answered(number, ended, now)
            done += ended
        in_hand = [shard for each in roster.posts.values() for shard in each.in_hand]
        assert sorted([*waiting, *done, *in_hand]) == list(range(shards))
