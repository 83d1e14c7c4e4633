"""Embeddings and prior files: what is read, what is refused and in which words."""

import io
import json
import math
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from samplers.errors import DatasetError, StorageError
from samplers.pca import fit_pca_gaussian
from samplers.priors import PcaGaussian
from synth.embeddings import parse_embeddings, read_embeddings, read_prior, write_prior
from synth.files import open_file
from synth.parquet import fixed_list, parquet_bytes

ROWS = torch.randn(12, 5, generator=torch.Generator().manual_seed(1)) * 20
NAMES = ["carol", "alice", "bob"] * 4


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def parquet(**columns: Any) -> bytes:
    return parquet_bytes(pa.table(columns))


def vectors(rows: Tensor = ROWS, kind: pa.DataType | None = None) -> pa.Array:
    return fixed_list(rows, kind or pa.float32())


FILES = {
    "a.npy": npy(ROWS.numpy()),
    "fixed.parquet": parquet(vector=vectors(), label=NAMES),
    "lists.parquet": parquet(number=range(12), whatever=pa.array(ROWS.tolist(), pa.list_(pa.float32()))),
    "large.parquet": parquet(whatever=pa.array(ROWS.tolist(), pa.large_list(pa.float64()))),
    "a.safetensors": save({"features": ROWS, "other": ROWS[:, :2].clone(), "scale": torch.ones(7)}),
    "single.safetensors": save({"whatever": ROWS}),
}


@pytest.mark.parametrize("name", FILES)
def test_vectors_are_read_from_every_format_with_their_lengths(name: str) -> None:
    found = parse_embeddings(name, FILES[name])
    assert torch.equal(found.vectors, ROWS)
    assert (found.labels is None) == (name != "fixed.parquet")


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_floating_point_numbers_of_any_width_become_float32(kind: str) -> None:
    array = ROWS.numpy().astype(kind)
    expected = torch.from_numpy(array.astype(np.float32))
    assert torch.equal(parse_embeddings("a.npy", npy(np.asfortranarray(array))).vectors, expected)
    if kind[0] != ">":
        tensor = torch.from_numpy(array)
        assert torch.equal(parse_embeddings("a.safetensors", save({"x": tensor})).vectors, expected)
        column = pa.FixedSizeListArray.from_arrays(pa.array(array.flatten()), 5)
        assert torch.equal(parse_embeddings("a.parquet", parquet(x=column)).vectors, expected)


def test_labels_are_whole_numbers_or_take_the_place_of_their_name() -> None:
    places = [2, 0, 1] * 4
    numbers = [7, -3, 7, 2**40] * 3
    for label, expected in (
        (NAMES, places),
        (pa.array(NAMES).dictionary_encode(), places),
        (pa.array(NAMES, pa.large_string()), places),
        (numbers, numbers),
        (pa.array(range(12), pa.uint8()), list(range(12))),
    ):
        found = parse_embeddings("a.parquet", parquet(vector=vectors(), identity=label)).labels
        assert found is not None
        assert found.tolist() == expected
    data = save({"vector": ROWS, "label": torch.tensor(numbers)})
    found = parse_embeddings("a.safetensors", data).labels
    assert found is not None
    assert found.tolist() == numbers


def test_columns_are_taken_as_named() -> None:
    data = parquet(vector=vectors(), other=vectors(2 * ROWS), label=range(12), who=range(12, 24))
    assert torch.equal(parse_embeddings("a.parquet", data).vectors, ROWS)
    found = parse_embeddings("a.parquet", data, column="other", label_column="who")
    assert torch.equal(found.vectors, 2 * ROWS)
    assert found.labels is not None
    assert found.labels.tolist() == list(range(12, 24))
    tensors = save({"a": ROWS, "b": 2 * ROWS, "who": torch.arange(12)})
    found = parse_embeddings("a.safetensors", tensors, column="b", label_column="who")
    assert torch.equal(found.vectors, 2 * ROWS)
    assert found.labels is not None


def spoilt(row: int, value: float) -> Tensor:
    rows = ROWS.clone()
    rows[row] = value
    return rows


def twice(one: int, other: int) -> Tensor:
    rows = ROWS.clone()
    rows[other] = rows[one]
    return rows


