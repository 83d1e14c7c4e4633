"""ONNX graphs: what is fed to them, what comes out, and what is told where they are something else."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import Tensor

from samplers.errors import DatasetError, MissingPackageError, StorageError
from synth.backend import Backend
from synth.encoders.onnx import OnnxEncoder
from synth.encoders.onnx_graph import operations, scales_its_input
from synth.encoders.settings import OnnxSettings
from synth.onnx_session import open_session
from synth.section import InputFile
from tests.encoders.graphs import of_graph, store_graph, store_nodes
from tests.encoders.refusals import refused


def pictures(count: int, side: int = 112) -> Tensor:
    shape = (count, side, side, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def means(images: Tensor) -> Tensor:
    """The mean of each channel, scaled as ArcFace is: float32 (B, 3)."""
    return ((images.double().mean((1, 2)) - 127.5) / 127.5).float()


def opened(path: Path, convention: str = "arcface", *, flip: bool = False) -> OnnxEncoder:
    return OnnxEncoder.open(of_graph(path, convention, flip=flip), Backend())


def refusal(chosen: OnnxSettings) -> str:
    said = refused(chosen, chosen.model.url)
    assert said.startswith(" "), "the file was named first"
    return said


@pytest.mark.parametrize("takes", [("batch", 3, 112, 112), (1, 3, 112, 112), (4, 3, 112, 112), ("b", 3, "h", "w")])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_features_come_for_every_picture_whatever_batch_the_graph_wants(
    tmp_path: Path, takes: tuple[int | str, ...], count: int
) -> None:
    path = store_graph(tmp_path / "g.onnx", takes=takes)
    encoder, images = opened(path), pictures(count)
    found = encoder.embed(images)
    assert encoder.dimension == OnnxEncoder.preflight(of_graph(path)) == 3
    assert (found.dtype, found.device.type) == (torch.float32, "cpu")
    assert torch.allclose(found, means(images), rtol=0, atol=1e-5)


def test_pictures_are_averaged_to_the_side_of_the_graph(tmp_path: Path) -> None:
    images = pictures(2, 224)
    for side in (112, 128):
        encoder = opened(store_graph(tmp_path / "g.onnx", takes=("b", 3, side, side)))
        assert torch.allclose(encoder.embed(images), means(images), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("before", "in_graph"),
    [
        ((), False),
        ((("Sub", 127.5), ("Mul", 1 / 127.5)), True),
        ((("Sub", 127.5), ("Div", 127.5)), True),
        ((("Sub", 0.0),), False),
        ((("Mul", 1.0),), False),
    ],
)
def test_a_graph_that_scales_is_fed_whole_values(
    tmp_path: Path, before: tuple[tuple[str, float], ...], in_graph: bool
) -> None:
    path = store_graph(tmp_path / "g.onnx", before=before)
    assert scales_its_input(path) == in_graph
    images = pictures(3)
    assert torch.allclose(opened(path).embed(images), means(images), rtol=0, atol=1e-5)
    reversed_ = opened(path, "adaface").embed(images)  # scaled by the graph or not, BGR stays BGR
    assert torch.allclose(reversed_, means(images).flip(1), rtol=0, atol=1e-5)


def test_only_what_stands_before_the_first_weights_scales_the_input(tmp_path: Path) -> None:
    """A Sub and a Mul behind a convolution are the network's own."""
    path = store_graph(tmp_path / "g.onnx")
    model = onnx.load(str(path))
    model.graph.node.extend(
        [helper.make_node("Sub", ["feature"] * 2, ["a"]), helper.make_node("Mul", ["a"] * 2, ["b"])]
    )
    onnx.save(model, str(path))
    assert not scales_its_input(path)


def test_the_norm_that_a_graph_gives_apart_becomes_the_length(tmp_path: Path) -> None:
    images = pictures(4)
    encoder = opened(store_graph(tmp_path / "g.onnx", norm=True), "adaface_rgb")
    assert encoder.dimension == 3
    assert torch.allclose(encoder.embed(images), means(images), rtol=0, atol=1e-5)


def test_flipping_takes_the_mean_of_both_so_that_a_length_stays_a_length(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["pictures"], ["flat"]),
        helper.make_node("Slice", ["flat", "start", "end", "axis"], ["feature"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([value]), name)
        for name, value in (("start", 0), ("end", 112), ("axis", 1))
    ]
    takes = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["b", 3, 112, 112])
    gives = [helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["b", 112])]
    path = store_nodes(tmp_path / "row.onnx", nodes, takes, gives, constants)
    images = pictures(2)
    plain, merged = opened(path).embed(images), opened(path, flip=True).embed(images)
    assert torch.allclose(merged, (plain + plain.flip(1)) / 2, rtol=0, atol=1e-6)
    assert torch.equal(opened(path).embed(images.flip(2)), plain.flip(1))


