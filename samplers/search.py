"""The search for identities, block by block: draw candidates, refuse, keep, foresee.

Blocks of candidates are compared with everybody kept and with each other in tiles, by many hands; a cosine within
rounding of the limit is redone in float64, so block sizes, hands and devices change nothing. This module does not know
what its result is for.

Shapes: I identities kept, C candidates in a block, D dimensions.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from samplers.errors import SaturationError
from samplers.hands import Hands, Held
from samplers.pairs import BINS, TILE, passes
from samplers.prior import Candidates, Prior
from samplers.saturation import Forecast, Tally, forecast, roomier_limit
from samplers.sphere import product
from samplers.tile_torch import pairs_too_close
from samplers.wanted import Wanted, quotas

#: The search gives up after this many candidates in a row were all refused.
BARREN_CANDIDATES = 20_000
_FIRST_BLOCK = 256  # candidates; blocks double up to the largest
#: The same for any number of hands, since a search looks where it stands after every block.
_LARGEST_BLOCK = 16 * TILE
_GROUP = 4 * TILE  # identities handed to all hands at once
_HOPEFUL = 0.7  # a forecast below this share of what is wanted, twice in a row, ends the search early
_FORECAST_EVERY = 4096  # candidates, at least, between two forecasts
_FORECAST_SHARE = 0.05  # and this share of those looked at
_FORECAST_FROM = 0.02  # of the budget: before that, too little is known
_SAMPLE = 4096  # candidates whose pairs advise on another limit


@dataclass
class Search:
    """A search under way; the only thing here that changes."""

    prior: Prior
    seed: int
    dimension: int
    wanted: Wanted
    hands: Hands
    free: list[int] = field(init=False)  # places left, by group
    kept: list[Candidates] = field(init=False, default_factory=list)
    numbers: list[Tensor] = field(init=False, default_factory=list)
    held: list[Held] = field(init=False, default_factory=list)
    tail: list[Tensor] = field(init=False, default_factory=list)  # kept, not yet with the hands
    tallies: list[Tally] = field(init=False, default_factory=list)
    next: int = 0  # number of the first candidate not looked at
    looked: int = 0  # candidates looked at: those of full groups are passed over
    count: int = 0
    last_success: int = 0
    block: int = _FIRST_BLOCK
    doubts: int = 0

    def __post_init__(self) -> None:
        self.free = quotas(self.prior, self.wanted.count)

    @property
    def open(self) -> bool:
        """Whether people are still wanted."""
        return any(self.free)

    def found(self) -> tuple[Candidates, Tensor]:
        """Everybody kept, in the order of their candidates, and the numbers of these: int64 (I,)."""
        return Candidates.joined(self.kept), torch.cat(self.numbers)

    def look(self) -> None:
        """Take a block of candidates, and keep whom the rule allows."""
        numbers = self._next_numbers()
        if len(numbers) == 0:
            raise SaturationError(self._words_of_the_end())
        candidates = self._drawn(numbers)
        rows = (~self._refused(candidates.vectors)).nonzero()[:, 0]
        fresh = rows[self._sift(candidates.select(rows))]
        self._keep(candidates.select(fresh), numbers[fresh])
        if len(fresh):
            self.last_success = self.looked + int(fresh[-1]) + 1
        self.looked += len(numbers)
        self.block = min(2 * self.block, _LARGEST_BLOCK)
        self._foresee()

    def _drawn(self, numbers: Tensor) -> Candidates:
        """Candidates by their numbers, tile by tile: drawing takes much more memory than what is drawn."""
        parts = torch.split(numbers, TILE)
        return Candidates.joined([self.prior.draw(self.seed, part, self.dimension) for part in parts])

    def _next_numbers(self) -> Tensor:
        """The next candidates of groups that still want people."""
        size = min(self.block, _FIRST_BLOCK + 2 * sum(self.free), self.wanted.budget - self.looked)
        ends = [end for end, free in zip(self.prior.ends, self.free, strict=True) if free and end is not None]
        end = min(ends, default=self.next + 2**40)
        found = torch.zeros(0, dtype=torch.int64)
        while len(found) < size:
            last = min(self.next + size - len(found), end)
            if last <= self.next:
                break
            number = torch.arange(self.next, last)
            wanting = torch.tensor(self.free)[self.prior.group_of(number)] > 0
            found, self.next = torch.cat((found, number[wanting])), last
        return found

    def _refused(self, candidates: Tensor) -> Tensor:
        """Which candidates (C, D) are too close to somebody kept: bool (C,)."""
        known = (*self.held, *(self.hands.hold(torch.cat(self.tail)) for _ in range(bool(self.tail))))
        return self._too_close(candidates, known, TILE)

    def _too_close(self, candidates: Tensor, known: tuple[Held, ...], rows: int) -> Tensor:
        """Which candidates (C, D) are too close to any of the known, `rows` of them a task: bool (C,)."""
        if not known or self.wanted.anybody or len(candidates) == 0:
            return torch.zeros(len(candidates), dtype=torch.bool)
        tasks = ((part, known, self.wanted.max_cosine) for part in torch.split(candidates, rows))
        return torch.cat(list(self.hands.run(_refuse, tasks)))

    def _sift(self, candidates: Candidates) -> list[int]:
        """The rule among candidates that nobody kept refuses: positions kept, in order.

        Tile by tile, so that a crowd of candidates that all refuse each other stays small.
        """
        kept: list[int] = []
        free = list(self.free)
        for first in range(0, len(candidates.vectors), TILE):
            tile = candidates.vectors[first : first + TILE]
            fresh = (self.hands.hold(candidates.vectors[kept]),) if kept else ()
            refused = self._too_close(tile, fresh, TILE // 4).tolist()
            rivals = {} if self.wanted.anybody else _rivals(tile, self.wanted.max_cosine)
            here: set[int] = set()
            for position, group in enumerate(candidates.group[first : first + TILE].tolist()):
                if free[group] and not refused[position] and here.isdisjoint(rivals.get(position, ())):
                    here.add(position)
                    free[group] -= 1
            kept += [first + position for position in sorted(here)]
        return kept

    def _keep(self, people: Candidates, numbers: Tensor) -> None:
        self.kept.append(people)
        self.numbers.append(numbers)
        self.count += len(numbers)
        for group, taken in enumerate(people.group.bincount(minlength=len(self.free)).tolist()):
            self.free[group] -= taken
        if len(people.vectors):
            self.tail.append(people.vectors)
        if sum(map(len, self.tail)) >= _GROUP:
            self.held.append(self.hands.hold(torch.cat(self.tail)))
            self.tail = []

    def _foresee(self) -> None:
        """Raise SaturationError where going on is of no use."""
        if not self.open:
            return
        if self.looked - self.last_success >= BARREN_CANDIDATES:
            raise SaturationError(self._words(f"after {self.looked} candidates, the last {BARREN_CANDIDATES} refused"))
        if self.looked >= self.wanted.budget:
            raise SaturationError(self._words(f"after {self.looked} candidates"))
        last = self.tallies[-1].candidates if self.tallies else -_FORECAST_EVERY
        if self.looked - last < max(_FORECAST_EVERY, self.looked * _FORECAST_SHARE):
            return
        self.tallies.append(Tally(self.looked, self.count))
        early = self.looked < _FORECAST_FROM * self.wanted.budget
        law = None if early else forecast(self.tallies)
        if law is None or law.kept(self.wanted.budget) >= _HOPEFUL * self.wanted.count:
            self.doubts = 0
            return
        self.doubts += 1
        if self.doubts > 1:
            raise SaturationError(self._words(f"foreseen after {self.looked} candidates", law))

    def _words_of_the_end(self) -> str:
        """That a prior has no more candidates for some group."""
        states = zip(self.prior.groups, self.free, self.prior.ends, strict=True)
        ended = [group.label for group, free, end in states if free and end is not None and end <= self.next]
        whose = f" for the group {', '.join(ended)}" if any(ended) else ""
        other = "" if self.wanted.max_cosine >= 1 else ", or raise identities.separation.max_cosine"
        return (
            f"the prior has no more candidates{whose}: of the first {self.next}, {self.count} fit at max_cosine "
            f"{self.wanted.max_cosine:g}, and {self.wanted.count} identities are asked for; ask for fewer{other}"
        )

    def _words(self, when: str, law: Forecast | None = None) -> str:
        """How many fit, and what to do."""
        holds = float(self.count) if law is None else law.kept(self.wanted.budget)
        number = f"{self.count}" if law is None else f"about {float(f'{holds:.2g}'):.0f}"
        hungry = [group.label for group, free in zip(self.prior.groups, self.free, strict=True) if free and group.label]
        whom = f" (groups {', '.join(hungry)} are not full)" if hungry else ""
        return (
            f"at max_cosine {self.wanted.max_cosine:g} in {self.dimension} dimensions this prior holds {number} "
            f"of the {self.wanted.count} identities asked for{whom}, within {self.wanted.budget} candidates ({when}); "
            f"ask for fewer, or {self._other_limit(holds)}"
        )

    def _other_limit(self, holds: float) -> str:
        total = _SAMPLE if self.prior.size is None else min(_SAMPLE, self.prior.size)
        sample = self.prior.draw(self.seed, torch.arange(total), self.dimension).vectors
        counts = torch.zeros(BINS, dtype=torch.int64)
        for i, block in enumerate(torch.split(sample, TILE)):
            for j, other in enumerate(torch.split(sample, TILE)[i:]):
                passes(sample).count_cosines(block, other, product(block, other), j == 0, counts)
        limit = roomier_limit(counts, self.wanted.max_cosine, max(holds, 1.0), self.wanted.count)
        return "raise identities.separation.max_cosine" + ("" if limit is None else f" to about {limit:g}")


def _refuse(candidates: Tensor, known: Sequence[Tensor], limit: float) -> Tensor:
    """Which candidates (C, D) are too close to any of the known."""
    candidates = candidates.to(known[0].device)
    refused = torch.zeros(len(candidates), dtype=torch.bool, device=candidates.device)
    left = torch.arange(len(candidates), device=candidates.device)
    for block in _tiles(known):
        rows = candidates[left]
        marks = torch.zeros(len(left), dtype=torch.bool, device=candidates.device)
        passes(rows).mark_too_close(rows, block, product(rows, block), limit, marks)
        if bool(marks.any()):
            refused[left[marks]] = True
            left = left[~marks]
        if len(left) == 0:
            break
    return refused.cpu()


def _tiles(blocks: Sequence[Tensor]) -> Iterator[Tensor]:
    for block in blocks:
        yield from torch.split(block, TILE)


def _rivals(tile: Tensor, limit: float) -> dict[int, list[int]]:
    """For candidates (C, D) of one tile, the earlier ones that each is too close to."""
    cosines = product(tile, tile)
    passes(cosines).hide_lower(cosines)
    found: dict[int, list[int]] = defaultdict(list)
    for earlier, later in pairs_too_close(tile, tile, cosines, limit).tolist():
        found[later].append(earlier)
    return found
