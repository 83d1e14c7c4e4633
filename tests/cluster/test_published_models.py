"""Builds with networks: the same bytes for any number of workers, redraws and checks by an encoder included."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from jobs.recipe import load_recipe
from synth.renderers.vec2face.network import SIZES, FeatureAutoencoder, PoseCondition
from tests.conftest import build_here
from tests.encoders.graphs import store_nodes
from tests.files import digests
from tests.processes import LIMIT_S

PEOPLE, VIEWS = 9, 4
LEAST = 164  # of the embeddings' length: about half of the pictures have it


def store_encoder(path: Path) -> Path:
    """A graph from pictures to 512 numbers: a fixed random projection of 8 x 8 means."""
    project = np.random.default_rng(1).normal(size=(192, 512)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["pictures"], ["means"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "project"], ["feature"]),
    ]
    takes = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", 3, 112, 112])
    gives = helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["batch", 512])
    stored: onnx.TensorProto = numpy_helper.from_array(project, "project")
    return store_nodes(path, nodes, takes, [gives], [stored])


def recipe(folder: Path, kind: str) -> dict[str, Any]:
    """A small dataset by a tiny random network, some of whose pictures are refused for their quality."""
    return {
        "name": "tiny",
        "date": "2026-11-25",
        "identities": {"count": PEOPLE, "separation": {"max_cosine": 0.4}},
        "variations": {"views": VIEWS, "vector": {"kind": "gaussian_mixture", "sigmas": [0.02], "shares": [1]}},
        "renderer": {"kind": kind, "network": "tiny", "weights": f"{folder}/{kind}.pth", "feature_norm": 21.9},
        "encoders": {"grader": {"kind": "onnx", "convention": "adaface", "model": f"{folder}/encoder.onnx"}},
        "checks": {
            "list": [
                {"kind": "cosine_to_anchor", "encoder": "grader", "min": -1},
                {"kind": "quality", "encoder": "grader", "min": LEAST},
            ],
            "attempts": 3,
        },
        "output": {"shard_size": 9, "embeddings": True},
        "backend": {"micro_batch": 4},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, an encoder and recipes."""
    made = tmp_path_factory.mktemp("published")
    torch.manual_seed(4)
    tensors = FeatureAutoencoder(SIZES["tiny"]).state_dict()
    tensors["im_decoder.conv_out.weight"] *= 8  # random pictures are grey otherwise
    torch.save({"model_vec2face": tensors}, made / "vec2face.pth")
    pose = PoseCondition(SIZES["tiny"].width).state_dict()
    torch.save({"model_vec2face": tensors, "pose_model": pose}, made / "vec2face_plus.pth")
    save_file(tensors, made / "vec2face.safetensors")
    store_encoder(made / "encoder.onnx")
    for kind in ("vec2face", "vec2face_plus"):
        (made / f"{kind}.yaml").write_text(yaml.safe_dump(recipe(made, kind)))
    return made


def build(folder: Path, kind: str, out: Path, workers: int, *more: str) -> dict[str, str]:
    words = [sys.executable, "-m", "jobs", "build", f"{folder}/{kind}.yaml", "--out", str(out), "--workers"]
    ended = subprocess.run(
        [*words, str(workers), *more],
        capture_output=True,
        text=True,
        env={**os.environ, "HYPERSYNTH_CACHE": str(folder)},
        check=False,
        timeout=LIMIT_S,
    )
    assert ended.returncode == 0, ended.stderr
    return digests(out)


def rows(out: Path) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted((out / "index").glob("*.parquet"))]
    found: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return found


@pytest.mark.parametrize("kind", ["vec2face", "vec2face_plus"])
def test_one_process_and_two_workers_give_the_same_bytes(folder: Path, tmp_path: Path, kind: str) -> None:
    alone = build(folder, kind, tmp_path / "alone", 0)
    assert "dataset.json" in alone
    assert build(folder, kind, tmp_path / "two", 2) == alone
    seen = rows(tmp_path / "alone")
    assert len(seen) == PEOPLE * VIEWS
    assert {row["outcome"] for row in seen} == {"kept", "rejected"}
    assert {row["reason"] for row in seen if row["outcome"] == "rejected"} == {"quality"}
    assert max(row["attempts"] for row in seen if row["outcome"] == "kept") > 1, "some were saved by a redraw"
    assert all((row["quality"] >= LEAST) == (row["outcome"] == "kept") for row in seen)


def test_a_micro_batch_is_the_plans_and_changes_pictures_by_rounding_alone(folder: Path, tmp_path: Path) -> None:
    made, lengths = {}, {}
    for size in (1, 16):
        for name in ("first", "again"):
            out = tmp_path / f"{size}-{name}"
            build_here(load_recipe(f"{folder}/vec2face.yaml", {"backend.micro_batch": size}), out)
            made[size, name], lengths[size] = digests(out), [row["quality"] for row in rows(out)]
        assert made[size, "first"] == made[size, "again"]
        # Another size is another plan, whose kernels round otherwise.
        assert lengths[size] == pytest.approx(lengths[1], abs=0.5)
    assert len({json.dumps(made[size, "first"], sort_keys=True) for size in (1, 16)}) == 2
