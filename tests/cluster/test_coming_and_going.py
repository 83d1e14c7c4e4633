"""Workers that hang, die, or come late; drivers that are killed, told to end, or two at once."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from cluster.failures import PATIENCE, Decision
from cluster.on_ray import OpenWorkshop, run_ray
from cluster.run import Crew, Where
from jobs.orphans import remove_orphans
from jobs.plan import Plan, make_plan
from jobs.recipe import load_recipe, resolve_recipe
from synth.commit import Commit, committed_shards
from synth.storage import open_storage
from synth.workshop import ShardFailure
from tests.cluster.making import command, run
from tests.cluster.workshops import BAD, Deadly, HangingAtFirst, IdleWorkshop
from tests.files import commits, digests
from tests.jobs.making import typed
from tests.processes import free_port, started, until

SHARDS = 6


@dataclass
class Seen:
    """What a run told: a `cluster.run.Watch`."""

    finished_shards: list[int] = field(default_factory=list)
    failures: list[tuple[ShardFailure, Decision]] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    told_after: int | None = None  # SIGTERM comes to this process after so many shards

    def finished(self, commit: Commit, where: Where) -> None:
        self.finished_shards.append(commit.shard)
        if len(self.finished_shards) == self.told_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def failed(self, failure: ShardFailure, decision: Decision, where: Where) -> None:
        self.failures.append((failure, decision))

    def staffed(self, workers: int) -> None:
        self.workers.append(workers)

    def step(self, message: str) -> None:
        raise AssertionError(message)


@pytest.fixture
def plan() -> Plan:
    small = {"identities.count": 6, "variations.views": 10, "output.shard_size": 10}
    return make_plan(resolve_recipe(load_recipe("barcode", small)))


def seen_of(plan: Plan, folder: Path, crew: Crew, opened: OpenWorkshop) -> Seen:
    seen = Seen()
    backlog = run_ray(plan.workshop(str(folder)), range(SHARDS), crew, seen, opened)
    assert backlog.done + len(backlog.parked) == SHARDS
    return seen


def test_a_worker_that_does_not_come_further_is_replaced(plan: Plan, tmp_path: Path) -> None:
    seen = seen_of(plan, tmp_path, Crew(2, stuck_s=4), HangingAtFirst)
    assert sorted(seen.finished_shards) == list(range(SHARDS))
    [(failure, decision)] = seen.failures
    assert (failure.shard, failure.kind, decision) == (BAD, "stuck", Decision.RETRY)
    assert "did not come further, and was replaced" in failure.message


def test_a_shard_that_kills_its_workers_is_parked_and_the_others_are_done(plan: Plan, tmp_path: Path) -> None:
    seen = seen_of(plan, tmp_path, Crew(1), Deadly)
    assert sorted({*range(SHARDS)} - {*seen.finished_shards}) == [BAD]
    assert committed_shards(open_storage(str(tmp_path))) == [shard for shard in range(SHARDS) if shard != BAD]
    bad = [decision for failure, decision in seen.failures if failure.shard == BAD]
    assert bad == [*[Decision.RETRY] * (PATIENCE["lost"].tries - 1), Decision.PARK]
    assert {failure.kind for failure, _ in seen.failures} == {"lost"}


def test_without_grace_a_run_that_is_told_to_end_says_that_it_was(plan: Plan, tmp_path: Path) -> None:
    seen = Seen(told_after=1)
    backlog = run_ray(plan.workshop(str(tmp_path)), range(SHARDS), Crew(1, grace_s=0), seen, IdleWorkshop)
    assert backlog.told_to_end
    assert backlog.done < SHARDS


LATE = """
import sys, time, urllib.request
from contextlib import suppress
from ray.cluster_utils import Cluster
from tests.cluster.workshops import Meeting
from cluster.run import Crew
from cluster import hands_on_ray, on_ray
from cluster.on_ray import run_ray
from jobs.plan import make_plan
from jobs.recipe import load_recipe, resolve_recipe

metrics = int(sys.argv[2])
head = {"num_cpus": 0, "object_store_memory": 10**8, "metrics_export_port": metrics}
nodes = Cluster(initialize_head=True, head_node_args=head)
small = {"identities.count": 6, "variations.views": 10, "output.shard_size": 10}
plan = make_plan(resolve_recipe(load_recipe("barcode", small)))

hands_on_ray._FIRST_PLACE_S = 1
with hands_on_ray.ray_hands(Crew(1, address=nodes.address), "cpu", print) as hands:
    print("identities by", type(hands).__name__)

class Watch:
    def step(self, message):
        print(message, flush=True)
        nodes.add_node(num_cpus=1, object_store_memory=10**8)
    def finished(self, commit, where):
        print("finished", commit.shard, flush=True)
        if commit.shard and not self.counted:
            self.counted = scraped("hypersynth_shards_done")
            print("scraped", *self.counted, flush=True)
        if self.more:
            nodes.add_node(num_cpus=1, object_store_memory=10**8)
            self.more = False
    def failed(self, failure, decision, where): print("failed", failure.message, flush=True)
    def staffed(self, workers): print("workers", workers, flush=True)
    more, counted = True, ()

