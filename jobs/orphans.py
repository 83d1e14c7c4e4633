"""Orphans: what lies in a storage and no commit names, left by builds that were interrupted.

They bind nobody, and the next build would replace them; here they are listed, and removed. Files that are not ours are
passed over. This module does not know whether anybody is building right now: what that build has just written, and not
committed yet, is an orphan, too, and if it is removed, its shard is made again.
"""

from synth.anchors import CERTIFICATE, COURSE, FOLDER, anchors_written
from synth.commit import committed_shards, index_name, is_shard_file, tar_name
from synth.packing_state import NAME as PACKING
from synth.storage import Storage, Stored


def find_orphans(storage: Storage) -> list[Stored]:
    """Tars and indexes without a commit, identities without a certificate, and what interrupted writes left."""
    bound = {name for shard in committed_shards(storage) for name in (tar_name(shard), index_name(shard))}
    shards = [stored for folder in ("shards/", "index/") for stored in storage.list(folder)]
    orphans = [stored for stored in shards if is_shard_file(stored.name) and stored.name not in bound]
    identities = storage.list(FOLDER)
    if anchors_written(storage):
        orphans += [stored for stored in identities if stored.name == PACKING]
    else:
        orphans += [stored for stored in identities if stored.name not in (CERTIFICATE, PACKING) and _is_part(stored)]
    return [*orphans, *storage.leftovers()]


def _is_part(stored: Stored) -> bool:
    name = stored.name.removeprefix(FOLDER)
    return stored.name == COURSE or (name.startswith("part-") and name.endswith(".parquet"))


def remove_orphans(storage: Storage) -> list[Stored]:
    """Remove them; returns what was removed."""
    orphans, leftovers = find_orphans(storage), set(storage.leftovers())
    for stored in orphans:
        if stored not in leftovers:
            storage.delete(stored.name)
    storage.sweep()
    return orphans
