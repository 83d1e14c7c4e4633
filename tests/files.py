"""How tests look at a dataset's folder. This module builds nothing."""

import hashlib
from pathlib import Path


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file whose bytes a plan decides: all but the commits, which hold timings."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    decided = {
        name: path for name, path in names.items() if not (name.startswith("shards/") and name.endswith(".json"))
    }
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(decided.items())}


def commits(folder: Path) -> list[Path]:
    """The commits that lie in a folder."""
    return sorted((folder / "shards").glob("*.json"))
