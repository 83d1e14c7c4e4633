"""Breaking things on purpose: builds that are disturbed in every way must end as if nothing had happened.

Sizes: `small` is a few minutes, `full` about an hour. Figures are counts: kills, faults, builds, and what went wrong.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.chaos.buckets import trouble_about
from bench.chaos.builds import Toll
from bench.chaos.local import kill_about
from bench.measure import Measurement


@dataclass(frozen=True)
class Size:
    """How much is broken."""

    kills: int
    faults: int
    kills_beside_faults: int
    people: int = 240  # in each build


SIZES = {"small": Size(20, 150, 3), "full": Size(200, 1000, 20), "large": Size(2000, 10_000, 200)}


def measure(size: str | Size = "small", seed: int = 1, place: Path = Path("out/chaos")) -> list[Measurement]:
    """What was done to builds, and what came of it."""
    chosen = SIZES[size] if isinstance(size, str) else size
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    shutil.rmtree(place, ignore_errors=True)
    for folder in ("kills", "faults"):
        (place / folder).mkdir(parents=True)
    killed = kill_about(place / "kills", chosen.people, chosen.kills, seed, say)
    faults = chosen.faults, chosen.kills_beside_faults
    troubled, trouble = trouble_about(place / "faults", chosen.people, *faults, seed, say)
    return [
        Measurement("kills", killed.killed, "", chosen.kills, note=_counted(killed.kills), detail=dict(killed.kills)),
        *_judged("kills", killed, seed),
        Measurement(
            "faults of the bucket",
            trouble.happened.total(),
            "",
            chosen.faults,
            note=f"of {trouble.requests} requests; beside them {_counted(troubled.kills)}",
            detail={fault.name.lower(): float(count) for fault, count in trouble.happened.items()},
        ),
        *_judged("faults", troubled, seed),
    ]


def _judged(what: str, toll: Toll, seed: int) -> Iterator[Measurement]:
    note = f"of {toll.builds}, seed {seed}; {toll.again} needed a second command; {'; '.join(toll.wrong)}".rstrip("; ")
    yield Measurement(f"{what}: builds that ended otherwise", len(toll.wrong), "", 0, True, note)
    note = f"{toll.orphans} before it"
    yield Measurement(f"{what}: orphans left after gc", toll.left, "", 0, True, note)
    longest = max(toll.seconds, default=0.0)
    yield Measurement(f"{what}: longest build", longest, "s", note=f"shortest {min(toll.seconds, default=0.0):.0f} s")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} of a {what}" for what, count in sorted(counts.items()))
