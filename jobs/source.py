"""The YAML behind a recipe or a training: its values, and the line on which each stands, so that errors point at it.

This module does not know what they mean (`jobs.recipe`, `jobs.training`).
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from samplers.errors import RecipeError

Place = tuple[int | str, ...]


@dataclass(frozen=True)
class Shelf:
    """YAML files that come with Hypersynth, all of one sort."""

    folder: str  # in this package
    what: str  # one of them, in words
    example: str  # of an override

    def texts(self) -> dict[str, str]:
        """Name and text of each, by name."""
        folder = resources.files("jobs") / self.folder
        files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
        return {file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8") for file in files}

    def about(self, text: str) -> str:
        """What one of them says of itself in its first line."""
        return text.splitlines()[0].lstrip("# ") if text.startswith("#") else ""

    def text(self, name: str) -> str:
        """The text of one. Raises RecipeError where there is none of that name."""
        texts = self.texts()
        if name not in texts:
            raise RecipeError(f"no shipped {self.what} {name!r}; {self._hint(name)}")
        return texts[name]

    def _hint(self, name: str) -> str:
        names = list(self.texts())
        near = difflib.get_close_matches(name, names, 1)
        return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"

    def text_or_file(self, name_or_path: str) -> str:
        """The text of one, or of a file. Raises RecipeError where there is neither."""
        shipped, path = self.texts(), Path(name_or_path)
        if name_or_path in shipped:
            return shipped[name_or_path]
        if not path.is_file():
            raise RecipeError(
                f"{name_or_path}: no such file, and no shipped {self.what} of that name; {self._hint(name_or_path)}"
            )
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as refusal:
            raise RecipeError(f"{name_or_path}: cannot be read: {refusal}") from refusal


RECIPES = Shelf("recipes", "recipe", "identities.count=100")
TRAININGS = Shelf("trainings", "settings file", "steps=20000")


@dataclass(frozen=True)
class Source:
    """Values read from YAML, with overrides applied."""

    name: str
    data: Any
    lines: Mapping[Place, int]  # counted from 1; what an override set has none

    def place(self, location: Sequence[int | str]) -> Place:
        """pydantic's location of an error without what is not in the file, such as the names of union branches."""
        place: Place = ()
        node = self.data
        for step in location:
            inside = step in node if isinstance(node, Mapping) else isinstance(node, list) and step in range(len(node))
            if inside:
                place, node = (*place, step), node[step]
        return place

    def where(self, place: Place) -> str:
        """File, line and key: "faces.yaml, line 7: identities.count"."""
        key = ".".join(str(step) for step in place)
        known = next((self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines), None)
        start = f"{self.name}, line {known}" if known else self.name
        return f"{start}: {key}" if key else start

    def unknown(self, place: Place, valid: Sequence[str]) -> str:
        """The message for a key that nobody knows, with the nearest valid one."""
        near = difflib.get_close_matches(str(place[-1]), valid, 1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"valid keys: {', '.join(valid)}"
        return f"{self.where(place)}: unknown key; {hint}"


def shipped_recipes() -> dict[str, str]:
    """The recipes that come with Hypersynth: name and text."""
    return RECIPES.texts()


def read_source(name_or_path: str, overrides: Mapping[str, Any], shelf: Shelf = RECIPES) -> Source:
    """Read a file, or a shipped one by its name, and apply overrides. Raises RecipeError where that fails."""
    text = shelf.text_or_file(name_or_path)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise RecipeError(
                f"{name_or_path}: a {shelf.what} says everything outright; YAML aliases (*name) are not read"
            )
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as broken:
        line = broken.problem_mark.line + 1 if broken.problem_mark else 1
        raise RecipeError(f"{name_or_path}, line {line}: not YAML: {broken.problem}") from broken
    except (yaml.YAMLError, ValueError, RecursionError) as broken:  # a character, date or depth that cannot be
        raise RecipeError(f"{name_or_path}: not YAML: {' '.join(str(broken).split())}") from broken
    if not isinstance(data, dict):
        raise RecipeError(f"{name_or_path}: a {shelf.what} is a mapping of keys to values")
    lines: dict[Place, int] = {}
    _note_lines(name_or_path, tree, (), lines)
    for key, value in overrides.items():
        place = tuple(key.split("."))
        _override(data, place, value, shelf)
        lines = {known: line for known, line in lines.items() if known[: len(place)] != place}
    return Source(name_or_path, data, lines)


def _note_lines(name: str, node: Any, place: Place, lines: dict[Place, int]) -> None:
    """Fill `lines` with the line of every key; a key that stands twice in a mapping is an error."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, key.value)
            if here in lines:
                first, again = lines[here], key.start_mark.line + 1
                raise RecipeError(f"{name}, line {again}: {'.'.join(map(str, here))}: already set on line {first}")
            lines[here] = key.start_mark.line + 1
            _note_lines(name, value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[(*place, i)] = item.start_mark.line + 1
            _note_lines(name, item, (*place, i), lines)


def _override(data: dict[str, Any], place: Place, value: Any, shelf: Shelf) -> None:
    node: Any = data
    for step in place[:-1]:
        node = node.setdefault(step, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise RecipeError(f"--set {'.'.join(map(str, place))}: {step} is not a section of the {shelf.what}")
    node[place[-1]] = value


def parse_override(text: str, shelf: Shelf = RECIPES) -> tuple[str, Any]:
    """ "a.b=value", the value read as YAML, as key and value. Raises RecipeError for anything else."""
    key, separator, value = text.partition("=")
    if not separator or not all(key.split(".")):
        raise RecipeError(f"--set {text}: write it as key=value, for example {shelf.example}")
    try:
        return key, yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        raise RecipeError(f"--set {key}: the value is not YAML") from broken
