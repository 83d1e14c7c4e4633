"""The same bits from any batch and any number of threads, in separate processes, at sizes that leave odd ends."""

import hashlib
import subprocess
import sys

import pytest

PICTURES = 12

_SCRIPT = """
import hashlib, sys, torch
threads, batch, size, pictures = map(int, sys.argv[1:])
torch.set_num_threads(threads)
from bench.head import people, portraits
from synth.renderers.head import HeadRenderer
renderer, views = HeadRenderer(size), portraits(people(pictures), {})
digest = hashlib.sha256()
for start in range(0, pictures, batch):
    some = views.select(slice(start, start + batch))
    digest.update(renderer.render(some).numpy().tobytes())
digest.update(renderer.normals(views.select(slice(0, 2))).numpy().tobytes())
print(digest.hexdigest())
"""


def digest(threads: int, batch: int, size: int, pictures: int) -> str:
    """What a fresh process renders."""
    arguments = [sys.executable, "-c", _SCRIPT, *map(str, (threads, batch, size, pictures))]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("size", [99, 112, 224])
def test_bits_do_not_depend_on_batch_or_threads(size: int) -> None:
    pictures = PICTURES if size == 99 else 5
    found = {digest(threads, batch, size, pictures) for threads, batch in ((1, pictures), (2, 1), (2, 5))}
    assert len(found) == 1
    assert len(found.pop()) == hashlib.sha256().digest_size * 2
