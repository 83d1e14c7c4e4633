"""Embeddings files and prior files as bytes: what people bring along, and the priors fitted to it.

Whatever does not stand for people is refused in one line that names the file and the first bad row. No pickle is ever
read. This module does not know which network made the embeddings, nor what becomes of them.

Shapes: n rows, D dimensions, K components.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from samplers.errors import DatasetError
from samplers.pca import find_flaw
from samplers.priors import PcaGaussian
from synth.files import open_file

#: Names under which vectors and labels are looked for where the caller names none.
VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings", "feature", "features")
LABEL_NAMES = ("label", "labels", "identity", "identities")

_Parsed = tuple[Tensor, Tensor | None]

_NUMPY_SAYS = (ValueError, EOFError, MemoryError, SyntaxError, TokenError)
_ARROW_SAYS = (pa.ArrowException, ValueError, KeyError, OSError)

_PRIOR_HEADER = {"format": "hypersynth-prior", "version": "1", "kind": "pca_gaussian"}
_PRIOR_PARTS = ("mean", "components", "deviations")
_ENCODER = "encoder"  # in the header of embeddings and of priors: the sha256 of what made them


@dataclass(frozen=True)
class Embeddings:
    """Features as they were stored, lengths kept."""

    vectors: Tensor  # float32 (n, D), finite, no row zero, no two the same
    labels: Tensor | None  # int64 (n,): whole numbers as they were, names by their sorted order; None: without


def read_embeddings(url: str, *, column: str | None = None, label_column: str | None = None) -> Embeddings:
    """The embeddings in the file at a URL or path (see `parse_embeddings`)."""
    return parse_embeddings(*open_file(url), column=column, label_column=label_column)


def parse_embeddings(
    name: str, data: bytes, *, column: str | None = None, label_column: str | None = None
) -> Embeddings:
    """The embeddings in a file's bytes, by the suffix of its name: .npy, .parquet or .safetensors.

    `column` names the column or tensor of vectors; None: the only one that could be, or the only one of those with a
    name like "vector", "embedding" or "feature". `label_column` names that of the labels; None: one with a name like
    "label" or "identity", if there is one.

    Raises DatasetError for an unknown suffix, a damaged file, vectors that cannot be found, are not 2-D, ragged, not
    floating-point, none, or flawed (`samplers.pca.find_flaw`), and labels that are missing or neither whole numbers
    nor names.
    """
    suffix = "." + name.rpartition(".")[2]
    if suffix not in _PARSERS:
        raise DatasetError(f"{name}: embeddings are read from {', '.join(_PARSERS)} files")
    vectors, labels = _PARSERS[suffix](name, data, column, label_column)
    if vectors.ndim != 2:
        raise DatasetError(f"{name}: embeddings are rows of vectors, 2-D, not of shape {list(vectors.shape)}")
    if not vectors.is_floating_point():
        raise DatasetError(f"{name}: embeddings are floating-point numbers, not {vectors.dtype}".replace("torch.", ""))
    if not vectors.numel():
        raise DatasetError(f"{name}: there are no embeddings in it")
    vectors = vectors.float()
    flaw = find_flaw(vectors)
    if flaw:
        raise DatasetError(f"{name}: {flaw}")
    if labels is not None and labels.shape != vectors.shape[:1]:
        raise DatasetError(f"{name}: {len(vectors)} vectors, but labels of shape {list(labels.shape)}")
    return Embeddings(vectors, labels)


@contextmanager
def _damage_explained(name: str, kind: str) -> Iterator[None]:
    """Turn what a reading library says of damaged bytes into one line."""
    try:
        yield
    except (*_NUMPY_SAYS, *_ARROW_SAYS, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(f"{name} is no {kind}, or is damaged: {reason}") from error


def _choose(name: str, wanted: str | None, there: Sequence[str], names: Sequence[str], kind: str) -> str:
    """The wanted one of the columns that are there, or the only one, or the only one with one of some names."""
    if wanted is not None:
        if wanted in there:
            return wanted
        raise DatasetError(f"{name} has no {kind} named {wanted!r}; it has {', '.join(there) or 'none'}")
    named = [one for one in there if one in names] if len(there) > 1 else there
    if len(named) == 1:
        return named[0]
    if not there:
        raise DatasetError(f"{name} has no {kind}")
    raise DatasetError(f"{name} has more than one {kind} ({', '.join(there)}): say which one")


def _choose_labels(name: str, wanted: str | None, there: Sequence[str]) -> str | None:
    """The wanted label column, or one with a label's name, or none."""
    named = [one for one in there if one in LABEL_NAMES]
    if wanted is None and not named:
        return None
    return _choose(name, wanted, there if wanted is not None else named, LABEL_NAMES, "label column")


def _parse_npy(name: str, data: bytes, column: str | None, label_column: str | None) -> _Parsed:
    if column is not None or label_column is not None:
        raise DatasetError(f"{name}: a .npy file holds one array: it has neither named columns nor labels")
    with _damage_explained(name, ".npy file of plain numbers (pickles are never read)"):
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind != "f":
        raise DatasetError(f"{name}: embeddings are floating-point numbers, not {array.dtype}")
    return _float32(array), None


