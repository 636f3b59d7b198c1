"""Where a stretch of a source begins or ends, as a person says it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from wikimirror.errors import ConfigurationError
from wikimirror.settings.values import parse_duration, parse_start
from wikimirror.sources.ranges import Bound

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = 2**63 - 1


def bound_of(text: str, now: int) -> Bound:
    """An offset (`1200`), an instant (`2026-11-21T03:00:00Z`), or a time back from `now` (`2h`); microseconds.

    Raises ConfigurationError for anything else.
    """
    if text.isascii() and text.isdigit() and int(text) <= _LARGEST:
        return Bound(offset=int(text))
    with suppress(ValueError):
        return Bound(time=now - parse_duration(text) // timedelta(microseconds=1))
    with suppress(ValueError):
        instant = parse_start(text)
        if isinstance(instant, datetime):
            return Bound(time=(instant - _EPOCH) // timedelta(microseconds=1))
    raise ConfigurationError(
        f"{text!r} is neither an offset, nor an instant, nor a duration",
        remedy="Say 1200, or 2026-11-21T03:00:00Z with its zone, or 2h for two hours ago.",
    )
