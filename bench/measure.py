"""The form of a measurement. This module does not know what is measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measurement:
    """One line of the table."""

    what: str
    value: float
    unit: str
    bar: float | None = None  # what the project promises: at least this (at most, with `at_most`)
    at_most: bool = False
    note: str = ""
    detail: dict[str, float] = field(default_factory=dict)  # figures behind this one: kept, not printed

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def paired_ratio(first: Callable[[], object], second: Callable[[], object], rounds: int) -> float:
    """The median over rounds of seconds(first) / seconds(second), taken alternately, after one round of warming up."""
    first(), second()
    ratios = sorted(seconds(first) / seconds(second) for _ in range(rounds))
    return ratios[len(ratios) // 2]
