"""What stands first in an ONNX graph: whether it scales its input itself.

onnxruntime runs graphs but does not show what is in them, so the few fields wanted here are read from the file: of
protocol buffers, only what is needed to step over everything else. This module does not run graphs.

Source: the ONNX standard's onnx.proto3 (field numbers), and the protocol buffers' wire format.
"""

import mmap
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from samplers.errors import DatasetError

_GRAPH_OF_MODEL, _NODE_OF_GRAPH, _TYPE_OF_NODE = 7, 1, 4  # field numbers
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5  # kinds of fields on the wire
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_LONGEST_VARINT = 10
_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})


def scales_its_input(path: Path) -> bool:
    """Whether a graph subtracts and multiplies (or divides) before its first layer with weights.

    Such graphs take values from 0 to 255 as they are: InsightFace's own rule for models that came from MXNet, there by
    the names of the first eight nodes, here by what they do (deepinsight/insightface, model_zoo/arcface_onnx.py).
    Raises DatasetError for a file that is damaged.
    """
    first = set(takewhile(lambda operation: operation not in _WEIGHTED, operations(path)))
    return "Sub" in first and bool(first & {"Mul", "Div"})


def operations(path: Path) -> Iterator[str]:
    """The types of a graph's nodes, in the file's order, which is that of the computation."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            for graph in _counted(data, (0, len(data)), _GRAPH_OF_MODEL):
                for node in _counted(data, graph, _NODE_OF_GRAPH):
                    for start, end in _counted(data, node, _TYPE_OF_NODE):
                        yield data[start:end].decode()
        except (IndexError, ValueError) as damage:
            raise DatasetError(f"{path.name} is no ONNX graph, or is damaged") from damage


def _counted(data: mmap.mmap, within: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    """Where the contents of all fields of one number lie, of those that say their length, within a message."""
    place, end = within
    while place < end:
        tag, place = _varint(data, place)
        field, kind = tag >> 3, tag & 7
        length = 0
        if kind == _VARINT:
            _, place = _varint(data, place)
        elif kind == _COUNTED:
            length, place = _varint(data, place)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"a field of kind {kind}")
        if place + length > end:
            raise ValueError("a field that ends after its message")
        if kind == _COUNTED and field == wanted:
            yield place, place + length
        place += length


def _varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the place after it."""
    value = 0
    for digit in range(_LONGEST_VARINT):
        byte = data[place + digit]
        value |= (byte & 0x7F) << (7 * digit)
        if byte < 0x80:
            return value, place + digit + 1
    raise ValueError("a number without end")
