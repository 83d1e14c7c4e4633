"""Files of named tensors: read strictly, never run, and refused in one line that names what is wrong."""

import contextlib
import io
import os
import pickle
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from samplers.errors import DatasetError, StorageError
from synth.section import InputFile
from synth.weights import load_weights, read_weights, refuse_unfit

TENSORS = {"weight": torch.arange(12.0).view(3, 4), "bias": torch.ones(3)}


def network() -> nn.Module:
    return nn.Linear(4, 3)


def same(found: dict[str, Tensor], due: dict[str, Tensor]) -> bool:
    return found.keys() == due.keys() and all(torch.equal(found[name], due[name]) for name in due)


def saved(path: Path, holds: Any, **how: Any) -> InputFile:
    torch.save(holds, path, **how)
    return InputFile(url=str(path))


def refusal(file: InputFile, *within: str) -> str:
    with pytest.raises(DatasetError) as refused:
        read_weights(file, within)
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith(file.url)
    return said.removeprefix(file.url)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_come_back_as_they_were_saved(tmp_path: Path, zipped: bool) -> None:
    assert same(
        read_weights(saved(tmp_path / "w.pth", TENSORS, _use_new_zipfile_serialization=zipped)),
        TENSORS,
    )
    save_file(TENSORS, tmp_path / "w.safetensors")
    assert same(read_weights(InputFile(url=f"{tmp_path}/w.safetensors")), TENSORS)


def test_no_length_of_a_header_is_taken_for_another_format(tmp_path: Path) -> None:
    """One in 32 files begins with the byte 0x80, as pickles do."""
    path, begins = tmp_path / "w.safetensors", set[int]()
    for extra in range(0, 256, 8):
        save_file(TENSORS, path, {"note": "x" * extra})
        begins.add(path.read_bytes()[0])
        assert same(read_weights(InputFile(url=str(path))), TENSORS)
    assert 0x80 in begins


def test_tensors_are_found_under_the_first_of_the_keys_that_is_there(tmp_path: Path) -> None:
    checkpoint = {"model": TENSORS, "epoch": 3, "optimizer": {"state": {}}, "args": Namespace(lr=0.1)}
    file = saved(tmp_path / "w.pth", checkpoint)
    assert same(read_weights(file, ("state_dict", "model")), TENSORS)
    assert same(read_weights(saved(tmp_path / "flat.pth", TENSORS), ("state_dict", "model")), TENSORS)
    assert "alone (nor under state_dict); its keys: model, epoch, optimizer, args" in refusal(file, "state_dict")


class Harmful:
    """What a pickle may hold: a call of any function, here one that would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._trace),)


@pytest.mark.parametrize("way", ["zipped", "legacy", "pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, way: str) -> None:
    holds = {"weight": torch.zeros(2), "more": Harmful(tmp_path / "trace")}
    file = InputFile(url=f"{tmp_path}/w.pth")
    if way == "pickle":
        (tmp_path / "w.pth").write_bytes(pickle.dumps({"more": Harmful(tmp_path / "trace")}, protocol=2))
    else:
        saved(tmp_path / "w.pth", holds, _use_new_zipfile_serialization=way == "zipped")
    assert refusal(file).startswith(" is refused: it is a pickle that holds more than tensors")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", " is a Git LFS pointer, not the file"),
        (b"<html>Not found</html>", " is no "),
        (b"", " is no "),
        (b"PK\x03\x04junk", " is no "),
        (b"\x80junk", " is "),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert refusal(InputFile(url=f"{tmp_path}/{name}")).startswith(said)


def test_a_file_with_the_ending_of_another_format_is_told_its_own(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.pth")
    said = " is no file of PyTorch weights, but a .safetensors file: give it that ending"
    assert refusal(InputFile(url=f"{tmp_path}/w.pth")) == said
    file = saved(tmp_path / "w.safetensors", TENSORS)
    assert refusal(file) == " is no .safetensors file: PyTorch wrote it, so call it .pth"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.floats(0, 1), st.one_of(st.none(), st.integers(0, 255)))
def test_a_damaged_file_is_told_or_read(tmp_path: Path, zipped: bool, where: float, byte: int | None) -> None:
    """Cut anywhere, or with any byte changed: never another error than ours."""
    whole = io.BytesIO()
    torch.save(TENSORS, whole, _use_new_zipfile_serialization=zipped)
    data = bytearray(whole.getvalue())
    place = int(where * (len(data) - 1))
    if byte is None:
        del data[place:]
    else:
        data[place] = byte
    (tmp_path / "w.pth").write_bytes(data)
    with contextlib.suppress(DatasetError):
        read_weights(InputFile(url=f"{tmp_path}/w.pth"))


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ([torch.zeros(2)], " holds a list, not named tensors"),
        ({"epoch": 3}, " does not hold named tensors alone; its keys: epoch"),
        ({"weight": torch.zeros(2), "epoch": 3}, " does not hold named tensors alone; its keys: weight, epoch"),
        ({}, " does not hold named tensors alone; its keys: "),
    ],
)
def test_a_file_that_is_not_named_tensors_alone_is_told(tmp_path: Path, holds: Any, said: str) -> None:
    assert refusal(saved(tmp_path / "w.pth", holds)) == said


def test_an_absent_file_and_a_changed_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        read_weights(InputFile(url=f"{tmp_path}/absent.pth"))
    file = saved(tmp_path / "w.pth", TENSORS).pinned()
    saved(tmp_path / "w.pth", {**TENSORS, "more": torch.ones(1)})
    assert refusal(file).startswith(" does not have the sha256 that the recipe names: ")


def test_weights_are_loaded_in_the_networks_own_type() -> None:
    target = network()
    load_weights(target, {name: tensor.half() for name, tensor in TENSORS.items()}, "w.pth")
    assert same(target.state_dict(), TENSORS)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_everything_that_does_not_fit_is_listed(device: str) -> None:
    weights = {"weight": torch.zeros(3, 5), **{f"head.{n}": torch.zeros(1) for n in range(6)}}
    with pytest.raises(DatasetError) as refused:
        refuse_unfit(network().to(device), weights, "w.pth")
    assert str(refused.value) == (
        "w.pth does not fit the network (2 tensors are due): missing: bias; "
        "extra: head.0, head.1, head.2, head.3 and 2 more; misshapen: weight [3, 5] for [3, 4]"
    )
    refuse_unfit(network().to(device), TENSORS, "w.pth")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    target = network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    weights = {**TENSORS, "bias": torch.tensor([0.0, number, 0.0])}
    with pytest.raises(DatasetError, match=r"^w\.pth: bias has numbers that are not finite$"):
        load_weights(target, weights, "w.pth")
    with pytest.raises(DatasetError, match=r"^w\.pth: bias has numbers that are not finite$"):
        refuse_unfit(network().to("meta"), weights, "w.pth")
    assert same(target.state_dict(), before)
