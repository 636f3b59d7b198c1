"""Positions against what a topic still holds: where to begin, where to go on, and what is lost. Pure.

Kafka numbers the records of a partition; its log begins somewhere (retention, deletion) and ends somewhere. A position
outside is answered with an error: whoever then begins anew at either end skips records in silence, or reads for days.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wikimirror.model import Lane, Lost, Position

RETENTION: Final = "retention"
"""The log now begins after the position."""
TRUNCATED: Final = "truncated"
"""The log ends before the position: brokers lost records, or the topic was made anew."""


class Extent(NamedTuple):
    """What a partition holds: the offset of its first record, and the offset that the next one will get."""

    begin: int
    end: int


def lost_before(lane: Lane, position: Position, extent: Extent, since: int | None) -> Lost | None:
    """What is lost of a lane that is to be read on from `position`; None: it can be.

    `since`: the offset of the first record that was published no earlier than a little before the newest record read,
    None where there is none. Behind a log that was cut off or begun anew reading goes on from there: what is read twice
    does no harm (promise P2), what is skipped would.
    """
    if position.offset < extent.begin:
        return Lost(lane, position, Position(extent.begin, position.time), RETENTION)
    if position.offset > extent.end:
        offset = extent.end if since is None else min(since, extent.end)
        return Lost(lane, position, Position(max(extent.begin, offset), position.time), TRUNCATED)
    return None


def records_behind(end: int, position: int, handed_on: int, durable: int) -> int:
    """How many records of a lane are not durable yet, of which the log tells `end`.

    Those that the consumer's `position` has not passed, and those it handed on that are not durable. Offsets that no
    reader gets, such as the marks of transactions, are passed without being handed on.
    """
    return max(0, end - position) + max(0, handed_on - durable)