def _float32(array: np.ndarray) -> Tensor:
    """As float32; what lies beyond its range becomes infinite, which is refused afterwards."""
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def _parse_safetensors(name: str, data: bytes, column: str | None, label_column: str | None) -> _Parsed:
    with _damage_explained(name, ".safetensors file"):
        tensors = load_safetensors(data)
    matrices = sorted(one for one, tensor in tensors.items() if tensor.ndim == 2)
    vectors = tensors[_choose(name, column, matrices, VECTOR_NAMES, "2-D tensor")]
    rows = sorted(one for one, tensor in tensors.items() if tensor.ndim == 1)
    labelled = _choose_labels(name, label_column, rows)
    if labelled is None:
        return vectors, None
    labels = tensors[labelled]
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DatasetError(f"{name}: labels are whole numbers or names, not {labels.dtype}".replace("torch.", ""))
    return vectors, labels.long()


def _parse_parquet(name: str, data: bytes, column: str | None, label_column: str | None) -> _Parsed:
    with _damage_explained(name, ".parquet file"):
        file = pq.ParquetFile(pa.BufferReader(data))
        kinds = {field.name: field.type for field in file.schema_arrow}
        lists = [one for one, kind in kinds.items() if _is_list(kind) and pa.types.is_floating(kind.value_type)]
        chosen = _choose(name, column, lists, VECTOR_NAMES, "column of vectors")
        labelled = _choose_labels(name, label_column, [one for one in kinds if one not in lists])
        table = file.read(columns=[one for one in (chosen, labelled) if one is not None])
        vectors = _list_rows(name, table[chosen])
        return vectors, None if labelled is None else _label_numbers(name, table[labelled])


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _refuse_missing(name: str, column: pa.ChunkedArray, what: str) -> None:
    if column.null_count:
        raise DatasetError(f"{name}: row {int(column.is_null().to_numpy().argmax())} has no {what}")


def _list_rows(name: str, column: pa.ChunkedArray) -> Tensor:
    """A column of lists, all of one length, as rows: float32 (n, D). A missing number is NaN."""
    _refuse_missing(name, column, "vector")
    length = pc.list_value_length(column).to_numpy()
    if not len(length):
        return torch.zeros(0, 0)
    ragged = (length != length[0]).nonzero()[0]
    if len(ragged):
        row = int(ragged[0])
        raise DatasetError(f"{name}: row {row} has {length[row]} numbers, where row 0 has {length[0]}")
    return _float32(pc.list_flatten(column).to_numpy()).view(len(length), int(length[0]))


def _label_numbers(name: str, column: pa.ChunkedArray) -> Tensor:
    """Labels as whole numbers: int64 (n,)."""
    _refuse_missing(name, column, "label")
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return torch.from_numpy(np.unique(np.array(column.to_pylist()), return_inverse=True)[1])
    if not pa.types.is_integer(kind):
        raise DatasetError(f"{name}: labels are whole numbers or names, not {kind}")
    return torch.from_numpy(column.cast(pa.int64()).to_numpy().copy())


def write_embeddings(vectors: Tensor, labels: Tensor, encoder: str | None) -> bytes:
    """Embeddings float32 (n, D) with labels int64 (n,) as the bytes of a safetensors file.

    `encoder` is the sha256 of the file of the encoder that made them, where there is one.
    """
    return save_safetensors({"vectors": vectors, "labels": labels}, None if encoder is None else {_ENCODER: encoder})


def encoder_of(name: str, data: bytes) -> str | None:
    """The sha256 of the encoder that made the embeddings in a file, or those that a prior was fitted to.

    None where the file does not say. Raises DatasetError for a damaged file.
    """
    if not name.endswith(".safetensors"):
        return None
    with _damage_explained(name, ".safetensors file"):
        found = _header(data).get(_ENCODER)
    return found if isinstance(found, str) else None


def _header(data: bytes) -> dict[str, Any]:
    """What a safetensors file says beside its tensors."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said: dict[str, Any] = header.get("__metadata__", {})
    return said


_PARSERS: Mapping[str, Callable[[str, bytes, str | None, str | None], _Parsed]] = {
    ".npy": _parse_npy,
    ".parquet": _parse_parquet,
    ".safetensors": _parse_safetensors,
}


def write_prior(prior: PcaGaussian, encoder: str | None = None) -> bytes:
    """A prior as the bytes of a safetensors file; the same prior always gives the same ones.

    `encoder`: as in `write_embeddings`, of those that it was fitted to. Written by hand: the library keeps its metadata
    in no certain order. Parts are stored as float32.
    """
    header: dict[str, object] = {"__metadata__": _PRIOR_HEADER | ({} if encoder is None else {_ENCODER: encoder})}
    body = b""
    for part in _PRIOR_PARTS:
        tensor: Tensor = getattr(prior, part)
        raw = tensor.float().contiguous().numpy().astype("<f4").tobytes()
        header[part] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def read_prior(name: str, data: bytes) -> PcaGaussian:
    """The prior in a file's bytes. Raises DatasetError for any other file, and for numbers that are no prior."""
    with _damage_explained(name, "prior file"):
        tensors = load_safetensors(data)
        header = _header(data)
    if not _PRIOR_HEADER.items() <= header.items() or set(tensors) != set(_PRIOR_PARTS):
        raise DatasetError(f"{name} is no prior that this version reads (hypersynth-prior, version 1, pca_gaussian)")
    with _damage_explained(name, "prior file"):
        return PcaGaussian(*(tensors[part].float() for part in _PRIOR_PARTS))
