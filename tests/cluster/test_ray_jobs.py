"""Jobs on a real Ray cluster of one machine, which listens to this machine alone and wants a token.

Everything that talks to it is a program of its own, as it is for people: Ray reads its token once per process. Nothing
here calls `ray stop`, which would end all of a user's clusters.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.processes import LIMIT_S, free_port

if find_spec("ray") is None or find_spec("aiohttp") is None:
    pytest.skip("the Jobs API is not installed: pip install 'hypersynth[cluster]'", allow_module_level=True)

SMALL = ("barcode", "--set", "identities.count=12", "--set", "variations.views=4", "--set", "output.shard_size=24")
_LONG_S = 2 * LIMIT_S  # a build by a job: its processes begin from nothing, and compile
#: Runs one job, an id and a shell command, and tells a refusal as the command line does.
RUNNING = """
import sys
from pathlib import Path
from cluster.ray_jobs import Job, run_job
from jobs.cli import guarded
address, folder, name, command = sys.argv[1:]
say, echo = (lambda words: print(f"[{words}]", flush=True)), (lambda log: print(log, end="", flush=True))
sys.exit(guarded(lambda: sys.exit(run_job(Job(name, command, Path(folder), {}), address, say, echo))))
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster and how to reach it."""

    address: str
    environment: dict[str, str]
    folder: Path  # an empty one, for jobs

    def started(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """A program that reaches the cluster."""
        return subprocess.Popen(
            [sys.executable, *words],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self, *words: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a program."""
        with self.started(*words, **environment) as program:
            out, err = program.communicate(timeout=_LONG_S)
        return program.returncode, out, err

    def ran(self, name: str, command: str, **environment: str) -> tuple[int, str, str]:
        """The same of one job."""
        return self.ended("-c", RUNNING, self.address, str(self.folder), name, command, **environment)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("r")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    (folder / "empty").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "HOME": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for: listen to this machine alone
    }
    port = free_port()
    options = {
        "port": 0,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": port,
        "dashboard-agent-listen-port": 0,
        "ray-client-server-port": free_port(),
        "min-worker-port": 0,
        "max-worker-port": 0,
        "temp-dir": folder / "t",
        "num-cpus": 2,
        "num-gpus": 0,
        "object-store-memory": 80_000_000,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    started = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *words]
    with (folder / "log").open("w") as log:
        head = subprocess.Popen(started, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + LIMIT_S
        while "block forever" not in (folder / "log").read_text():
            assert head.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "Ray does not start"
            time.sleep(0.1)
        yield Cluster(f"http://127.0.0.1:{port}", environment, folder / "empty")
    finally:
        end(head)


def end(head: subprocess.Popen[bytes]) -> None:
    """End a cluster, with all that it started; those of its processes that end by themselves meanwhile are no error."""
    with head:
        family = psutil.Process(head.pid).children(recursive=True) if head.poll() is None else []
        head.terminate()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(family, timeout=3)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        head.kill()


def test_the_cluster_of_this_test_listens_to_this_machine_alone(cluster: Cluster) -> None:
    """Else it would be open to the network for as long as the test runs."""
    family = [process for process in psutil.process_iter() if under(process, cluster)]
    addresses = {
        each.laddr.ip for process in family for each in process.net_connections("tcp") if each.status == "LISTEN"
    }
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def under(process: psutil.Process, cluster: Cluster) -> bool:
    try:
        return process.environ().get("HOME") == cluster.environment["HOME"]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def test_a_job_s_log_is_shown_and_its_exit_code_returned(cluster: Cluster) -> None:
    code, out, _ = cluster.ran("fails", "echo its own words; exit 3")
    assert code == 3
    assert "its own words\n" in out
    assert out.startswith("[job fails is started]\n")
    assert out.endswith("[job fails has ended: failed]\n")
    code, out, _ = cluster.ran("fails", "true")
    assert (code, "[job fails-2 is started]" in out) == (0, True)


def test_a_recipe_is_built_and_who_submits_it_again_meanwhile_follows(cluster: Cluster, tmp_path: Path) -> None:
    where = ("--out", str(tmp_path / "out"), "--shared-folder", "--workers", "1")
    words = ("-m", "jobs", "submit", *SMALL, "--to", "ray", "--address", cluster.address, *where)
    with cluster.started(*words) as first:
        assert first.stdout is not None
        assert "1 worker, to " in first.stdout.readline()
        assert "is started" in first.stdout.readline()
        again = cluster.ended(*words)
        out, err = first.communicate(timeout=_LONG_S)
    assert (first.returncode, err) == (0, "")
    assert "12 identities x 4 views = 48 pictures in 2 shards" in out
    assert (tmp_path / "out/dataset.json").is_file()
    assert again[0] == 0
    assert "runs already: following it\n" in again[1]
    assert "48 pictures in 2 shards" in again[1]
    token = Path(cluster.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    assert token not in "".join((out, err, *again[1:]))


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "Missing authentication token"),
        ({"RAY_AUTH_TOKEN": "wrong"}, "Invalid authentication token"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere"}, "file cannot be opened or is empty: /nowhere"),
    ],
)
def test_without_its_token_a_cluster_refuses_in_one_line(
    cluster: Cluster, environment: dict[str, str], why: str
) -> None:
    code, _, err = cluster.ran("refused", "true", **environment)
    assert (code, err.count("\n")) == (1, 1)
    assert "wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it" in err
    assert why in err


def test_where_no_cluster_answers_one_line_says_so_whatever_ray_s_own_variables_say(cluster: Cluster) -> None:
    """Ray's client would go to RAY_ADDRESS, not to the address that it was given."""
    elsewhere = replace(cluster, address=f"http://127.0.0.1:{free_port()}")
    code, _, err = elsewhere.ran("lost", "true", RAY_ADDRESS=cluster.address)
    assert (code, err.count("\n")) == (1, 1)
    assert f"the Ray cluster at {elsewhere.address} does not answer" in err
