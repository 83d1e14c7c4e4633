"""Every planned picture stands at exactly one place."""

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.pictures import Pictures, shard_range

COUNTS: dict[str, Any] = {"identities": st.integers(1, 40), "views": st.integers(1, 12), "shards": st.integers(1, 60)}


@settings(deadline=None, max_examples=60)
@given(**COUNTS, seed=st.integers(0, 2**63 - 1), order=st.sampled_from(["shuffled", "by_identity"]))
def test_the_shards_together_hold_every_view_of_everybody_once(
    identities: int, views: int, shards: int, seed: int, order: Any
) -> None:
    pictures = Pictures(identities, views, seed, order)
    held = torch.cat([pictures.at(*shard_range(len(pictures), shards, shard)) for shard in range(shards)])
    assert sorted(map(tuple, held.tolist())) == [(i, v) for i in range(identities) for v in range(views)]


@settings(deadline=None, max_examples=200)
@given(pictures=st.integers(0, 10**12), shards=st.integers(1, 100))
def test_shards_follow_each_other_and_differ_by_at_most_one_picture(pictures: int, shards: int) -> None:
    ranges = [shard_range(pictures, shards, shard) for shard in range(shards)]
    assert [first for first, _ in ranges] == [0, *(last for _, last in ranges[:-1])]
    assert ranges[-1][1] == pictures
    sizes = {last - first for first, last in ranges}
    assert max(sizes) - min(sizes) <= 1


def test_by_identity_keeps_people_together_in_the_order_of_their_views() -> None:
    assert Pictures(3, 2, 1, "by_identity").at(1, 6).tolist() == [[0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]


def test_shuffled_scatters_people_and_heeds_the_seed() -> None:
    places = [Pictures(100, 20, seed).at(0, 2000) for seed in (1, 2)]
    assert not torch.equal(*places)
    for place in places:
        together = (place[1:, 0] == place[:-1, 0]).double().mean()
        assert float(together) < 0.05  # one in a hundred by chance
        assert len(place[:200, 0].unique()) > 70  # of 100 people, 86 by chance


def test_part_of_the_order_is_that_part_of_the_whole_at_any_size() -> None:
    pictures = Pictures(100_000_000, 10_000, 1)
    assert torch.equal(pictures.at(10**11, 10**11 + 64)[32:], pictures.at(10**11 + 32, 10**11 + 64))
    assert len(pictures) == 10**12