def test_what_is_no_graph_is_told(tmp_path: Path) -> None:
    for name, data in {"text": b"not a graph", "empty": b""}.items():
        (tmp_path / name).write_bytes(data)
        assert refusal(of_graph(tmp_path / name)).startswith(" is no ONNX graph that can be run: ")
    whole = store_graph(tmp_path / "g.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    assert refusal(of_graph(tmp_path / "cut.onnx")).startswith(" is no ONNX graph that can be run: ")
    with pytest.raises(StorageError, match="No such file"):
        OnnxEncoder.preflight(of_graph(tmp_path / "absent.onnx"))


@pytest.mark.parametrize(
    "takes", [("b", 4, 112, 112), ("b", 3, 112, 96), ("b", 3, 112)], ids=["channels", "not square", "three axes"]
)
def test_a_graph_that_does_not_take_pictures_is_told(tmp_path: Path, takes: tuple[int | str, ...]) -> None:
    nodes = [helper.make_node("Flatten", ["pictures"], ["feature"])]
    due = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, list(takes))
    gives = [helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["b", "d"])]
    path = store_nodes(tmp_path / "g.onnx", nodes, due, gives, [])
    assert "due are square float32 pictures (batch, 3, side, side)" in refusal(of_graph(path))


def test_a_graph_that_does_not_give_features_is_told(tmp_path: Path) -> None:
    takes = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["b", 3, 112, 112])
    gives = [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["b", 3, 112, 112])]
    path = store_nodes(tmp_path / "g.onnx", [helper.make_node("Neg", ["pictures"], ["map"])], takes, gives, [])
    assert refusal(of_graph(path)) == (
        " gives map [1, 3, 112, 112]; due are features (batch, dimension), alone or with their norm"
    )


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    path = store_graph(tmp_path / "g.onnx")
    pinned = of_graph(path).model_copy(update={"model": of_graph(path).model.pinned()})
    assert pinned.model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert OnnxEncoder.preflight(pinned) == 3
    store_graph(path, norm=True)
    assert refusal(pinned).startswith(" does not have the sha256 that the recipe names: ")


def test_a_device_and_a_package_that_are_not_there_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = of_graph(store_graph(tmp_path / "g.onnx"))
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(MissingPackageError, match=r"pip install onnxruntime-gpu.* --set backend\.device=cpu$"):
            OnnxEncoder.open(chosen, Backend(device="cuda"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'hypersynth\[models\]'$"):
        OnnxEncoder.open(chosen, Backend())


def test_the_same_pictures_give_the_same_bits_again(tmp_path: Path) -> None:
    path, images = store_graph(tmp_path / "g.onnx", norm=True), pictures(5)
    assert torch.equal(opened(path).embed(images), opened(path).embed(images))
    assert list(opened(path).fingerprint()) == ["onnxruntime"]


def test_a_session_computes_with_the_backend_s_threads(tmp_path: Path) -> None:
    path = store_graph(tmp_path / "g.onnx")
    settings_ = open_session(InputFile(url=str(path)), Backend(threads=3)).get_session_options()
    assert (settings_.intra_op_num_threads, settings_.inter_op_num_threads) == (3, 1)
    assert settings_.use_deterministic_compute


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["Sub", "Mul", "Conv", "PRelu", "Constant", "BatchNormalization"]), max_size=8),
    st.binary(max_size=300),
)
def test_operations_are_read_as_the_onnx_package_reads_them(tmp_path: Path, types: list[str], raw: bytes) -> None:
    """Whatever other fields, of any length, stand around them."""
    nodes = [
        helper.make_node(kind, ["x"], ["y"], name=f"n{place}", a=1.5, b=[1, -7]) for place, kind in enumerate(types)
    ]
    weights = helper.make_tensor("w", TensorProto.UINT8, [len(raw)], raw, raw=True)
    graph = helper.make_graph(nodes, "any", [], [], [weights], doc_string="d" * len(raw))
    model = helper.make_model(graph, producer_name="p" * 200)
    onnx.save(model, str(tmp_path / "g.onnx"))
    assert list(operations(tmp_path / "g.onnx")) == types


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_are_read_or_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "g.onnx").write_bytes(b"\x3a" + data)
    try:
        list(operations(tmp_path / "g.onnx"))
    except DatasetError as told:
        message = str(told)
        assert message == "g.onnx is no ONNX graph, or is damaged"
