"""Where the command line prints: what was asked for, and what went wrong."""

import sys
from typing import Any

from rich.console import Console

_WIDTH_WHEN_PIPED = 160  # columns: tables in a file or a pipe need no wrapping at 80
_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}  # folders may have [brackets]
out = Console(**_PLAIN, width=None if sys.stdout.isatty() else _WIDTH_WHEN_PIPED)
err = Console(**_PLAIN, stderr=True)
