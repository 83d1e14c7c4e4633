"""Orphans: what lies in a storage and no commit names, left by builds that were interrupted.

They bind nobody, and the next build would replace them; here they are listed, and removed. Files that are not ours are
passed over. This module does not know whether anybody is building right now: what that build has just written, and not
committed yet, is an orphan, too; whoever finds it gone makes it again.
"""

from typing import Final

from synth.anchors import COURSE, FOLDER, anchors_written
from synth.commit import commit_name, committed_shards, shard_of
from synth.dataset import NAME as MANIFEST
from synth.dataset import read_manifest
from synth.packing_state import NAME as PACKING
from synth.storage import Storage, Stored

_FOLDERS: Final = ("shards/", "index/", FOLDER)  # where what is ours is large enough to be written in parts


def find_orphans(storage: Storage) -> list[Stored]:
    """Tars and indexes without a commit, identities without a certificate, and what interrupted writes left.

    Raises DatasetError where a manifest lies there and cannot be read: then it is not known what is bound.
    """
    # What is written in between is listed last: a commit that is there by then speaks for files that were.
    files = [stored for folder in ("shards/", "index/") for stored in storage.list(folder)]
    identities = storage.list(FOLDER)
    leftovers = storage.leftovers(_FOLDERS)
    if storage.exists(MANIFEST):
        # What a finished dataset names is bound, even where a commit or the certificate was lost: `verify` tells that.
        manifest = read_manifest(storage)
        bound = {name for shard in manifest.shards for name in (shard.name, shard.index.name)}
        strays = [each for each in files if shard_of(each.name) is not None and each.name not in bound]
        return [*strays, *(each for each in identities if each.name == PACKING), *leftovers]
    committed = set(committed_shards(storage))
    orphans = [stored for stored in files if (shard := shard_of(stored.name)) is not None and shard not in committed]
    if anchors_written(storage):
        orphans += [stored for stored in identities if stored.name == PACKING]
    else:
        orphans += [stored for stored in identities if _is_part(stored)]
    return [*orphans, *leftovers]


def _is_part(stored: Stored) -> bool:
    name = stored.name.removeprefix(FOLDER)
    return stored.name == COURSE or (name.startswith("part-") and name.endswith(".parquet"))


def remove_orphans(storage: Storage) -> list[Stored]:
    """Remove them, but for those that turn out to be named by now; returns what was removed."""
    orphans, leftovers = find_orphans(storage), set(storage.leftovers(_FOLDERS))
    removed = [stored for stored in orphans if stored in leftovers or _removed(storage, stored)]
    storage.sweep(_FOLDERS)
    return removed


def _removed(storage: Storage, stored: Stored) -> bool:
    """Remove one, unless what names it has come meanwhile: asked again for each, since many take minutes."""
    shard = shard_of(stored.name)
    if storage.exists(commit_name(shard)) if shard is not None else _is_part(stored) and anchors_written(storage):
        return False
    storage.delete(stored.name)
    return True
