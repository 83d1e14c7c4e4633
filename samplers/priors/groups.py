"""Several priors side by side, each with a label and a share. This module does not know any of them.

Shapes: n candidates, D dimensions, G groups, P turns of a pattern.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from samplers.prior import Candidates, Group, Prior

_LONGEST_PERIOD = 10_000  # candidates after which the pattern of groups begins anew


@dataclass(frozen=True)
class Groups:
    """Several priors side by side, each with a label and a share of the candidates.

    Whose turn it is follows a fixed pattern in which every beginning holds each group within one of its share
    (`_whose_turn`). Shares of up to four decimals are kept exactly; others are rounded to the nearest fractions with a
    common denominator of at most 10,000. A group's own candidates are 0, 1, 2, ... of its prior, without gaps, drawn
    for the purpose "candidate/LABEL". If a member ends, the whole ends where that member would be asked for more.

    Raises ValueError for shares that do not add up to 1, labels that are no names or not unique, groups inside groups,
    and members of different dimensions.
    """

    members: tuple[tuple[Group, Prior], ...]

    def __post_init__(self) -> None:
        labels = [group.label for group, _ in self.members]
        for group, prior in self.members:
            if not group.label or "/" in group.label or labels.count(group.label) > 1:
                raise ValueError(f"{group.label!r} is no label for a group: each needs its own, without a slash")
            if not 0 < group.share <= 1:
                raise ValueError(f"the share of group {group.label!r} lies between 0 and 1, not at {group.share:g}")
            if isinstance(prior, Groups):
                raise ValueError(f"group {group.label!r} is itself made of groups; name them side by side")
        total = math.fsum(group.share for group, _ in self.members)
        if abs(total - 1) > 5e-6:
            raise ValueError(f"the shares of the groups add up to {total:g}, not to 1")
        if len(self._dimensions) > 1:
            raise ValueError(f"the groups' vectors have different lengths: {sorted(self._dimensions)} numbers")
        _ = self._turns  # a share too small is found here

    @property
    def _dimensions(self) -> set[int]:
        return {prior.dimension for _, prior in self.members if prior.dimension is not None}

    @property
    def size(self) -> int | None:
        """Where the first member would be asked for more than it has; None if none ends."""
        return min((end for end in self.ends if end is not None), default=None)

    @property
    def ends(self) -> tuple[int | None, ...]:
        """Where each member would be asked for more than it has."""
        sizes = [prior.size for _, prior in self.members]
        return tuple(None if size is None else self._turns.place(g, size) for g, size in enumerate(sizes))

    @property
    def dimension(self) -> int | None:
        """That of the members that have one."""
        return next(iter(self._dimensions), None)

    @property
    def groups(self) -> tuple[Group, ...]:
        """In the members' order."""
        return tuple(group for group, _ in self.members)

    def group_of(self, candidate: Tensor) -> Tensor:
        """The group of the candidates (n,): int64 (n,). Nothing is drawn."""
        return self._turns.group[candidate % len(self._turns.group)]

    def draw(self, seed: int, candidate: Tensor, dimension: int, *, purpose: str = "candidate") -> Candidates:
        """The candidates (n,) (see `Prior.draw`)."""
        group, own = self.group_of(candidate), self._turns.earlier(candidate)
        vectors, norm = torch.empty(len(candidate), dimension), torch.empty(len(candidate))
        for place, (member, prior) in enumerate(self.members):
            rows = (group == place).nonzero()[:, 0]
            drawn = prior.draw(seed, own[rows], dimension, purpose=f"{purpose}/{member.label}")
            vectors[rows], norm[rows] = drawn.vectors, drawn.norm
        return Candidates(vectors, norm, group)

    @cached_property
    def _turns(self) -> "_Turns":
        count = _turns_in_a_period(self.groups)
        order = _whose_turn(count)
        seen = [0] * len(count)
        before = []
        for group in order:
            before.append(seen[group])
            seen[group] += 1
        return _Turns(torch.tensor(order), torch.tensor(before), torch.tensor(count))


@dataclass(frozen=True)
class _Turns:
    """A pattern of P turns of G groups, repeated without end."""

    group: Tensor  # int64 (P,), whose turn it is
    before: Tensor  # int64 (P,), turns that this group has had before, in this pattern
    count: Tensor  # int64 (G,), turns of each group in one pattern

    def earlier(self, candidate: Tensor) -> Tensor:
        """How many earlier candidates share the group of each (n,): int64 (n,)."""
        slot = candidate % len(self.group)
        return candidate // len(self.group) * self.count[self.group[slot]] + self.before[slot]

    def place(self, group: int, number: int) -> int:
        """The candidate that is this number, from 0, of its group."""
        patterns, rest = divmod(number, int(self.count[group]))
        return patterns * len(self.group) + int((self.group == group).nonzero()[rest, 0])


def _turns_in_a_period(groups: tuple[Group, ...]) -> list[int]:
    """Whole numbers in the proportion of the shares, as nearly as a sum of at most 10,000 allows, all above zero."""
    shares = np.array([group.share for group in groups])
    shares /= shares.sum()
    period = np.arange(1, _LONGEST_PERIOD + 1)[:, None]
    exact = period * shares  # (P, G)
    turns = np.floor(exact + 1e-9)
    rank = np.argsort(np.argsort(turns - exact, axis=1, kind="stable"), axis=1)
    turns += rank < period - turns.sum(1, keepdims=True)  # the largest remainders are rounded up
    error = np.maximum(np.abs(turns / period - shares).max(1), 1e-12)  # of equally good ones, the shortest
    error[turns.min(1) == 0] = math.inf
    if not np.isfinite(error).any():
        least = min(groups, key=lambda group: group.share)
        raise ValueError(f"the share of group {least.label!r}, {least.share:g}, is below {1 / _LONGEST_PERIOD:g}")
    return [int(count) for count in turns[error.argmin()]]


def _whose_turn(count: list[int]) -> list[int]:
    """An order in which each group has its count of turns, and in every beginning its part of them, within one.

    Tijdeman, "The chairman assignment problem" (1980): of those far enough behind, the turn goes to the one who can
    wait least. The error stays within 1 - 1 / (2 G - 2).
    """
    period, slack = sum(count), 2 * len(count) - 2
    if len(count) == 1:
        return [0] * period
    had, order = [0] * len(count), []
    for slot in range(1, period + 1):
        behind = [g for g in range(len(count)) if slack * (count[g] * slot - period * had[g]) >= period]
        one = min(behind, key=lambda g: (slack * (had[g] + 1) - 1) / count[g])
        had[one] += 1
        order.append(one)
    return order
