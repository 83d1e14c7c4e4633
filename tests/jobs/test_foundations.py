"""The foundations of a build: identities are stored once, and packing that was interrupted goes on where it was."""

import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.run import Crew
from jobs.foundations import lay_foundations
from jobs.laws import identity_spec
from jobs.plan import Plan, claim, make_plan, recipe_document, stored_hash
from jobs.recipe import resolve_recipe
from samplers.errors import PlanMismatchError, SaturationError
from samplers.hands import Threads
from samplers.identities import NoLog, draw_identities
from samplers.packing import PackingState
from synth.anchors import CERTIFICATE, read_course
from synth.packing_state import NAME, load_packing, save_packing
from synth.storages.local import LocalStorage
from tests.conftest import build_here
from tests.files import digests
from tests.jobs.making import small
from tests.processes import started, until

STEPS = 30
GOING_ON = "going on with packing after step"


def packed_plan(count: int, steps: int, max_cosine: float = 0.5) -> Plan:
    """So many people, packed in so many steps."""
    packed = {"identities__packing": {"steps": steps}, "identities__separation__max_cosine": max_cosine}
    return make_plan(resolve_recipe(small(identities__count=count, **packed)))


class Stopped(Exception):
    """Packing was interrupted."""


class StoppedAt(NoLog):
    """Remembers the state of one step, and goes no further."""

    state: PackingState

    def __init__(self, step: int) -> None:
        self._step = step

    def packed(self, state: PackingState) -> None:
        if state.step == self._step:
            self.state = state
            raise Stopped


@pytest.fixture(scope="module")
def plan() -> Plan:
    return packed_plan(150, STEPS)


@pytest.fixture(scope="module")
def kept(plan: Plan) -> PackingState:
    """The state of packing after eight steps."""
    log = StoppedAt(8)
    with pytest.raises(Stopped):
        draw_identities(identity_spec(plan.recipe), Threads(1), log)
    return log.state


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "out")


def said_by_foundations(plan: Plan, storage: LocalStorage) -> list[str]:
    said: list[str] = []
    lay_foundations(plan, storage, Crew(0), said.append)
    return said


def identities(storage: LocalStorage) -> dict[str, str]:
    """sha256 of what is stored of the people."""
    return {name: digest for name, digest in digests(Path(storage.location)).items() if name.startswith("identities/")}


