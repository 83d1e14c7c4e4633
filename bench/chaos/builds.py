"""Builds that are disturbed, and judged: each must end with the bytes of an undisturbed one, and leave nothing behind.

This module does not know what disturbs them.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jobs.orphans import find_orphans, remove_orphans
from synth.storage import open_storage, sha256

#: Pictures that cost little, ten of each person, in shards small enough to be lost often.
RECIPE: Final = ("barcode", *("--set", "output.shard_size=40"), *("--set", "renderer.size=112"))
_BUILD_LIMIT_S: Final = 900.0
_MEAN_PAUSE_S: Final = 4.0  # between two kills
_LOOK_S: Final = 0.05
TOO_LONG: Final = -1


@dataclass
class Toll:
    """What was done to builds, and what came of it."""

    builds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    again: int = 0  # builds that gave up, and were done by the same command once more
    wrong: list[str] = field(default_factory=list)  # builds that ended otherwise than they should, in words
    orphans: int = 0  # found after builds
    left: int = 0  # of them after gc
    seconds: list[float] = field(default_factory=list)  # of each build

    @property
    def killed(self) -> int:
        """All kills."""
        return self.kills.total()

    @property
    def story(self) -> str:
        """How far it is, in words."""
        return f"{self.seconds[-1]:.0f} s; {self.killed} killed so far; wrong: {'; '.join(self.wrong) or 'nothing'}"


def build_words(people: int, url: str, *more: str) -> list[str]:
    """The command of a build."""
    return [sys.executable, "-m", "jobs", "build", *RECIPE, "--set", f"identities.count={people}", "--out", url, *more]


def undisturbed_bytes(people: int, folder: Path) -> dict[str, str]:
    """What a build gives when nothing happens."""
    subprocess.run(build_words(people, str(folder), "--workers", "0"), check=True, stdout=subprocess.DEVNULL)
    return bytes_at(str(folder))


def bytes_at(url: str) -> dict[str, str]:
    """sha256 of everything that a plan decides: all but the commits, which hold timings."""
    storage = open_storage(url)
    names = [stored.name for stored in storage.list("")]
    decided = (name for name in names if not (name.startswith("shards/") and name.endswith(".json")))
    return {name: sha256(storage.read(name)) for name in decided}


Kill = Callable[[], bool]  # whether there was anything to kill


@dataclass
class Builder:
    """The driver of a build, started again whenever it was killed."""

    words: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.words, stdout=log, stderr=log, env={**os.environ, **self.environment})

    def kill(self) -> bool:
        """SIGKILL, and start again."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()
        return True

    def ended(self, limit_s: float) -> int:
        """Its exit code, once it has ended; TOO_LONG where it does not in time, and is killed."""
        assert self.process is not None
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return TOO_LONG


def disturbed(builder: Builder, kills: Mapping[str, Kill], chance: random.Random, toll: Toll, most: int) -> int:
    """Run a build to its end, and kill now and then; returns its exit code, or TOO_LONG."""
    began = time.monotonic()
    builder.start()
    next_s = began + chance.expovariate(1 / _MEAN_PAUSE_S)
    done = 0
    while builder.process is not None and builder.process.poll() is None:
        now = time.monotonic()
        if now - began > _BUILD_LIMIT_S:
            break
        if now >= next_s and done < most:
            what = chance.choice(sorted(kills))
            if kills[what]():
                toll.kills[what] += 1
                done += 1
            next_s = now + chance.expovariate(1 / _MEAN_PAUSE_S)
        time.sleep(_LOOK_S)
    code = builder.ended(0)
    if code not in (0, TOO_LONG):  # a shard was lost too often: what a user does then is to build again
        toll.again += 1
        builder.start()
        code = builder.ended(_BUILD_LIMIT_S)
    toll.seconds.append(time.monotonic() - began)
    return code


def judge(url: str, code: int, undisturbed: Mapping[str, str], toll: Toll) -> None:
    """Hold what a build left against the undisturbed one's bytes, and tidy up."""
    toll.builds += 1
    storage = open_storage(url)
    toll.orphans += len(find_orphans(storage))
    remove_orphans(storage)
    toll.left += len(find_orphans(storage))
    found = bytes_at(url)
    if code != 0:
        toll.wrong.append(f"{url}: ended with {code}")
    elif found != undisturbed:
        names = sorted(name for name in {*found, *undisturbed} if found.get(name) != undisturbed.get(name))
        toll.wrong.append(f"{url}: differs in {', '.join(names[:5])}")
