"""Where the work runs: what a recipe's `resources` say of machines, and how many workers fit on them.

Frozen records and arithmetic. None of it changes a byte of the dataset, so none of it belongs to the plan. This module
does not import Ray, and does not know how a cluster is asked for such machines (`cluster.manifests`).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field, model_validator

from samplers.errors import RecipeError
from synth.section import Section

#: Ray keeps this share of a machine's memory for its object store, and counts only the rest as memory.
OBJECT_STORE_SHARE = 0.3
_TINY = 1e-9  # 0.1 goes ten times into 1, whatever floating point says

#: Goes into manifests and scripts as it is, so it is a plain word.
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

MOST_MACHINES: Final = 10_000  # of one kind


class NodeGroup(Section):
    """Machines of one kind. They come and go with the work; only Slurm gives all of them, at once."""

    name: str = Field("workers", pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")
    nodes: int = Field(1, ge=1, le=MOST_MACHINES, description="machines at most; on Slurm exactly")
    cpus: int = Field(ge=1, le=4096, description="of one machine")
    memory_gb: float = Field(gt=0, le=1e6, description="of one machine")
    gpus: int = Field(0, ge=0, le=64, description="of one machine")
    accelerator: Word | None = Field(None, description="the kind of its GPUs as Ray names it: L4, A100, H100")
    machine: Word | None = Field(None, description="instance type (AWS, Kubernetes) or feature (Slurm)")
    spot: bool = Field(False, description="may be taken away at any moment, and costs less (AWS, Kubernetes)")


class Aws(Section):
    """What only AWS asks for."""

    region: Word
    ami: str = Field(pattern=r"^ami-[0-9a-f]{8,17}$", description="with Docker, and a driver for the GPUs")
    instance_profile: Word = Field(description="of the workers: may write to the bucket")


class Resources(Section):
    """Where the work runs. Neither hashed nor stored with the dataset."""

    gpus_per_worker: float = Field(0, ge=0, le=64, description="a share of one, or whole ones")
    memory_gb: float = Field(2, gt=0, le=1e6, description="of one worker")
    stuck_minutes: float = Field(15, gt=0, description="a worker that does not come further for so long is replaced")
    accelerator: Word | None = Field(None, description="every worker must have a GPU of this kind: L4, A100, H100")
    groups: tuple[NodeGroup, ...] = Field((), description="machines to ask for; none: one for each worker")
    image: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$",
        description="the container image of cluster/Dockerfile, for Kubernetes and AWS",
    )
    service_account: Word | None = Field(None, description="of the pods on Kubernetes: may write to the bucket")
    aws: Aws | None = None

    @model_validator(mode="after")
    def _groups_make_sense(self) -> "Resources":
        if self.gpus_per_worker > 1 and self.gpus_per_worker % 1:
            raise ValueError(f"gpus_per_worker is {self.gpus_per_worker:g}: a share of one GPU, or whole ones")
        names = [group.name for group in self.groups]
        if len(set(names)) < len(names):
            raise ValueError(f"two groups are named {max(names, key=names.count)!r}")
        for group in self.groups:
            if group.accelerator is not None and group.gpus == 0:
                raise ValueError(f"the group {group.name!r} names an accelerator, but has no gpus")
        if self.accelerator is not None and self.groups and self.accelerator not in _kinds(self.groups):
            raise ValueError(
                f"every worker must have a {self.accelerator}, but no group does; name it as a group's accelerator"
            )
        return self


def _kinds(groups: Sequence[NodeGroup]) -> set[str | None]:
    return {group.accelerator for group in groups}


def fitting(group: NodeGroup, resources: Resources, threads: int) -> int:
    """How many workers of so many threads one machine of a group holds; none where its GPUs are of the wrong kind."""
    if resources.accelerator not in (None, group.accelerator):
        return 0
    memory_gb = group.memory_gb * (1 - OBJECT_STORE_SHARE)
    limits = [group.cpus // threads, int(memory_gb / resources.memory_gb + _TINY)]
    if (share := resources.gpus_per_worker) > 1:
        limits.append(int(group.gpus / share + _TINY))
    elif share > 0:
        limits.append(group.gpus * int(1 / share + _TINY))  # a worker's share is of one GPU
    return min(limits)


def capacity(groups: Sequence[NodeGroup], resources: Resources, threads: int) -> int:
    """How many workers all machines of the groups hold."""
    return sum(group.nodes * fitting(group, resources, threads) for group in groups)


def machines_for(workers: int, resources: Resources, threads: int) -> NodeGroup:
    """Machines that hold one worker each, and nothing else: for a recipe that names no groups.

    Raises RecipeError for more than can be asked for.
    """
    if workers > MOST_MACHINES:
        raise RecipeError(f"{workers} workers on a machine each are too many: name larger ones in resources.groups")
    gpus = math.ceil(resources.gpus_per_worker)
    return NodeGroup(
        nodes=workers,
        cpus=threads,
        memory_gb=math.ceil(resources.memory_gb / (1 - OBJECT_STORE_SHARE)),
        gpus=max(gpus, 1) if resources.accelerator else gpus,
        accelerator=resources.accelerator,
    )
