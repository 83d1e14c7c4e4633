"""Sections of a recipe, and the files that a recipe names.

A section is a frozen record without keys that nobody knows. A file is named by its URL; `pinned` adds what it holds, as
sha256, so that a plan can never go on with other contents unnoticed. This module does not know any particular section.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from samplers.errors import DatasetError
from synth.files import file_sha256, local_copy, open_file
from synth.storage import sha256


class Section(BaseModel):
    """Part of a recipe: frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputFile(Section):
    """A file that a recipe names: a path or URL, or both that and the sha256 that it must have."""

    url: str = Field(min_length=1)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="before")
    @classmethod
    def _from_url(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("sha256", mode="before")
    @classmethod
    def _in_small_letters(cls, value: Any) -> Any:
        """Some tools write it in capitals."""
        return value.lower() if isinstance(value, str) else value

    def read(self) -> tuple[str, bytes]:
        """The file's name and bytes. Raises StorageError where it cannot be read, DatasetError where it was changed."""
        name, data = open_file(self.url)
        self._refuse_changed(sha256(data))
        return name, data

    def fetch(self) -> Path:
        """The file on this machine, fetched once if it lies elsewhere. Raises as `read`."""
        path = local_copy(self.url)
        if self.sha256 is not None:
            self._refuse_changed(file_sha256(path))
        return path

    def _refuse_changed(self, found: str) -> None:
        if self.sha256 is not None and found != self.sha256:
            raise DatasetError(
                f"{self.url} does not have the sha256 that the recipe names: {found[:12]}, not {self.sha256[:12]}"
            )

    def pinned(self) -> "InputFile":
        """The same file with its sha256. One that already has it is not read: it may be gone when it is not needed."""
        if self.sha256 is not None:
            return self
        return InputFile(url=self.url, sha256=file_sha256(local_copy(self.url)))


Tree = TypeVar("Tree")


def pin_files(tree: Tree) -> Tree:
    """A record with every file in it pinned, however deep."""
    pinned: Tree = _mapped(tree, InputFile.pinned)
    return pinned


def named_files(tree: Any) -> list[InputFile]:
    """Every file in a record, however deep, in its order."""
    found: list[InputFile] = []

    def note(file: InputFile) -> InputFile:
        found.append(file)
        return file

    _mapped(tree, note)
    return found


def _mapped(tree: Any, change: Callable[[InputFile], InputFile]) -> Any:
    if isinstance(tree, InputFile):
        return change(tree)
    if isinstance(tree, BaseModel):
        fields = {name: _mapped(getattr(tree, name), change) for name in type(tree).model_fields}
        return tree.model_copy(update=fields)
    if isinstance(tree, dict):
        return {name: _mapped(value, change) for name, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_mapped(value, change) for value in tree)
    return tree


def without_urls(document: Any) -> Any:
    """A dumped record in which a pinned file stands for what it holds, wherever it lies."""
    if isinstance(document, dict):
        if set(document) == {"url", "sha256"}:
            return {"sha256": document["sha256"]}
        return {name: without_urls(value) for name, value in document.items()}
    if isinstance(document, list):
        return [without_urls(value) for value in document]
    return document
