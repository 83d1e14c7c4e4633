"""Separation: which candidates become identities.

The greedy rule, exact: a candidate is kept if and only if its cosine to every identity kept before it is at most the
limit, and its group still wants people. The search is bounded: it counts what it accepts, foresees where that leads,
and ends with a forecast when the sphere is full. This module does not know where candidates come from, nor how they are
compared (`samplers.search`).

Shapes: I identities kept, D dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from samplers.hands import Hands
from samplers.prior import Candidates, Prior
from samplers.saturation import Tally, forecast
from samplers.search import Search
from samplers.wanted import Wanted, refuse_impossible


@dataclass(frozen=True)
class Separated:
    """The kept, in the order of their candidates."""

    people: Candidates
    candidate: Tensor  # int64 (I,), the number of each one's candidate: the whole course of the search

    @property
    def drawn(self) -> int:
        """Candidates looked at until the last was found."""
        return int(self.candidate[-1]) + 1 if len(self.candidate) else 0


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
    search = Search(prior, seed, dimension, wanted, hands)
    while search.open:
        search.look()
        tell(Tally(search.looked, search.count))
    return Separated(*search.found())


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
    search = Search(prior, seed, dimension, wanted, hands)
    while search.open and search.looked < candidates:
        search.look()
    if not search.open:
        return Outlook(search.last_success, search.count, None, float(wanted.count))
    law = forecast([*search.tallies, Tally(search.looked, search.count)])
    if law is None:
        return Outlook(search.looked, search.count, None, float(wanted.count))
    return Outlook(
        search.looked, search.count, law.candidates(wanted.count), min(law.kept(wanted.budget), wanted.count)
    )
