"""The log for machines: a line for everything that happens, appended, and never into somebody's file."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.making import typed

FEW = ("--set", "identities.count=4", "--set", "variations.views=2", "--set", "output.shard_size=4", "--workers", "0")


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_every_shard_has_a_line_with_its_worker_and_node(tmp_path: Path) -> None:
    log, folder = tmp_path / "build.jsonl", tmp_path / "out"
    assert typed("build", "barcode", "--out", folder, "--log", log, *FEW).code == 0
    told = lines(log)
    (planned,) = (line for line in told if line["event"] == "planned")
    assert (planned["shards"], planned["missing"], planned["pictures"]) == (2, 2, 8)
    finished = [line for line in told if line["event"] == "finished"]
    assert [line["shard"] for line in finished] == [0, 1]
    for line in finished:
        assert (line["node"], line["worker"]) == (socket.gethostname(), str(os.getpid()))
        assert line["kept"] + sum(line["rejected"].values()) == line["planned"] == 4
        assert line["seconds"]["render"] > 0
    assert [line["time"] for line in told] == sorted(line["time"] for line in told)


def test_a_build_that_ends_badly_says_why_and_the_next_one_is_appended(tmp_path: Path) -> None:
    log, folder = tmp_path / "build.jsonl", tmp_path / "out"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    assert typed("build", "barcode", "--out", folder, "--log", log, *FEW).code == 1
    (ended,) = lines(log)
    assert (ended["event"], ended["error"]) == ("ended", "PlanMismatchError")
    assert typed("build", "barcode", "--out", tmp_path / "other", "--log", log, *FEW).code == 0
    assert lines(log)[0] == ended
    assert len(lines(log)) > 3


@pytest.mark.parametrize("content", [b"name: mine\n", b"\xff\xd8\xff"])
def test_what_is_no_log_is_left_alone(tmp_path: Path, content: bytes) -> None:
    mine = tmp_path / "recipe.yaml"
    mine.write_bytes(content)
    said = typed("build", "barcode", "--out", tmp_path / "out", "--log", mine, *FEW).line
    assert said == f"{mine} is there, and is no log of a build"
    assert mine.read_bytes() == content
    assert "cannot write" in typed("build", "barcode", "--out", tmp_path / "out", "--log", tmp_path, *FEW).line
