"""Notice: SIGTERM as clusters send it before they take a machine away. What is in hand may be finished, within a grace.

This module does not know what is done in the time that is left.
"""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class Notice:
    """Notes the first SIGTERM; the second acts as ever. A context manager; hears nothing outside the main thread."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._given_at: float | None = None
        self._before: Any = None

    @property
    def given(self) -> bool:
        """Whether this process was told to end."""
        return self._given_at is not None

    @property
    def over(self) -> bool:
        """Whether the grace has passed, too."""
        return self._given_at is not None and time.monotonic() - self._given_at >= self._grace_s

    def __enter__(self) -> "Notice":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._given_at = time.monotonic()
        self.__exit__(None, None, None)