@pytest.fixture(scope="module")
def undisturbed(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    storage = LocalStorage(tmp_path_factory.mktemp("undisturbed"))
    assert not any(GOING_ON in said for said in said_by_foundations(plan, storage))
    return identities(storage)


def test_foundations_are_plan_recipe_and_identities(plan: Plan, storage: LocalStorage) -> None:
    plain = make_plan(resolve_recipe(small()))
    said = said_by_foundations(plain, storage)
    assert said[0] == "finding 20 identities with cosines of at most 0.4"
    assert re.fullmatch(r"largest cosine 0\.\d{4} over 190 pairs; of \d+ candidates", said[1])
    assert set(digests(Path(storage.location))) == {
        "plan.json",
        "recipe.yaml",
        "identities/certificate.json",
        "identities/course.json",
        "identities/part-00000.parquet",
    }
    assert said_by_foundations(plain, storage) == [], "what is there is not looked for again"
    with pytest.raises(PlanMismatchError):
        said_by_foundations(plan, storage)


def test_packing_goes_on_from_what_was_kept_to_the_same_bytes(
    plan: Plan, kept: PackingState, storage: LocalStorage, undisturbed: dict[str, str]
) -> None:
    claim(storage, plan)
    save_packing(storage, plan.hash, kept)
    assert f"{GOING_ON} 8" in said_by_foundations(plan, storage)
    assert identities(storage) == undisturbed
    assert not storage.exists(NAME)


def test_steps_that_were_done_are_not_done_again(plan: Plan, kept: PackingState, storage: LocalStorage) -> None:
    """The kept history is told as it was kept, here with a mark in it."""
    marked = replace(kept, history=(0.987, *kept.history[1:]))
    save_packing(storage, plan.hash, marked)
    said = said_by_foundations(plan, storage)
    assert f"packed in {STEPS} steps from 0.9870" in said[-1]
    course = read_course(storage)["packing"]
    assert (course["start"], course["steps"]) == (0.987, STEPS)
    assert course["history"][1:8] == [round(cosine, 6) for cosine in kept.history[1:]]


@pytest.mark.parametrize("damage", ["of another plan", "cut short", "empty", "rubbish"])
def test_a_state_of_another_plan_or_damaged_is_passed_over(
    plan: Plan, kept: PackingState, storage: LocalStorage, undisturbed: dict[str, str], damage: str
) -> None:
    save_packing(storage, "f" * 64 if damage == "of another plan" else plan.hash, kept)
    whole = storage.read(NAME)
    storage.replace(NAME, {"cut short": whole[:-1], "empty": b"", "rubbish": b"rubbish" * 99}.get(damage, whole))
    assert not any(GOING_ON in said for said in said_by_foundations(plan, storage))
    assert identities(storage) == undisturbed


def test_what_packing_kept_goes_even_where_the_identities_were_stored_in_the_last_moment(
    plan: Plan, kept: PackingState, storage: LocalStorage, undisturbed: dict[str, str]
) -> None:
    """As after a kill between storing the identities and removing what packing kept."""
    said_by_foundations(plan, storage)
    save_packing(storage, plan.hash, kept)
    said_by_foundations(plan, storage)
    assert identities(storage) == undisturbed


def test_packing_that_misses_its_limit_leaves_nothing_behind(storage: LocalStorage) -> None:
    with pytest.raises(SaturationError, match=r"^packing reached a largest cosine of 0\.\d{4} in 10 steps, not 0\.1;"):
        said_by_foundations(packed_plan(150, 10, max_cosine=0.1), storage)
    assert not Path(storage.location).exists()


def test_who_finds_identities_late_leaves_those_that_are_there(plan: Plan, storage: LocalStorage) -> None:
    """Another part of the same build finds its identities while this one still looks: they stand."""
    other = LocalStorage(storage.location)

    def say(message: str) -> None:
        if message.startswith("largest cosine") and not said:
            said.append(message)
            lay_foundations(plan, other, Crew(0), lambda _: None)
            (Path(storage.location) / "identities/part-00000.parquet").touch()
            times.append((Path(storage.location) / "identities/part-00000.parquet").stat().st_mtime_ns)

    said: list[str] = []
    times: list[int] = []
    lay_foundations(plan, storage, Crew(0), say)
    assert times == [(Path(storage.location) / "identities/part-00000.parquet").stat().st_mtime_ns]


def test_a_plan_that_cannot_be_kept_does_not_take_another_one_s_claim_away(storage: LocalStorage) -> None:
    other, hopeless = make_plan(resolve_recipe(small())), packed_plan(150, 10, max_cosine=0.1)
    claim(storage, other)
    with pytest.raises((SaturationError, PlanMismatchError)):
        said_by_foundations(hopeless, storage)
    assert stored_hash(storage) == other.hash


def test_a_build_killed_while_packing_ends_with_the_same_bytes_when_it_is_run_again(
    storage: LocalStorage, tmp_path: Path
) -> None:
    """The program keeps packing's state after every step, not every two minutes."""
    plan, steps = packed_plan(400, 100), 100
    recipe, whole = tmp_path / "recipe.yaml", LocalStorage(tmp_path / "whole")
    recipe.write_bytes(recipe_document(plan.recipe))
    eager = "import jobs.foundations; jobs.foundations._SAVE_EVERY_S = 0.0; from jobs.cli import main; main()"
    words: list[str | Path] = [
        sys.executable,
        "-c",
        eager,
        "build",
        recipe,
        "--out",
        storage.location,
        "--workers",
        "0",
    ]
    with started(words) as program:
        until(lambda: storage.exists(NAME), program)
        program.send_signal(signal.SIGKILL)
        program.communicate()
    state = load_packing(storage, plan.hash)
    assert state is not None
    assert 0 < state.step < steps
    assert not storage.exists(CERTIFICATE)
    assert build_here(plan.recipe, Path(storage.location)) == plan.shards
    said_by_foundations(plan, whole)
    assert identities(storage) == identities(whole)
