"""Whether the durable position of a lane went on or back. Pure."""

from __future__ import annotations

from typing import Final

from wikimirror.model import MICROSECONDS, Position

_DISORDER: Final = 10 * MICROSECONDS
"""How far times may fall behind those of earlier records, as in `sources.resume`."""


def goes_back(former: Position, latter: Position, *, lost: bool) -> bool:
    """Whether a lane went back. A source that numbers anew goes down in offsets while the time goes on: it did not.

    `lost`: a stretch is lost there; then the time must have gone up.
    """
    on = 0 < former.time < latter.time + (0 if lost else _DISORDER) and latter.time > 0
    return latter.offset < former.offset and not on
