"""Tar files whose bytes depend on their members alone.

USTAR headers are written by hand, with a fixed mode, owner and time (an integer 0), so that no clock, user or library
version enters; two samples with the same bytes make the same tar. Plain `tarfile` and every WebDataset reader read
them. This module does not know what the members mean.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BLOCK = 512  # bytes; a tar is a row of blocks
RECORD = 20 * BLOCK  # a tar ends on a multiple of this, as GNU tar and Python write it


@dataclass(frozen=True)
class Member:
    """One file inside a tar."""

    name: str  # at most 100 ASCII characters
    data: bytes


def _with_checksum(header: bytes) -> bytes:
    """A header whose checksum field, blank so far, is filled: six octal digits, a zero, a blank."""
    return b"%s%06o\0 %s" % (header[:148], sum(header), header[156:])


_MODE_OWNER_GROUP = b"0000644\0" + b"0000000\0" * 2
_TIME_AND_BLANK_CHECKSUM = b"00000000000\0" + b" " * 8
_TYPE_AND_REST = b"0" + b"\0" * 100 + b"ustar\x0000" + b"\0" * 64 + b"0000000\0" * 2 + b"\0" * 167


def header(name: str, size: int) -> bytes:
    """The 512-byte USTAR header of a plain file. Raises ValueError for a name that does not fit."""
    raw = name.encode("ascii")
    if len(raw) > 100 or size >= 8**11:
        raise ValueError(f"a tar member named {name!r} of {size} bytes does not fit a USTAR header")
    parts = (raw.ljust(100, b"\0"), _MODE_OWNER_GROUP, b"%011o\0" % size, _TIME_AND_BLANK_CHECKSUM, _TYPE_AND_REST)
    return _with_checksum(b"".join(parts))


def write_tar(members: Iterable[Member]) -> tuple[bytes, list[int]]:
    """A whole tar, and the offset in bytes at which each member's data begins."""
    parts: list[bytes] = []
    offsets: list[int] = []
    end = 0
    for member in members:
        size = len(member.data)
        offsets.append(end + BLOCK)
        parts += (header(member.name, size), member.data, bytes(-size % BLOCK))
        end += BLOCK + size + -size % BLOCK
    parts.append(bytes(2 * BLOCK + -(end + 2 * BLOCK) % RECORD))
    return b"".join(parts), offsets


def read_tar(data: bytes) -> Iterator[Member]:
    """The members of a tar of plain files. Raises ValueError where a header is damaged or data is missing."""
    place = 0
    while place + BLOCK <= len(data):
        block = data[place : place + BLOCK]
        if not any(block):
            return
        if _with_checksum(block[:148] + b" " * 8 + block[156:]) != block:
            raise ValueError(f"the tar header at byte {place} is damaged")
        name = block[:100].rstrip(b"\0").decode("ascii")
        size = int(block[124:135], 8)
        start = place + BLOCK
        if start + size > len(data):
            raise ValueError(f"the tar ends inside {name}")
        yield Member(name, data[start : start + size])
        place = start + size + -size % BLOCK
    raise ValueError("the tar has no end mark")
