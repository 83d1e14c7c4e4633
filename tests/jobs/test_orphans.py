"""Orphans beside builds that go on: whatever is named in the last moment stays."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from jobs.orphans import find_orphans, remove_orphans
from jobs.recipe import load_recipe
from synth.anchors import CERTIFICATE
from synth.commit import commit_name
from synth.storage import Stored
from synth.storages.local import LocalStorage
from tests.conftest import build_here


class Busy(LocalStorage):
    """A folder in which somebody else does something just after it was asked for so many lists of leftovers."""

    def __init__(self, folder: Path, lists: int, deed: Callable[[], None]) -> None:
        super().__init__(folder)
        self._lists, self._deed = lists, deed

    def leftovers(self, folders: Sequence[str] = ("",)) -> list[Stored]:
        self._lists -= 1
        if self._lists == 0:
            self._deed()
        return super().leftovers(folders)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards."""
    small = {"identities.count": 4, "variations.views": 2, "output.shard_size": 4}
    build_here(load_recipe("barcode", small), tmp_path / "data")
    (tmp_path / "data" / "dataset.json").unlink()  # not sealed yet
    return tmp_path / "data"


@pytest.mark.parametrize("named_by", [commit_name(1), CERTIFICATE])
@pytest.mark.parametrize("lists", [1, 2])
def test_what_is_named_while_orphans_are_looked_for_or_removed_stays(folder: Path, named_by: str, lists: int) -> None:
    """It is named after the files were listed, or after they were found to be orphans."""
    before = {stored.name for stored in LocalStorage(folder).list("")}
    aside = folder.parent / "aside"
    (folder / named_by).rename(aside)
    assert find_orphans(LocalStorage(folder))
    storage = Busy(folder, lists, lambda: shutil.copy(aside, folder / named_by) and None)
    assert remove_orphans(storage) == []
    assert {stored.name for stored in storage.list("")} == before


def test_files_that_vanish_while_a_folder_is_listed_are_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, gone = Path.stat, folder / "shards" / "000000.tar"

    def vanished(self: Path, **how: bool) -> object:
        if self == gone:
            raise FileNotFoundError(self)
        return whole(self, **how)

    monkeypatch.setattr(Path, "stat", vanished)
    names = [stored.name for stored in LocalStorage(folder).list("shards/")]
    assert names == ["shards/000000.json", "shards/000001.json", "shards/000001.tar"]
