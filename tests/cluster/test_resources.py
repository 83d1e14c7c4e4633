"""Machines and how many workers they hold: pure arithmetic, told by tables."""

from typing import Any

import pytest
from pydantic import ValidationError

from cluster.resources import NodeGroup, Resources, capacity, fitting, machines_for


@pytest.mark.parametrize(
    ("machine", "worker", "threads", "held"),
    [
        ({"cpus": 8, "memory_gb": 100}, {}, 1, 8),
        ({"cpus": 8, "memory_gb": 100}, {}, 3, 2),
        ({"cpus": 8, "memory_gb": 100}, {}, 16, 0),
        ({"cpus": 64, "memory_gb": 100}, {"memory_gb": 10}, 1, 7),  # Ray keeps 30 % for its object store
        ({"cpus": 64, "memory_gb": 1000, "gpus": 4}, {"gpus_per_worker": 1}, 2, 4),
        ({"cpus": 64, "memory_gb": 1000, "gpus": 4}, {"gpus_per_worker": 0.5}, 2, 8),
        ({"cpus": 64, "memory_gb": 1000, "gpus": 4}, {"gpus_per_worker": 0.4}, 2, 8),  # no share spans two GPUs
        ({"cpus": 64, "memory_gb": 1000, "gpus": 1}, {"gpus_per_worker": 0.1}, 1, 10),
        ({"cpus": 64, "memory_gb": 1000, "gpus": 4}, {"gpus_per_worker": 2}, 2, 2),
        ({"cpus": 64, "memory_gb": 1000}, {"gpus_per_worker": 1}, 2, 0),
    ],
)
def test_a_machine_holds_as_many_workers_as_its_scarcest_part(
    machine: dict[str, Any], worker: dict[str, Any], threads: int, held: int
) -> None:
    assert fitting(NodeGroup(**machine), Resources(**worker), threads) == held


@pytest.mark.parametrize("worker", [{}, {"gpus_per_worker": 0.3}, {"gpus_per_worker": 4, "memory_gb": 21.3}])
@pytest.mark.parametrize("threads", [1, 7])
def test_machines_of_its_own_hold_just_one_worker(worker: dict[str, Any], threads: int) -> None:
    resources = Resources(**worker)
    group = machines_for(5, resources, threads)
    assert (group.nodes, fitting(group, resources, threads)) == (5, 1)


def test_machines_for_workers_that_must_have_a_kind_of_gpu_have_it() -> None:
    resources = Resources(accelerator="L4")
    group = machines_for(1, resources, 1)
    assert (group.accelerator, group.gpus, fitting(group, resources, 1)) == ("L4", 1, 1)


MIXED = (
    NodeGroup(name="l4", nodes=3, cpus=8, memory_gb=64, gpus=1, accelerator="L4", spot=True),
    NodeGroup(name="a100", nodes=2, cpus=96, memory_gb=1000, gpus=8, accelerator="A100"),
)


def test_groups_of_several_kinds_add_up_and_a_demand_for_one_kind_leaves_the_others_out() -> None:
    worker = {"gpus_per_worker": 1, "groups": MIXED}
    assert capacity(MIXED, Resources(**worker), 2) == 3 + 16
    assert capacity(MIXED, Resources(**worker, accelerator="L4"), 2) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": [MIXED[0], MIXED[0]]}, "two groups are named 'l4'"),
        ({"groups": MIXED, "accelerator": "H100"}, "every worker must have a H100, but no group does"),
        ({"groups": [{"cpus": 4, "memory_gb": 8, "accelerator": "L4"}]}, "names an accelerator, but has no gpus"),
        ({"groups": [{"cpus": 4, "memory_gb": 8, "machine": "g6\n#SBATCH --wrap"}]}, "should match pattern"),
        ({"groups": [{"cpus": 4, "memory_gb": 8, "name": "Workers"}]}, "should match pattern"),
        ({"image": "hypersynth --privileged"}, "should match pattern"),
        ({"aws": {"region": "us-west-2", "ami": "latest", "instance_profile": "x"}}, "should match pattern"),
    ],
)
def test_what_makes_no_sense_or_is_no_plain_word_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Resources(**settings)
