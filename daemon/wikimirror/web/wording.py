"""Numbers in words, for people at 3 a.m. What is not known is a dash, never a zero."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

UNKNOWN: Final = "–"
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_TENTH: Final = 0.1
_PRECISE: Final = 10
"""Seconds below which tenths are told."""


def duration(seconds: float | None) -> str:
    """A span in its two greatest units: `35 ms`, `0.3 s`, `42 s`, `3 min 20 s`, `2 h 5 min`. Infinity is `never`."""
    if seconds is None or math.isnan(seconds):
        return UNKNOWN
    if math.isinf(seconds):
        return "never"
    if seconds < _TENTH:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < _PRECISE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, smaller, its in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {its}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def count(number: int | None) -> str:
    """A count with its thousands apart: `1,234,567`."""
    return UNKNOWN if number is None else f"{number:,}"


def words(name: str) -> str:
    """A state or a reason as words: `catching_up` is `catching up`."""
    return name.replace("_", " ")


def instant(when: datetime | None) -> str:
    """An instant of UTC, to the second."""
    return UNKNOWN if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def plural(number: int, one: str, several: str | None = None) -> str:
    """`1 gap`, `2 gaps`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