class Bomb:
    """Goes off where a pickle of it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was read",)


NO_PICKLES = r"is no \.npy file of plain numbers \(pickles are never read\), or is damaged: "
RAGGED = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0]])
GAP = pa.array([[1.0, 2.0], None, [5.0, 6.0]])
FIXED_GAP = pa.array([[1.0, 2.0], [3.0, 4.0], None], pa.list_(pa.float32(), 2))
REFUSED = [
    ("a.csv", b"1,2", r"embeddings are read from \.npy, \.parquet, \.safetensors files"),
    ("npy.txt", b"", r"embeddings are read from .*"),
    ("a.npy", npy(ROWS.numpy()[0]), r"embeddings are rows of vectors, 2-D, not of shape \[5\]"),
    ("a.npy", npy(ROWS.numpy()[None]), r"embeddings are rows of vectors, 2-D, not of shape \[1, 12, 5\]"),
    ("a.npy", npy(np.arange(6).reshape(2, 3)), "embeddings are floating-point numbers, not int64"),
    ("a.npy", npy(np.zeros((0, 5), np.float32)), "there are no embeddings in it"),
    ("a.npy", npy(np.zeros((5, 0), np.float32)), "there are no embeddings in it"),
    ("a.npy", npy(spoilt(3, math.nan).numpy()), "row 3 holds NaN or infinity"),
    ("a.npy", npy(np.array([[1.0, 2.0], [1e300, 0.0]])), "row 1 holds NaN or infinity"),
    ("a.npy", npy(spoilt(7, 0.0).numpy()), "row 7 is all zeros"),
    ("a.npy", npy(twice(2, 9).numpy()), "rows 2 and 9 are the same"),
    ("a.npy", npy(np.array([[Bomb(), 1.0]], object)), NO_PICKLES + "Object arrays .*"),
    ("a.npy", pickle.dumps(Bomb()), NO_PICKLES + "the magic string is not correct.*"),
    ("a.npy", FILES["a.npy"][:-1], NO_PICKLES + ".*"),
    ("a.npy", b"", NO_PICKLES + ".*"),
    ("a.parquet", b"PAR1", "is no .parquet file, or is damaged: .*"),
    ("a.parquet", FILES["fixed.parquet"][:-9], "is no .parquet file, or is damaged: .*"),
    ("a.parquet", parquet(vector=RAGGED), "row 2 has 1 numbers, where row 0 has 2"),
    ("a.parquet", parquet(vector=GAP), "row 1 has no vector"),
    ("a.parquet", parquet(vector=FIXED_GAP), "row 2 has no vector"),
    ("a.parquet", parquet(vector=pa.array([[1.0, 2.0], [3.0, None]])), "row 1 holds NaN or infinity"),
    ("a.parquet", parquet(vector=vectors(twice(0, 11))), "rows 0 and 11 are the same"),
    ("a.parquet", parquet(vector=vectors()[:0]), "there are no embeddings in it"),
    ("a.parquet", parquet(vector=range(4)), "has no column of vectors"),
    ("a.parquet", parquet(a=vectors(), b=vectors()), r"has more than one column of vectors \(a, b\): say which one"),
    ("a.parquet", parquet(vector=vectors(), label=[0.5] * 12), "labels are whole numbers or names, not double"),
    ("a.parquet", parquet(vector=vectors(), label=[1, None] * 6), "row 1 has no label"),
    ("a.parquet", parquet(vector=vectors(), label=pa.array([2**63] * 12, pa.uint64())), ".*damaged: .*"),
    ("a.safetensors", b"", "is no .safetensors file, or is damaged: .*"),
    ("a.safetensors", FILES["a.safetensors"][:-1], "is no .safetensors file, or is damaged: .*"),
    ("a.safetensors", save({"x": torch.ones(3)}), "has no 2-D tensor"),
    ("a.safetensors", save({"x": torch.ones(3, 3).long()}), "embeddings are floating-point numbers, not int64"),
    ("a.safetensors", save({"a": ROWS, "b": ROWS + 1}), r"has more than one 2-D tensor \(a, b\): say which one"),
    (
        "a.safetensors",
        save({"vector": ROWS, "label": torch.ones(12)}),
        "labels are whole numbers or names, not float32",
    ),
    ("a.safetensors", save({"vector": ROWS, "label": torch.arange(3)}), r"12 vectors, but labels of shape \[3\]"),
]


@pytest.mark.parametrize(("name", "data", "message"), REFUSED)
def test_what_does_not_stand_for_people_is_refused_in_one_line(name: str, data: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=f"^{name}:? {message}$"):
        parse_embeddings(name, data)


@pytest.mark.parametrize(
    ("name", "column", "label_column", "message"),
    [
        ("fixed.parquet", "vektor", None, "has no column of vectors named 'vektor'; it has vector"),
        ("fixed.parquet", "label", None, "has no column of vectors named 'label'; it has vector"),
        ("fixed.parquet", None, "who", "has no label column named 'who'; it has label"),
        ("a.safetensors", "x", None, "has no 2-D tensor named 'x'; it has features, other"),
        ("a.safetensors", "scale", None, "has no 2-D tensor named 'scale'; it has features, other"),
        ("single.safetensors", None, "who", "has no label column named 'who'; it has none"),
        ("a.npy", "vector", None, "a .npy file holds one array: it has neither named columns nor labels"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_those_that_are(
    name: str, column: str | None, label_column: str | None, message: str
) -> None:
    with pytest.raises(DatasetError, match=f"^{name}:? {message}$"):
        parse_embeddings(name, FILES[name], column=column, label_column=label_column)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_bytes_are_read_or_refused_and_nothing_else(name: str, data: st.DataObject) -> None:
    damaged = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    with suppress(DatasetError):
        assert bool(parse_embeddings(name, bytes(damaged)).vectors.isfinite().all())


def test_a_file_is_opened_by_path_or_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.npy").write_bytes(FILES["a.npy"])
    monkeypatch.chdir(tmp_path)
    for url in (str(tmp_path / "a.npy"), f"file://{tmp_path}/a.npy", "a.npy", "./a.npy", f"../{tmp_path.name}/a.npy"):
        assert open_file(url) == ("a.npy", FILES["a.npy"])
        assert torch.equal(read_embeddings(url).vectors, ROWS)
    for url in ("", f"{tmp_path}/"):
        with pytest.raises(StorageError, match="names a folder, not a file"):
            open_file(url)
    for url in ("/none.npy", "file:///none.npy", "none.npy"):
        with pytest.raises(StorageError, match=r"^cannot read .*none\.npy: No such file or directory$"):
            read_embeddings(url)


PRIOR = fit_pca_gaussian(ROWS, components=3)


def test_a_prior_comes_back_to_the_bit_and_draws_the_same() -> None:
    data = write_prior(PRIOR)
    again = read_prior("p.safetensors", data)
    for part in ("mean", "components", "deviations"):
        assert torch.equal(getattr(again, part), getattr(PRIOR, part))
    assert write_prior(again) == data
    one, other = (prior.draw(1, torch.arange(9), 5) for prior in (PRIOR, again))
    assert torch.equal(one.vectors, other.vectors)
    turned = PcaGaussian(PRIOR.mean, PRIOR.components.T.contiguous().T, PRIOR.deviations)
    assert write_prior(turned) == data


def test_a_prior_file_is_a_safetensors_file_that_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    path.write_bytes(write_prior(PRIOR))
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "hypersynth-prior", "version": "1", "kind": "pca_gaussian"}
        assert torch.equal(file.get_tensor("components"), PRIOR.components)


PARTS = {"mean": PRIOR.mean, "components": PRIOR.components, "deviations": PRIOR.deviations}
SAYS = {"format": "hypersynth-prior", "version": "1", "kind": "pca_gaussian"}
NO_PRIOR = r"is no prior that this version reads \(hypersynth-prior, version 1, pca_gaussian\)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no prior file, or is damaged: .*"),
        (write_prior(PRIOR)[:-1], "is no prior file, or is damaged: .*"),
        (save(PARTS), NO_PRIOR),
        (save(PARTS, {**SAYS, "version": "2"}), NO_PRIOR),
        (save(PARTS, {**SAYS, "kind": "other"}), NO_PRIOR),
        (save({"mean": PRIOR.mean}, SAYS), NO_PRIOR),
        (save({**PARTS, "mean": torch.ones(4)}, SAYS), "is no prior file, or is damaged: .* not with .*"),
        (save({**PARTS, "components": torch.ones(3, 5)}, SAYS), ".* not orthonormal"),
        (save({**PARTS, "deviations": torch.tensor([1, math.nan, 1])}, SAYS), ".* NaN or infinity"),
    ],
)
def test_other_files_are_no_priors(data: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=f"^p {message}$"):
        read_prior("p", data)


def test_later_metadata_does_not_keep_a_prior_from_being_read() -> None:
    data = save(PARTS, {**SAYS, "made_by": "somebody"})
    assert torch.equal(read_prior("p", data).components, PRIOR.components)
    header = json.loads(write_prior(PRIOR)[8:].partition(b"}}")[0] + b"}}")
    assert header["__metadata__"] == SAYS
