"""Numbers as people say them: sizes, durations, round figures; and what is never said. This module does not know what
they count.
"""

import re

#: Names and passwords before the host of a URL, whole or half written; and the secrets of signed ones.
_USER = re.compile(r"(?P<before>(?:[A-Za-z][\w+.-]*://)?)[^\s/:@'\"]+:(?!//)[^\s@'\"]+@")
_SIGNED = re.compile(r"(?i)([?&](?:x-amz-[\w-]+|signature|awsaccesskeyid|token|sig|password)=)[^\s&'\"]+")


def without_secrets(text: str) -> str:
    """A message without names, passwords and signatures that stand in URLs."""
    return _SIGNED.sub(r"\1...", _USER.sub(r"\g<before>", text))


def rounded(number: float) -> str:
    """Two digits and zeros: 41,000."""
    return f"{float(f'{number:.2g}'):,.0f}"


def size(size_bytes: float) -> str:
    """Bytes with a decimal unit, three digits: 1.25 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"


def gigabytes(size_bytes: float) -> str:
    """Bytes as gigabytes, two digits below ten: 0.60, 3.1, 31."""
    amount = size_bytes / 1e9
    return f"{amount:.2f}" if amount < 1 else f"{amount:.1f}" if amount < 10 else f"{amount:.0f}"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that they fill: 3.2 days."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            amount = seconds / length
            return f"{amount:.1f} {unit}" if amount < 100 else f"{amount:,.0f} {unit}"
    return f"{seconds:.0f} s"


def pace(pictures_per_s: float) -> str:
    """Pictures in a second, or where those are few, in an hour, two digits: 1.8 pictures/s, 320 pictures/h."""
    amount, unit = (pictures_per_s, "s") if pictures_per_s >= 0.1 else (pictures_per_s * 3600, "h")
    return f"{amount:.0f} pictures/{unit}" if amount >= 10 else f"{amount:.2g} pictures/{unit}"
