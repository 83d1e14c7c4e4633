"""Files of networks: what the header says comes back, and whatever else is told for what it is."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from samplers.errors import DatasetError, StorageError
from synth.network_file import header, read_header, write_network
from synth.section import InputFile

leaf = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=9)
documents = st.dictionaries(st.text(max_size=9), st.recursive(leaf, lambda inner: st.lists(inner, max_size=3)))


def file(folder: Path, said: dict[str, str] | None) -> InputFile:
    path = folder / "network.safetensors"
    save_file({"weight": torch.zeros(2)}, path, said)
    return InputFile(url=str(path))


@given(documents)
def test_a_description_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, description: dict[str, object]
) -> None:
    chosen = file(tmp_path_factory.mktemp("network"), header("tiny", description))
    found = read_header(chosen, "tiny")
    assert (found.url, found.kind, found.description) == (chosen.url, "tiny", description)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    """The library writes the header's words in another order each time."""
    weights = {"b": torch.arange(3.0), "a": torch.ones(2, 2).half(), "count": torch.tensor(7)}
    paths = [tmp_path / f"{number}.safetensors" for number in range(12)]
    for number, path in enumerate(paths):
        words = ("sizes", "kind", "a", "z") if number % 2 else ("z", "a", "kind", "sizes")
        said = header("tiny", {word: len(word) for word in words})
        write_network(path, said, weights if number % 3 else dict(reversed(weights.items())))
    assert len({path.read_bytes() for path in paths}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    found = load_file(paths[0])
    assert {name: (value.dtype, value.tolist()) for name, value in found.items()} == {
        name: (value.dtype, value.tolist()) for name, value in weights.items()
    }
    assert read_header(InputFile(url=str(paths[0])), "tiny").part("kind") == 4


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(StorageError, match=r"cannot write .*taken/x\.safetensors: "):
        write_network(tmp_path / "taken/x.safetensors", header("tiny", {}), {"a": torch.zeros(1)})


def test_a_part_is_asked_for_by_name(tmp_path: Path) -> None:
    chosen = file(tmp_path, header("tiny", {"sizes": [1, 2], "nothing": None}))
    found = read_header(chosen, "tiny")
    assert found.part("sizes") == [1, 2]
    assert found.part("nothing") is None
    with pytest.raises(DatasetError, match=r"network\.safetensors: its header does not say its depth"):
        found.part("depth")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "is no network that hypersynth train-model made"),
        ({"format": "pt"}, "is no network that hypersynth train-model made"),
        ({**header("tiny", {}), "version": "2"}, "was made by another version of Hypersynth: its format is 2"),
        (header("other", {}), "is a network of kind other, not tiny"),
        ({**header("tiny", {}), "description": "{"}, "its header is damaged"),
        ({**header("tiny", {}), "description": "[1]"}, "its header is damaged"),
        ({name: value for name, value in header("tiny", {}).items() if name != "description"}, "header is damaged"),
    ],
)
def test_what_is_no_such_network_is_told(tmp_path: Path, said: dict[str, str] | None, message: str) -> None:
    chosen = file(tmp_path, said)
    with pytest.raises(DatasetError) as caught:
        read_header(chosen, "tiny")
    assert message in str(caught.value)
    assert str(caught.value).startswith(chosen.url)


@pytest.mark.parametrize("data", [b"", b"{}", b"\x00" * 64, b"PK\x03\x04 a zip"])
def test_what_is_no_safetensors_file_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "network.safetensors").write_bytes(data)
    with pytest.raises(DatasetError, match=r"is no \.safetensors file, or is damaged"):
        read_header(InputFile(url=str(tmp_path / "network.safetensors")), "tiny")


def test_absent_and_changed_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        read_header(InputFile(url=str(tmp_path / "nothing.safetensors")), "tiny")
    pinned = file(tmp_path, header("tiny", {})).pinned()
    file(tmp_path, header("tiny", {"changed": True}))
    with pytest.raises(DatasetError, match="does not have the sha256 that the recipe names"):
        read_header(pinned, "tiny")
