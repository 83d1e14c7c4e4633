"""Ids of submissions, and which job of a cluster is followed or started."""

import re
from dataclasses import replace

import pytest

from cluster.resources import NodeGroup, Resources
from cluster.submission import Attempt, Submission, next_attempt

BUILD = Submission(
    plan_hash="0123456789abcdef" * 4,
    out_url="s3://bucket/faces",
    workers=4,
    recipe="name: faces\n",
    resources=Resources(),
    groups=(NodeGroup(cpus=4, memory_gb=8),),
)


def test_an_id_is_made_of_the_plan_and_the_place_alone() -> None:
    assert re.fullmatch(r"hypersynth-0123456789abcdef-[0-9a-f]{8}", BUILD.id)
    assert len(BUILD.id) + len("-99") <= 47, "more than KubeRay takes"
    same = (replace(BUILD, workers=9, recipe="name: x\n"), replace(BUILD, out_url="s3://bucket/faces/"))
    assert {each.id for each in same} == {BUILD.id}
    others = (replace(BUILD, plan_hash="f" * 64), replace(BUILD, out_url="s3://bucket/other"))
    assert len({BUILD.id, *(each.id for each in others)}) == 3


def test_a_submission_knows_the_words_that_do_the_build() -> None:
    words = ("build", "r.yaml", "--out", "s3://bucket/faces", "--workers", "4", "--address", "auto")
    assert BUILD.command("r.yaml") == ("hypersynth", *words)
    assert BUILD.command("r.yaml", ("python", "-m", "jobs")) == ("python", "-m", "jobs", *words)


@pytest.mark.parametrize(
    ("jobs", "due"),
    [
        ({}, Attempt("b", runs=False)),
        ({"b": False}, Attempt("b", runs=True)),
        ({"b": True}, Attempt("b-2", runs=False)),
        ({"b": True, "b-2": False}, Attempt("b-2", runs=True)),
        ({"b-10": True, "b-9": True, "b": True}, Attempt("b-11", runs=False)),
        ({"b-2": False, "b": True, "b-3": True}, Attempt("b-4", runs=False)),
        ({"b-x": False, "bb": False, "b-2-2": False, "other": False}, Attempt("b", runs=False)),
    ],
)
def test_a_job_that_runs_is_followed_and_one_that_ended_is_numbered_on(jobs: dict[str, bool], due: Attempt) -> None:
    assert next_attempt("b", jobs) == due
