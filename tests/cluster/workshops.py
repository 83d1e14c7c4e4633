"""Workshops in which something goes wrong: their workers hang, or die. They make no pictures."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from bench.scale import IdleWorkshop
from synth.workshop import Outcome, WorkshopSpec

BAD = 2  # the shard with which it goes wrong


class _Marked(IdleWorkshop):
    """Remembers beside the shards how often the bad one was begun."""

    def __init__(self, spec: WorkshopSpec, beat: Callable[[], None]) -> None:
        super().__init__(spec, beat)
        self._marks = Path(spec.url) / "marks"

    def begin(self, shard: int) -> list[Outcome]:
        if shard == BAD:
            with self._marks.open("a") as marks:
                marks.write("begun\n")
            self.go_wrong(len(self._marks.read_text().splitlines()))
        return super().begin(shard)

    def go_wrong(self, turn: int) -> None:
        raise NotImplementedError


class HangingAtFirst(_Marked):
    """Never comes further with the bad shard, until another worker tries."""

    def go_wrong(self, turn: int) -> None:
        if turn == 1:
            time.sleep(3600)


class Deadly(_Marked):
    """Dies of the bad shard, every time."""

    def go_wrong(self, turn: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Meeting(IdleWorkshop):
    """But for the first shard, nothing is finished before two workers have met."""

    def begin(self, shard: int) -> list[Outcome]:
        with self._place.open("a") as place:
            place.write(f"{os.getpid()}\n")
        while shard > 0 and len(set(self._place.read_text().split())) < 2:
            time.sleep(0.05)
        return super().begin(shard)

    @property
    def _place(self) -> Path:
        return Path(self._spec.url) / "place"