def scraped(wanted):  # what Prometheus would find on the head's machine, once that is there
    for _ in range(300):
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
            found = [line for line in lines if wanted in line and not line.startswith("#")]
            if found:
                return [line.split("{")[0] + " " + line.split()[-1] for line in found]
        time.sleep(0.1)
    return ("nothing",)

crew = Crew(2, address=nodes.address)
on_ray._SAY_EVERY_S = 1
backlog = run_ray(plan.workshop(sys.argv[1]), range(6), crew, Watch(), Meeting)
print("done", backlog.done, flush=True)
nodes.shutdown()
"""


def test_nodes_that_join_late_are_used(tmp_path: Path) -> None:
    """At first there is no place for any worker, which is said; then for one; after the first shard, for another.

    Where there is no place for those that compare identities either, the driver does that itself. Meanwhile the
    machines tell Prometheus how far the build is.
    """
    variables = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    words = [sys.executable, "-c", LATE, str(tmp_path), str(free_port())]
    ended = subprocess.run(words, capture_output=True, text=True, env=variables, timeout=200, check=False)
    said = ended.stdout.splitlines()
    assert said[-1] == "done 6", ended.stderr
    assert said[:2] == ["no machine came: this process compares the identities", "identities by Threads"]
    assert said[2].startswith("no worker has found a place yet: each asks for 1 CPUs, 2 GB of memory; the cluster has ")
    assert "workers 1" in said
    assert "workers 2" in said
    assert "scraped ray_hypersynth_shards_done 1.0" in said  # by the page that Prometheus reads


LISTENING = """
import psutil, sys
from cluster.ray_cluster import connected, ray
from cluster.run import Crew
with connected(Crew(1), 1):
    ray.get(ray.remote(lambda: 1).remote())
    here = psutil.Process()
    for process in [here, *here.children(recursive=True)]:
        for each in process.net_connections("inet"):
            if each.status == psutil.CONN_LISTEN:
                print(each.laddr.ip)
    print("address", ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.readline()
"""
JOINING = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"


def test_a_cluster_of_our_own_listens_on_loopback_and_wants_its_token(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    variables["HOME"] = str(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", LISTENING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    ) as program:
        assert program.stdout is not None
        said = []
        while not (said and said[-1].startswith("address")):
            said.append(program.stdout.readline().strip())
        address = said.pop().partition(" ")[2]
        assert said
        assert {ip.removeprefix("::ffff:") for ip in said} == {"127.0.0.1"}
        stranger = subprocess.run(
            [sys.executable, "-c", JOINING, address],
            capture_output=True,
            text=True,
            env={**variables, "RAY_AUTH_MODE": "disabled"},
            check=False,
        )
        assert "InvalidAuthToken" in stranger.stderr
        program.communicate("\n")
    assert program.returncode == 0
    assert not (tmp_path / ".ray").exists(), "no token is left in the home folder"


def test_a_driver_that_is_killed_goes_on_where_it_was(undisturbed: dict[str, str], tmp_path: Path) -> None:
    with started(command(tmp_path, 2)) as build:
        until(lambda: len(commits(tmp_path)) >= 3, build)
        build.kill()
    ended = run(command(tmp_path, 2))
    assert ended.returncode == 0, ended.stderr
    remove_orphans(open_storage(str(tmp_path)))  # what the dead had begun to write, which `gc` takes away
    assert digests(tmp_path) == undisturbed


def test_two_drivers_at_once_make_one_dataset(undisturbed: dict[str, str], tmp_path: Path) -> None:
    with started(command(tmp_path, 1)) as one, started(command(tmp_path, 0)) as other:
        ended = [each.communicate()[1] for each in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), ended
    assert digests(tmp_path) == undisturbed


def test_workers_finish_what_they_have_when_the_driver_is_told_to_end(
    undisturbed: dict[str, str], tmp_path: Path
) -> None:
    with started(command(tmp_path, 2)) as build:
        until(lambda: len(commits(tmp_path)) >= 2, build)
        processes = psutil.Process(build.pid).children(recursive=True)
        build.send_signal(signal.SIGTERM)
        _, said = build.communicate()
    assert build.returncode == 128 + signal.SIGTERM
    assert "shards are left; run the same command to go on" in said
    assert not (tmp_path / ".unfinished").exists()
    psutil.wait_procs(processes, timeout=60)
    ended = run(command(tmp_path, 0))
    assert ended.returncode == 0, ended.stderr
    assert digests(tmp_path) == undisturbed


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("127.0.0.1:{port}", "no Ray cluster answers at 127.0.0.1:{port}: "),
        ("ray://127.0.0.1:{port}", "no Ray cluster answers at ray://127.0.0.1:{port}: "),
        ("http://127.0.0.1:{port}", "is a dashboard's address: --address takes HEAD:6379"),
    ],
)
def test_where_nobody_listens_that_is_said_at_once(tmp_path: Path, address: str, line: str) -> None:
    port = free_port()
    words = ["--out", tmp_path, "--workers", "1", "--address", address.format(port=port)]
    assert line.format(port=port) in typed("build", "barcode", *words).line


def test_an_address_is_for_workers(tmp_path: Path) -> None:
    words = ["build", "barcode", "--out", tmp_path, "--address", "127.0.0.1:1"]
    for alone in (["--workers", "0"], ["--shards", "0/2"]):
        assert "this process builds alone" in typed(*words, *alone).line
