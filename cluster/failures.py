"""What to do about a shard that failed: pure decisions, told from how it failed and how often.

This module does not know Ray, nor how a shard is made; `cluster.run` and `cluster.on_ray` carry the decisions out.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from synth.workshop import ShardFailure


class Decision(Enum):
    """What becomes of a failed shard."""

    RETRY = "retry"  # put it back into the queue
    PARK = "park"  # leave it out, go on with the others, end non-zero
    STOP = "stop"  # every shard would fail so: end now


@dataclass(frozen=True)
class Patience:
    """How many failures of one kind a shard may have, and what follows the last."""

    tries: int
    then: Decision


#: By the kind of failure. A worker that dies may have been unlucky in its machine, so its shard gets most tries; what
#: settings or a renderer's contract break, breaks again.
PATIENCE: dict[str, Patience] = {
    "settings": Patience(1, Decision.STOP),
    "storage": Patience(2, Decision.STOP),
    "contract": Patience(1, Decision.PARK),
    "bug": Patience(2, Decision.PARK),
    "memory": Patience(2, Decision.PARK),
    "lost": Patience(4, Decision.PARK),
    "stuck": Patience(2, Decision.PARK),
}
#: With so many shards parked and not one done, the trouble is not the shards'.
HOPELESS_PARKED = 3


def decide(failures: Sequence[ShardFailure], parked: int, done: int) -> Decision:
    """What becomes of a shard after its failures so far (the last one is new).

    `parked` counts the other shards given up in this run, `done` those finished.
    """
    last = failures[-1]
    patience = PATIENCE[last.kind]
    if Counter(failure.kind for failure in failures)[last.kind] < patience.tries:
        return Decision.RETRY
    if patience.then is Decision.PARK and done == 0 and parked + 1 >= HOPELESS_PARKED:
        return Decision.STOP
    return patience.then


@dataclass
class Backlog:
    """The shards of one run: waiting, done or parked. Changes only by its methods; knows nothing of workers."""

    queue: deque[int]
    failures: dict[int, list[ShardFailure]] = field(default_factory=lambda: defaultdict(list))
    parked: dict[int, ShardFailure] = field(default_factory=dict)
    done: int = 0
    stopped_by: ShardFailure | None = None
    told_to_end: bool = False  # from outside: what is in hand may be finished

    @classmethod
    def of(cls, shards: Iterable[int]) -> "Backlog":
        """All shards waiting, in order."""
        return cls(deque(shards))

    def take(self) -> int | None:
        """The next shard to make, None when none waits or the run is stopped."""
        return self.queue.popleft() if self.waiting else None

    @property
    def waiting(self) -> int:
        """How many shards wait to be made: none, in a run that is stopped."""
        return 0 if self.stopped_by or self.told_to_end else len(self.queue)

    def succeed(self) -> None:
        """Note a shard that is done."""
        self.done += 1

    def drop(self, shard: int) -> None:
        """A shard was given back, through no fault of its own: it is the next."""
        self.queue.appendleft(shard)

    def fail(self, failure: ShardFailure) -> Decision:
        """Note a failure and decide; a shard to retry goes to the end of the queue, behind those not yet tried."""
        history = self.failures[failure.shard]
        history.append(failure)
        decision = decide(history, len(self.parked), self.done)
        if decision is Decision.RETRY:
            self.queue.append(failure.shard)
        elif decision is Decision.PARK:
            self.parked[failure.shard] = failure
        else:
            self.stopped_by = failure
        return decision
