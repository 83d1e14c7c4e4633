"""The roster: who works, on what, and since when nothing was heard. Decisions alone, on numbers that it is told.

Workers are hired as long as there is work for them, whether or not there is a place for them yet: one that a cluster
places late joins late. This module does not know Ray, nor the time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Post:
    """One worker."""

    heard_s: float  # when it last came further
    beats: int = 0  # how far it has come, as it counts itself
    ready: bool = False  # whether it has found a place
    idle: bool = True  # whether it waits for work
    in_hand: list[int] = field(default_factory=list)  # shards: one that is made, and one that is stored meanwhile


class Roster:
    """The workers of one run. Changes only by its methods."""

    def __init__(self, wanted: int, stuck_s: float) -> None:
        """At most `wanted` at a time; who works, and does not come further for `stuck_s` seconds, is stuck."""
        self.posts: dict[int, Post] = {}
        self._wanted, self._stuck_s = wanted, stuck_s
        self._hired = 0

    @property
    def busy(self) -> bool:
        """Whether any worker has something in hand."""
        return any(post.in_hand for post in self.posts.values())

    def vacancies(self, waiting: int) -> int:
        """How many to hire, when so many shards wait that no idle worker will take."""
        free = sum(not post.in_hand for post in self.posts.values())
        return max(0, min(self._wanted - len(self.posts), waiting - free))

    def hire(self, now_s: float) -> int:
        """Note a new worker, that has no place yet; returns its number."""
        self._hired += 1
        self.posts[self._hired] = Post(now_s)
        return self._hired

    def placed(self, number: int) -> None:
        """It has found a place."""
        self.posts[number].ready = True

    def give(self, number: int, shard: int, now_s: float) -> None:
        """It begins a shard."""
        post = self.posts[number]
        post.in_hand.append(shard)
        post.idle, post.heard_s = False, now_s

    def answered(self, number: int, ended: Iterable[int], now_s: float) -> None:
        """It waits for work, and these shards are out of its hands."""
        post = self.posts[number]
        post.in_hand = [shard for shard in post.in_hand if shard not in set(ended)]
        post.idle, post.heard_s = True, now_s

    def told_to_rest(self, number: int, now_s: float) -> None:
        """It finishes what it has in hand, and begins nothing."""
        self.posts[number].idle, self.posts[number].heard_s = False, now_s

    def heard(self, number: int, beats: int, now_s: float) -> None:
        """It has come so far."""
        post = self.posts.get(number)
        if post is not None and beats != post.beats:
            post.beats, post.heard_s = beats, now_s

    def stuck(self, now_s: float) -> list[int]:
        """Those that work, and have not come further for too long."""
        return [
            number
            for number, post in self.posts.items()
            if post.ready and not post.idle and now_s - post.heard_s >= self._stuck_s
        ]

    def dismiss(self, number: int) -> list[int]:
        """It is gone; returns the shards that it had in hand."""
        return self.posts.pop(number).in_hand
