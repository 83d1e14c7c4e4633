"""A proxy before an S3 server that makes trouble: it drops connections, delays, refuses, and loses answers.

Which request meets which trouble is drawn from a seed and the request's number. This module does not know S3 beyond the
words of its refusals.
"""

import http.client
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

DELAY_S: Final = 0.3
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class Fault(Enum):
    """A kind of trouble."""

    DROP = "the connection is closed before the server hears of the request"
    DELAY = "the answer comes late"
    ERROR = "500 InternalError"
    SLOW_DOWN = "503 SlowDown"
    CONFLICT = "409 ConditionalRequestConflict, of writes that ask for it"
    LOST = "the server does it, and the answer is lost"
    CUT = "the answer's body ends in the middle"


_REFUSALS: Final = {
    Fault.ERROR: (500, "InternalError", "We encountered an internal error. Please try again."),
    Fault.SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."),
    Fault.CONFLICT: (409, "ConditionalRequestConflict", "A conflicting operation occurred."),
}


@dataclass
class Trouble:
    """How much trouble there is, and how much there was."""

    seed: int
    share: float  # of requests that meet trouble
    kinds: tuple[Fault, ...] = tuple(Fault)
    happened: Counter[Fault] = field(default_factory=Counter)
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, method: str, headers: Mapping[str, str]) -> Fault | None:
        """What the next request meets; a fault that it cannot meet is left out."""
        with self._lock:
            draw = random.Random(f"{self.seed}/{self.requests}")
            self.requests += 1
            if draw.random() >= self.share:
                return None
            fault = draw.choice(self.kinds)
            if fault is Fault.CONFLICT and not (method in ("PUT", "POST") and "if-none-match" in headers):
                fault = Fault.DROP
            if fault is Fault.CUT and method != "GET":
                fault = Fault.LOST
            self.happened[fault] += 1
            return fault


@contextmanager
def troubled(server: str, trouble: Trouble) -> Iterator[str]:
    """The URL of a proxy before the server at another URL."""
    place = urlsplit(server)
    assert place.hostname is not None
    assert place.port is not None
    target = (place.hostname, place.port)

    class Handler(_Handler):
        pass

    Handler.target, Handler.trouble = target, trouble
    proxy = _Proxy(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class _Proxy(ThreadingHTTPServer):
    """Says nothing of clients that hang up, as those do whose process was killed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """As usual, but for broken connections."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection to the proxy."""

    protocol_version = "HTTP/1.1"
    target: tuple[str, int]
    trouble: Trouble

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self._body(headers)
        fault = self.trouble.next(self.command, headers)
        if fault is Fault.DROP:
            self._hang_up()
            return
        if fault in _REFUSALS:
            self._refuse(*_REFUSALS[fault])
            return
        status, answered, content = self._forward(headers, body)
        if fault is Fault.LOST:
            self._hang_up()
            return
        if fault is Fault.DELAY:
            time.sleep(DELAY_S)
        self._answer(status, answered, content, cut=fault is Fault.CUT and len(content) > 1)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - names of the library

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", ""):
            return b"".join(self._chunks())
        return self.rfile.read(int(headers.get("content-length", 0)))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _forward(self, headers: Mapping[str, str], body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.target, timeout=60)
        try:
            sent = {name: value for name, value in headers.items() if name not in _HOP_BY_HOP and name != "expect"}
            connection.request(self.command, self.path, body=body, headers={**sent, "content-length": str(len(body))})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value  # of HEAD: what a GET would give
            elif name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._hang_up()

    def _refuse(self, status: int, code: str, message: str) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else text, cut=False)

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
