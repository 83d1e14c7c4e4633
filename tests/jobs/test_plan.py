"""Plans: what is stored of them, and whose a folder is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.plan import Plan, claim, make_plan, plan_document, refuse_foreign, stored_hash, stored_plan
from jobs.recipe import load_recipe, resolve_recipe
from samplers.errors import DatasetError, PlanMismatchError
from synth.storages.local import LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "out")


def plan_of(**overrides: object) -> Plan:
    return make_plan(resolve_recipe(load_recipe("barcode", {k.replace("__", "."): v for k, v in overrides.items()})))


@pytest.mark.parametrize(
    ("identities", "views", "size", "shards", "sizes"),
    [
        (40, 6, 50, 5, [48]),
        (41, 6, 50, 5, [49, 50]),
        (1, 1, 50, 1, [1]),
        (5, 10, 50, 1, [50]),
        (51, 1, 50, 2, [25, 26]),
    ],
)
def test_shards_are_as_few_as_fit_and_even_in_size(
    identities: int, views: int, size: int, shards: int, sizes: list[int]
) -> None:
    plan = plan_of(identities__count=identities, variations__views=views, output__shard_size=size)
    real = {last - first for first, last in map(plan.shard_places, range(plan.shards))}
    said = json.loads(plan_document(plan))
    assert (plan.shards, sorted(real)) == (shards, sizes) == (said["shards"], said["shard_sizes"])
    assert (said["pictures"], said["hash"]) == (identities * views, plan.hash)


def test_a_plan_of_millions_is_stored_in_a_few_kilobytes() -> None:
    assert len(plan_document(plan_of(identities__count=300_000, variations__views=50))) < 4096


def test_another_process_makes_the_same_plan() -> None:
    program = (
        "from jobs.plan import make_plan; from jobs.recipe import load_recipe, resolve_recipe;"
        "print(make_plan(resolve_recipe(load_recipe('barcode'))).hash)"
    )
    for seed in ("1", "2"):  # of the order of sets and dictionaries
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        assert said.stdout.decode().strip() == plan_of().hash


def test_a_folder_belongs_to_the_plan_that_claimed_it_first(storage: LocalStorage) -> None:
    ours, theirs = plan_of(seed=1), plan_of(seed=2)
    refuse_foreign(storage, ours)
    for _ in range(2):
        claim(storage, ours)
    for refuse in (refuse_foreign, claim):
        with pytest.raises(PlanMismatchError) as refused:
            refuse(storage, theirs)
        assert ours.hash[:12] in str(refused.value)
        assert theirs.hash[:12] in str(refused.value)
    assert stored_plan(storage) == ours
    assert stored_hash(storage) == ours.hash


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'"text"', b"\xff"])
def test_a_damaged_plan_is_told_in_one_line(storage: LocalStorage, damage: bytes) -> None:
    storage.replace("plan.json", damage)
    with pytest.raises(DatasetError, match=r"^.*/out/plan\.json is damaged; build again to mend it$"):
        stored_hash(storage)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"seed: 1", b"seed: 2"), r"^.*/recipe\.yaml does not give the plan [0-9a-f]{12} that lies beside it, but "),
        ((b"seed: 1", b"sead: 1"), r"^.*/recipe\.yaml is damaged, or was written by another version of hypersynth$"),
        ((b"seed: 1", b"seed: ["), r"^.*/recipe\.yaml is damaged, or was written by another version of hypersynth$"),
    ],
)
def test_a_recipe_that_does_not_give_the_plan_beside_it_is_refused(
    storage: LocalStorage, change: tuple[bytes, bytes], message: str
) -> None:
    claim(storage, plan_of())
    storage.replace("recipe.yaml", storage.read("recipe.yaml").replace(*change))
    with pytest.raises(DatasetError, match=message):
        stored_plan(storage)
