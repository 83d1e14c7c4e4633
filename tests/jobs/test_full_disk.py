"""A disk that is full from any write on: one clear line, nothing half-written, and with space again the same bytes."""

import errno
import os
from pathlib import Path

import pytest

from jobs.recipe import Recipe, load_recipe
from samplers.errors import StorageError
from tests.conftest import SMALL, build_here
from tests.files import digests

_REAL = os.fsync


class Disk:
    """Writes so many files, then is full."""

    def __init__(self, room: int | None = None) -> None:
        self.room, self.asked = room, 0

    def fsync(self, descriptor: int) -> None:
        self.asked += 1
        if self.room is not None and self.asked > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _REAL(descriptor)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Two shards of a dozen pictures."""
    few = {"identities.count": 6, "variations.views": 4, "output.shard_size": 12}
    return load_recipe("barcode", {**SMALL, **few})


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, str]]:
    """How often a build makes sure of what it wrote, and its bytes."""
    folder, disk = tmp_path_factory.mktemp("whole"), Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", disk.fsync)
        build_here(recipe, folder)
    return disk.asked, digests(folder)


@pytest.mark.parametrize("twelfth", range(12))
def test_a_disk_that_is_full_loses_nothing_but_time(
    recipe: Recipe, whole: tuple[int, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twelfth: int
) -> None:
    writes, undisturbed = whole
    for room in range(twelfth, writes, 12):
        folder = tmp_path / str(room)
        monkeypatch.setattr(os, "fsync", Disk(room).fsync)
        with pytest.raises(StorageError, match=r"No space left on device") as refused:
            build_here(recipe, folder)
        assert "\n" not in str(refused.value)
        assert not list(folder.glob(".unfinished/*"))
        monkeypatch.setattr(os, "fsync", _REAL)
        build_here(recipe, folder)
        assert digests(folder) == undisturbed
