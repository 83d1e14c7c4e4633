"""Builds by real worker processes, as they are typed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.processes import LIMIT_S

#: Enough work that workers are killed in the middle of it, in shards small enough to be lost several times.
RECIPE = ("barcode", "--set", "identities.count=150", "--set", "output.shard_size=40", "--set", "renderer.size=112")
SHARDS = 38


def command(folder: Path, workers: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "jobs", "build", *RECIPE, "--out", str(folder), "--workers", str(workers), *more]


def run(words: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, text=True, env=variables, check=False, timeout=LIMIT_S)
