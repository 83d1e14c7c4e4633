"""Tiny ONNX graphs that are what recognisers are to an encoder, but whose features can be worked out by hand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from synth.encoders.settings import OnnxSettings
from synth.section import InputFile

Axes = list[int | str]


def store_graph(
    path: Path,
    *,
    before: tuple[tuple[str, float], ...] = (),
    norm: bool = False,
    takes: tuple[int | str, ...] = ("batch", 3, 112, 112),
    weighted: bool = True,
) -> Path:
    """A graph that gives each channel's mean over the picture: features (B, 3).

    `before`: operations with a number that stand first, `("Sub", 127.5)`. `weighted`: with a convolution that changes
    nothing. `norm`: give the means normalised, and their length apart, as AdaFace does.
    """
    nodes, constants, last = [], [], "pictures"
    for place, (operation, number) in enumerate(before):
        constants.append(numpy_helper.from_array(np.array(number, np.float32), f"number{place}"))
        nodes.append(helper.make_node(operation, [last, f"number{place}"], [f"before{place}"], name=f"step{place}"))
        last = f"before{place}"
    if weighted:
        constants.append(numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "kernel"))
        nodes.append(helper.make_node("Conv", [last, "kernel"], ["same"]))
        last = "same"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["means" if norm else "feature"]))
    gives = [helper.make_tensor_value_info("feature", TensorProto.FLOAT, [takes[0], 3])]
    if norm:
        nodes.append(helper.make_node("ReduceL2", ["means"], ["norm"], axes=[1], keepdims=1))
        nodes.append(helper.make_node("Div", ["means", "norm"], ["feature"]))
        gives.append(helper.make_tensor_value_info("norm", TensorProto.FLOAT, [takes[0], 1]))
    pictures = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, list(takes))
    return store_nodes(path, nodes, pictures, gives, constants)


def store_nodes(
    path: Path,
    nodes: list[onnx.NodeProto],
    takes: onnx.ValueInfoProto,
    gives: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> Path:
    """Check and store a graph."""
    graph = helper.make_graph(nodes, "tiny", [takes], gives, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def of_graph(path: Path, convention: str = "arcface", *, flip: bool = False) -> OnnxSettings:
    """An encoder's settings as a recipe would hold them."""
    fields = {"model": InputFile(url=str(path)), "convention": convention, "flip": flip}
    return OnnxSettings.model_validate(fields)
