"""Real servers of S3's language, over HTTP on loopback, for tests to store in."""

import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.processes import LIMIT_S, free_port

BUCKET = "bucket"
_INSTALLED = Path(__file__).parent.parent / ".venv" / "servers"  # by the Makefile, beside the tests' own packages


@dataclass
class Server:
    """A server that runs."""

    url: str
    asked: list[str] = field(default_factory=list)  # method and path of each request, where they can be seen

    def environment(self) -> dict[str, str]:
        """What makes boto3 talk to it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "S3RVER",  # what s3rver wants; the others take any
            "AWS_SECRET_ACCESS_KEY": "S3RVER",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextmanager
def moto() -> Iterator[Server]:
    """moto's server, in this process: it enforces conditions."""
    application = DomainDispatcherApplication(create_backend_app)
    asked: list[str] = []

    def counting(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        answer: Iterable[bytes] = application(environ, start)
        return answer

    server = make_server("127.0.0.1", 0, counting, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def ministack(folder: Path) -> Iterator[Server]:
    """ministack's server, in a process of its own: it enforces conditions. Skips where it is not installed."""
    program = _INSTALLED / "ministack" / "bin" / "ministack"
    if not program.exists():
        pytest.skip("ministack is not installed: make test does that")
    port = free_port()
    environment = {**os.environ, "GATEWAY_PORT": str(port), "GATEWAY_HOST": "127.0.0.1"}
    with _running([str(program)], port, folder, environment) as server:
        yield server


@contextmanager
def s3rver(folder: Path) -> Iterator[Server]:
    """s3rver's server: it ignores conditions. Skips where it, or Node.js, is not installed."""
    program = _INSTALLED / "s3rver" / "node_modules" / ".bin" / "s3rver"
    if not program.exists() or shutil.which("node") is None:
        pytest.skip("s3rver is not installed: make test does that where npm is")
    port = free_port()
    words = [str(program), "-d", str(folder), "-a", "127.0.0.1", "-p", str(port), "-s", "--no-vhost-buckets"]
    with _running(words, port, folder, dict(os.environ)) as server:
        yield server


@contextmanager
def _running(words: list[str], port: int, folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as program:
        try:
            url, patience = f"http://127.0.0.1:{port}", time.monotonic() + LIMIT_S
            while program.poll() is None and not _answers(url):
                assert time.monotonic() < patience, f"{words[0]} does not answer"
                with suppress(subprocess.TimeoutExpired):
                    program.wait(0.05)
            assert program.poll() is None, f"{words[0]} ended by itself"
            yield Server(url)
        finally:
            program.kill()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as refusal:
        refusal.close()
    except OSError:
        return False
    return True
