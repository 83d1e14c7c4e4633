"""Separation: which candidates become identities.

The greedy rule, exact: a candidate is kept if and only if its cosine to every identity kept before it is at most the
limit, and its group still wants people. A cosine within rounding of the limit is redone in float64, so the verdict does
not depend on block sizes, hands or device. The search is bounded: it counts what it accepts, foresees where that leads,
and ends with a forecast when the sphere is full. This module does not know where candidates come from.

Shapes: I identities kept, C candidates in a block, D dimensions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from samplers.bounds import least_max_cosine
from samplers.errors import RecipeError, SaturationError
from samplers.hands import Hands, Held
from samplers.pairs import BINS, TILE, passes
from samplers.priors import Candidates, Prior
from samplers.saturation import Forecast, Tally, forecast, roomier_limit
from samplers.sphere import product
from samplers.tile_torch import pairs_too_close

#: The search gives up after this many candidates in a row were all refused.
BARREN_CANDIDATES = 20_000
_FIRST_BLOCK = 256  # candidates; blocks double up to some tiles for every hand
_TILES_PER_HAND = 2
_GROUP = 4 * TILE  # identities handed to all hands at once
_HOPEFUL = 0.7  # a forecast below this share of what is wanted, twice in a row, ends the search early
_FORECAST_EVERY = 4096  # candidates, at least, between two forecasts
_FORECAST_SHARE = 0.05  # and this share of those looked at
_FORECAST_FROM = 0.02  # of the budget: before that, too little is known
_SAMPLE = 4096  # candidates whose pairs advise on another limit


@dataclass(frozen=True)
class Wanted:
    """How many identities, how far apart, and how long to look for them."""

    count: int
    max_cosine: float
    candidates_per_identity: float = 50.0

    @property
    def budget(self) -> int:
        """Candidates looked at, at most."""
        return int(self.candidates_per_identity * max(self.count, TILE))


@dataclass(frozen=True)
class Separated:
    """The kept, in the order of their candidates."""

    people: Candidates
    candidate: Tensor  # int64 (I,), the number of each one's candidate: the whole course of the search

    @property
    def drawn(self) -> int:
        """Candidates looked at until the last was found."""
        return int(self.candidate[-1]) + 1 if len(self.candidate) else 0


def quotas(prior: Prior, count: int) -> list[int]:
    """How many identities each group of the prior gets: its share, rounded so that all add up (largest remainder)."""
    exact = [group.share * count for group in prior.groups]
    floors = [int(share + 1e-9) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda g: (floors[g] - exact[g], g))
    for g in by_remainder[: count - sum(floors)]:
        floors[g] += 1
    return floors


def refuse_impossible(wanted: Wanted, dimension: int) -> None:
    """Raises RecipeError where no arrangement at all keeps the limit."""
    bound, name = least_max_cosine(wanted.count, dimension)
    if wanted.max_cosine < bound - 1e-9:
        raise RecipeError(
            f"no {wanted.count} vectors in {dimension} dimensions keep all cosines at or below {wanted.max_cosine:g}: "
            f"by the {name} bound the largest is at least {bound:.4f}; ask for fewer, or raise "
            "identities.separation.max_cosine"
        )


def separate(
    prior: Prior,
    seed: int,
    dimension: int,
    wanted: Wanted,
    hands: Hands,
    tell: Callable[[Tally], None] = lambda tally: None,
) -> Separated:
    """Keep the first candidates that the greedy rule allows, as many as are wanted of each group.

    `tell` hears after every block how far the search is.
    Raises RecipeError where bounds say that it cannot be, SaturationError where the prior does not hold so many: as
    soon as that is foreseen, else after a bounded number of candidates; the message says how many fit.
    """
    refuse_impossible(wanted, dimension)
    search = _Search(prior, seed, dimension, wanted, hands)
    while search.open:
        search.look()
        tell(Tally(search.looked, search.count))
    return search.result()


@dataclass(frozen=True)
class Outlook:
    """What the first candidates tell of a search."""

    candidates: int  # looked at
    kept: int
    needed: float | None  # candidates that all who are wanted should take; None where too few were refused to tell
    fitting: float  # how many should fit in the budget, at most as many as are wanted


def look_ahead(prior: Prior, seed: int, dimension: int, wanted: Wanted, hands: Hands, candidates: int) -> Outlook:
    """Search among the first candidates only. Raises as `separate` does, where that much already tells."""
    refuse_impossible(wanted, dimension)
    search = _Search(prior, seed, dimension, wanted, hands)
    while search.open and search.looked < candidates:
        search.look()
    law = forecast([*search.tallies, Tally(search.looked, search.count)]) if search.open else None
    if law is None:
        return Outlook(search.looked, search.count, None, float(wanted.count))
    return Outlook(
        search.looked, search.count, law.candidates(wanted.count), min(law.kept(wanted.budget), wanted.count)
    )


@dataclass
class _Search:
    """A search under way."""

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

    def result(self) -> Separated:
        """Everybody kept."""
        parts = [(people.vectors, people.norm, people.group) for people in self.kept]
        vectors, norm, group = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return Separated(Candidates(vectors, norm, group), torch.cat(self.numbers))

    def look(self) -> None:
        """Take a block of candidates, and keep whom the rule allows."""
        numbers = self._next_numbers()
        if len(numbers) == 0:
            raise SaturationError(self._words("the prior has no more candidates"))
        candidates = self.prior.draw(self.seed, numbers, self.dimension)
        rows = (~self._refused(candidates.vectors)).nonzero()[:, 0]
        fresh = rows[self._sift(candidates.select(rows))]
        self._keep(candidates.select(fresh), numbers[fresh])
        if len(fresh):
            self.last_success = self.looked + int(fresh[-1]) + 1
        self.looked += len(numbers)
        self.block = min(2 * self.block, max(_GROUP, self.hands.width * _TILES_PER_HAND * TILE))
        self._foresee()

    def _next_numbers(self) -> Tensor:
        """The next candidates of groups that still want people."""
        size = min(self.block, _FIRST_BLOCK + 2 * sum(self.free))
        ends = [end for end, free in zip(self.prior.ends, self.free, strict=True) if free and end is not None]
        end = min(ends, default=self.next + 2**40)
        found = torch.zeros(0, dtype=torch.int64)
        while len(found) < size:
            last = min(self.next + size, end)
            if last <= self.next:
                break
            number = torch.arange(self.next, last)
            wanting = torch.tensor(self.free)[self.prior.group_of(number)] > 0
            found, self.next = torch.cat((found, number[wanting])), last
        return found

    def _refused(self, candidates: Tensor) -> Tensor:
        """Which candidates (C, D) are too close to somebody kept: bool (C,)."""
        if self.count == 0:
            return torch.zeros(len(candidates), dtype=torch.bool)
        known = (*self.held, *(self.hands.hold(torch.cat(self.tail)) for _ in range(bool(self.tail))))
        tasks = ((block, known, self.wanted.max_cosine) for block in torch.split(candidates, TILE))
        return torch.cat(list(self.hands.run(_refuse, tasks)))

    def _sift(self, candidates: Candidates) -> list[int]:
        """The rule among candidates that nobody kept refuses: positions kept, in order."""
        blocks = [self.hands.hold(block) for block in torch.split(candidates.vectors, TILE)]
        tasks = (
            (i * TILE, blocks[i], j * TILE, blocks[j], self.wanted.max_cosine)
            for i in range(len(blocks))
            for j in range(i, len(blocks))
        )
        rivals: dict[int, list[int]] = defaultdict(list)
        for pairs in self.hands.run(_rivals, tasks):
            for earlier, later in pairs.tolist():
                rivals[later].append(earlier)
        kept: set[int] = set()
        free = list(self.free)
        for position, group in enumerate(candidates.group.tolist()):
            if free[group] and kept.isdisjoint(rivals.get(position, ())):
                kept.add(position)
                free[group] -= 1
        return sorted(kept)

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
        if self.looked - self.last_success >= BARREN_CANDIDATES or self.looked >= self.wanted.budget:
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


def _rivals(first: int, rows: Tensor, second: int, columns: Tensor, limit: float) -> Any:
    """Pairs (earlier, later) of candidates too close to each other: int64 (pairs, 2)."""
    tile = product(rows, columns)
    if first == second:
        passes(tile).hide_lower(tile)
    return pairs_too_close(rows, columns, tile, limit).cpu() + torch.tensor([first, second])
