"""The detector's arithmetic, with graphs made here that answer as SCRFD does."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.detectors.scrfd import ANCHORS, STRIDES_PX, Detector, Faces, decoded, main_points, without_doubles
from synth.section import InputFile


def face_graph(
    side_px: int,
    points: list[list[float]] | None,
    stride: int = 8,
    colours: tuple[float, float, float] = (0, 0, 0),
    any_size: bool = False,
) -> onnx.ModelProto:
    """A graph that sees the five points, and a box around them, in every picture; none sees nobody.

    Its nine outputs have SCRFD's order and shapes. It looks at its input as far as to add the means of its channels,
    times `colours`, to all that it gives. With `any_size` it does not say which size it wants.
    """
    nodes, constants, outputs = [], [], []
    answers = [_answers(side_px, points if each == stride else None, each) for each in STRIDES_PX]
    for kind, width in enumerate((1, 4, 10)):
        for level, each in enumerate(STRIDES_PX):
            name = f"out_{kind}_{each}"
            constants.append(numpy_helper.from_array(answers[level][kind], f"answer_{name}"))
            nodes.append(helper.make_node("Add", [f"answer_{name}", "seen"], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(answers[level][kind]), width]))
    nodes.insert(0, helper.make_node("ReduceMean", ["input.1"], ["means"], axes=[0, 2, 3], keepdims=0))
    nodes.insert(1, helper.make_node("Mul", ["means", "colours"], ["coloured"]))
    nodes.insert(2, helper.make_node("ReduceMean", ["coloured"], ["seen"], keepdims=0))
    constants.append(numpy_helper.from_array(3 * np.array(colours, np.float32), "colours"))
    sides = ["height", "width"] if any_size else [side_px, side_px]
    given = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, *sides])
    graph = helper.make_graph(nodes, "faces", [given], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _answers(side_px: int, points: list[list[float]] | None, stride: int) -> list[np.ndarray[Any, Any]]:
    cells = side_px // stride
    count = cells * cells * ANCHORS
    answers = [np.zeros((count, width), np.float32) for width in (1, 4, 10)]
    if points is not None:
        five = np.array(points, np.float32)
        column, row = (five[2] // stride).astype(int)  # the cell of the nose
        place = (row * cells + column) * ANCHORS + 1
        corner = np.array([column, row], np.float32) * stride
        low, high = five.min(0) - 5, five.max(0) + 5
        answers[0][place] = 0.9
        answers[1][place] = np.concatenate((corner - low, high - corner)) / stride
        answers[2][place] = ((five - corner) / stride).ravel()
    return answers


POINTS = [[40.0, 50.0], [72.0, 52.0], [57.0, 70.0], [44.0, 88.0], [70.0, 89.0]]


def opened(model: onnx.ModelProto, folder: Path, input_px: int = 128) -> Detector:
    onnx.save(model, folder / "detector.onnx")
    return Detector.open(InputFile(url=f"{folder}/detector.onnx"), input_px, Backend())


@pytest.mark.parametrize("stride", STRIDES_PX)
def test_points_are_found_where_the_graph_says(stride: int, tmp_path: Path) -> None:
    found = opened(face_graph(128, POINTS, stride), tmp_path).detect(torch.zeros(2, 3, 128, 128))
    assert [len(each) for each in found] == [1, 1]
    points, seen = main_points(found, 128)
    assert seen.tolist() == [True, True]
    assert torch.allclose(points[0], torch.tensor(POINTS), atol=1e-3)


def test_a_graph_of_one_size_sees_pictures_of_any(tmp_path: Path) -> None:
    found = opened(face_graph(128, POINTS), tmp_path, 512).detect(torch.zeros(1, 3, 256, 256))
    points, _ = main_points(found, 256)
    assert torch.allclose(points[0], torch.tensor(POINTS) * 2 + 0.5, atol=1e-3)
    assert found[0].boxes[0].tolist() == pytest.approx([70.5, 90.5, 154.5, 188.5], abs=1e-3)  # 5 px around them, twice


def test_a_graph_of_any_size_sees_the_recipe_s(tmp_path: Path) -> None:
    found = opened(face_graph(128, POINTS, any_size=True), tmp_path, 128).detect(torch.zeros(1, 3, 256, 256))
    assert torch.allclose(main_points(found, 256)[0], torch.tensor(POINTS) * 2 + 0.5, atol=1e-3)


def test_the_network_sees_rgb_from_minus_one_to_nearly_one(tmp_path: Path) -> None:
    colours, picture = (0.1, 0.02, 0.003), torch.tensor([255.0, 127.5, 0.0])[None, :, None, None]
    plain, scaling = face_graph(128, POINTS, colours=colours), face_graph(128, POINTS, colours=colours)
    scaling.graph.node[0].input[0] = "scaled"  # a graph that does it itself, as some that came from MXNet do
    scaling.graph.node.insert(0, helper.make_node("Sub", ["input.1", "mean"], ["centred"]))
    scaling.graph.node.insert(1, helper.make_node("Div", ["centred", "std"], ["scaled"]))
    scaling.graph.initializer.append(numpy_helper.from_array(np.float32(127.5), "mean"))
    scaling.graph.initializer.append(numpy_helper.from_array(np.float32(128), "std"))
    for graph in (plain, scaling):
        found = opened(graph, tmp_path).detect(picture.expand(1, 3, 128, 128))
        moved = main_points(found, 128)[0] - torch.tensor(POINTS)
        assert torch.allclose(moved, torch.full((1, 5, 2), 8 * (0.1 - 0.003) * 127.5 / 128), atol=1e-3)


def test_nobody_is_found_where_nobody_is(tmp_path: Path) -> None:
    points, seen = main_points(opened(face_graph(128, None), tmp_path).detect(torch.zeros(3, 3, 128, 128)), 128)
    assert not seen.any()
    assert not points.any()


def faces(*boxes: tuple[float, float, float, float], scores: tuple[float, ...]) -> Faces:
    points = np.zeros((len(boxes), 5, 2), np.float32) + np.arange(len(boxes), dtype=np.float32)[:, None, None]
    points[:, 1:] += 9  # apart from the first, so that something could be aligned by them
    return Faces(np.array(scores, np.float32), np.array(boxes, np.float32).reshape(-1, 4), points)


def test_of_doubles_the_surest_stays() -> None:
    found = faces((0, 0, 10, 10), (1, 1, 11, 11), (40, 40, 50, 50), scores=(0.6, 0.9, 0.7))
    kept = without_doubles(found)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7])
    assert kept.points[:, 0, 0].tolist() == [1, 2]


def test_boxes_without_an_area_overlap_nothing() -> None:
    assert len(without_doubles(faces((5, 5, 5, 5), (5, 5, 5, 5), scores=(0.6, 0.9)))) == 2


def test_the_main_face_is_large_and_central() -> None:
    corner, middle = (0, 0, 30, 30), (40, 40, 68, 68)
    points, _ = main_points([faces(corner, middle, scores=(0.9, 0.6))], 100)
    assert points[0, 0, 0] == 1


def test_a_face_whose_points_lie_on_one_another_is_none() -> None:
    heap, whole = faces((0, 0, 60, 60), scores=(0.9,)), faces((0, 0, 60, 60), (70, 70, 90, 90), scores=(0.9, 0.6))
    heap.points[:] = 30.0
    whole.points[0] = 30.0
    points, seen = main_points([heap, whole], 100)
    assert seen.tolist() == [False, True]
    assert points[1, 0, 0] == 1
    assert not points[0].any()


def test_unsure_candidates_do_not_count() -> None:
    scores = np.array([0.49, 0.51, 0.0, 0.0], np.float32).repeat(2)
    boxes, points = np.ones((8, 4), np.float32), np.zeros((8, 10), np.float32)
    found = decoded(scores, boxes, points, 2, 8)
    assert found.boxes.tolist() == [[0, -8, 16, 8]] * 2  # of the cell at (8, 0), both anchors


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    model = face_graph(128, None)
    del model.graph.output[6:]
    onnx.save(model, tmp_path / "boxes.onnx")
    with pytest.raises(DatasetError, match="1 inputs and 6 outputs where 1 and 9 are due"):
        Detector.preflight(InputFile(url=f"{tmp_path}/boxes.onnx"))
    (tmp_path / "noise.onnx").write_bytes(b"no graph")
    with pytest.raises(DatasetError, match="is no ONNX graph that can be run"):
        Detector.preflight(InputFile(url=f"{tmp_path}/noise.onnx"))
    wide = face_graph(128, None)
    wide.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    wide.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 64
    onnx.save(wide, tmp_path / "wide.onnx")
    detector = Detector.open(InputFile(url=f"{tmp_path}/wide.onnx"), 64, Backend())
    with pytest.raises(DatasetError, match="512 scores at stride 8 for 64 px, not 128"):
        detector.detect(torch.zeros(1, 3, 64, 64))
