"""The same bits from any batch and any number of threads, in separate processes, at sizes that leave odd ends."""

import subprocess
import sys

_SCRIPT = """
import hashlib, sys, torch
torch.set_num_threads(int(sys.argv[1]))
from bench.head import people, portraits
from synth.renderers.head import HeadRenderer
for size, pictures in ((99, 12), (112, 5), (224, 5)):
    renderer, views = HeadRenderer(size), portraits(people(pictures), {})
    for batch in (1, 5, 12):
        digest = hashlib.sha256()
        for start in range(0, pictures, batch):
            digest.update(renderer.render(views.select(slice(start, start + batch))).numpy().tobytes())
        digest.update(renderer.normals(views.select(slice(0, 2))).numpy().tobytes())
        print(size, digest.hexdigest())
"""


def digests(threads: int) -> list[str]:
    """What a fresh process renders: one line for each size and batch."""
    arguments = [sys.executable, "-c", _SCRIPT, str(threads)]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()


def test_bits_do_not_depend_on_batch_or_threads() -> None:
    lines = digests(1) + digests(2)
    assert len(lines) == 18
    assert len(set(lines)) == 3  # one for each size
