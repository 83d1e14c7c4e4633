"""Small programs that stand in for those of a cluster, and note what they were given. It knows none of them."""

import os
from pathlib import Path

import pytest

#: Notes its words, one a line, in a file that is named after it.
NOTING = 'printf "%s\\n" "$@" >> "$0.words"\n'


def stand_in(folder: Path, name: str, script: str = "") -> Path:
    """A program in a folder, which notes its words and then does what a script says; returns where they are noted."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/bash\n{NOTING}{script}")
    program.chmod(0o755)
    return program.with_name(f"{name}.words")


def first_on_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in a folder are found before all others of their names."""
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
