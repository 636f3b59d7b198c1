"""Timestamps as Wikimedia's streams write them, read into whole microseconds since the epoch, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from wikimirror.model import MICROSECONDS

_FORM: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_END: Final = (datetime(2201, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) * MICROSECONDS


_WHOLE_SECONDS: Final = len("2026-01-01T00:00:00Z")


def microseconds(text: str) -> int:
    """Read RFC 3339 with 'Z' or an offset and up to nine digits of fraction; years 1970 to 2200.

    What is finer than a microsecond is cut, not rounded: the law compares whole seconds, and a rounded .9999999
    would lie in a later one. ValueError for everything else; its text does not quote the value.
    """
    # Many changes bear the same second.
    return _remembered(text) if len(text) == _WHOLE_SECONDS else _read(text)


def _read(text: str) -> int:
    if _FORM(text) is None:
        raise ValueError("not a timestamp")
    try:
        moment = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except ValueError:
        raise ValueError("not a timestamp: no such day or hour") from None
    if not 0 <= moment < _END:
        raise ValueError("a timestamp outside 1970 to 2200")
    return moment


_remembered: Final = lru_cache(maxsize=4096)(_read)
