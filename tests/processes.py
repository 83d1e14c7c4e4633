"""Programs that tests start and watch: none outlives its test, and none is waited for without end."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer

LIMIT_S = 240.0  # a program that takes longer hangs: it is killed, and its test fails
_LOOK_EVERY_S = 0.01
#: Runs a program that hears Ctrl-C, even where the tests run in the background and were told to ignore it.
_HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


@contextmanager
def started(words: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A running program whose errors can be read."""
    hearing = [sys.executable, "-c", _HEARING, *words]
    with subprocess.Popen(hearing, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as program:
        watchdog = Timer(LIMIT_S, program.kill)
        watchdog.start()
        try:
            yield program
        finally:
            watchdog.cancel()
            program.kill()


def until(condition: Callable[[], bool], program: subprocess.Popen[str]) -> None:
    """Return when the condition holds, or the program has ended."""
    while program.poll() is None and not condition():
        with suppress(subprocess.TimeoutExpired):
            program.wait(_LOOK_EVERY_S)


def free_port() -> int:
    """One that nothing listens on, on loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
