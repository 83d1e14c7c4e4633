"""Directions from a file: read as they are, and refused where they lead nowhere."""

import pickle

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from samplers.errors import DatasetError
from synth.directions import read_directions

AGE, SMILE = torch.randn(2, 8, generator=torch.Generator().manual_seed(1)).unbind(0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_directions_are_read_by_name_with_their_lengths(kind: torch.dtype) -> None:
    stored = {"age": 30 * AGE.to(kind), "smile": SMILE.to(kind)}
    found = read_directions("a.safetensors", save(stored))
    assert found.keys() == stored.keys()
    for name, direction in stored.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], direction.float())


def test_directions_of_one_file_may_have_different_lengths() -> None:
    found = read_directions("a.safetensors", save({"age": AGE, "pose": torch.ones(3)}))
    assert {name: len(direction) for name, direction in found.items()} == {"age": 8, "pose": 3}


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        (torch.ones(2, 8), r"age is not one vector of numbers, but \(2, 8\)"),
        (torch.tensor(1.0), r"age is not one vector of numbers, but \(\)"),
        (torch.ones(8, dtype=torch.int64), "age is not one vector of numbers"),
        (torch.zeros(8), "age is zero, or holds NaN or infinity"),
        (torch.ones(0), "age is zero, or holds NaN or infinity"),
        (torch.tensor([1, torch.nan]), "age is zero, or holds NaN or infinity"),
        (torch.tensor([1, -torch.inf]), "age is zero, or holds NaN or infinity"),
    ],
)
def test_what_is_no_direction_is_named(direction: Tensor, message: str) -> None:
    with pytest.raises(DatasetError, match=f"^a.safetensors: {message}"):
        read_directions("a.safetensors", save({"smile": SMILE, "age": direction}))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"no tensors", save({"age": AGE})[:-1], pickle.dumps({"age": AGE.numpy()}), b"\xff" * 100],
    ids=["empty", "JSON", "text", "cut short", "a pickle", "rubbish"],
)
def test_any_other_file_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(DatasetError) as refused:
        read_directions("a.safetensors", data)
    assert str(refused.value) == "a.safetensors is not a safetensors file, or damaged"


def test_numbers_beyond_float32_are_refused_rather_than_read_as_infinite() -> None:
    huge = torch.full((8,), 1e300, dtype=torch.float64)
    with pytest.raises(DatasetError, match="age"):
        read_directions("a.safetensors", save({"age": huge}))
    tiny = torch.full((8,), 1e-300, dtype=torch.float64)
    with pytest.raises(DatasetError, match="age"):
        read_directions("a.safetensors", save({"age": tiny}))
