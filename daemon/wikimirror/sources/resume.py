"""Resuming topics by time: what to ask for, what is then read again, and what is lost. Without I/O.

A topic lives in several Kafka clusters. A record has the same time in each of them, and in each another offset. So a
topic is asked for by time: from `overlap` before the newest record read. Offsets only check.

What comes is applied, whatever is said of it here (P2 makes it harmless): a mark decides only whether the position
moves. To move it to any record that came is safe: a topic comes in order of offset, and asked for by that record's
time it begins with that record or one before it, and all after follows. What is left to see to:

- The position does not go back by the overlap with each connection. So records are marked as read again until the lane
  has caught up: until one comes that is as new as the newest read before.
- It moves on for ever. So after that every record is new, whatever its time. Two records may bear one millisecond, and
  times do not rise with the offsets: the clocks of many producers set them. A few records may so be taken for new
  twice, and the position go back over them. That is harmless; never to go on because one producer's clock was a year
  ahead would not be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from wikimirror.model import MICROSECONDS, Lane, Lost, Position

RETENTION: Final = "retention"
JUMP: Final = "jump"

_MILLISECOND: Final = 1000
_END: Final = 7_258_118_400_000
"""Milliseconds: the year 2200. What lies beyond is no time of a record."""
_DISORDER: Final = 10 * MICROSECONDS
"""How far times may fall behind those of earlier records: producers' clocks and delays."""
_NEAR: Final = 1000
"""Records that may come within _DISORDER."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What a frame's id says of one topic: where to go on, by time (in milliseconds) or by offset."""

    topic: str
    timestamp: int | None = None
    offset: int | None = None


_ID: Final = msgspec.json.Decoder(list[Entry])


def entries_of(event_id: str | None) -> list[Entry]:
    """What a frame's id says of each topic; nothing where it is not legible."""
    if event_id is None:
        return []
    try:
        return _ID.decode(event_id)
    except (ValueError, RecursionError):
        return []


def time_of(event_id: str | None, topic: str) -> int:
    """When Kafka took the record with this id in, in microseconds; 0: the id does not tell."""
    for entry in entries_of(event_id):
        if entry.topic == topic and entry.timestamp is not None and 0 < entry.timestamp < _END:
            # It is where to go on: a millisecond after the record (KafkaSSE, `_updateLatestOffsetsMap`).
            return (entry.timestamp - 1) * _MILLISECOND
    return 0


def last_event_id(asked: Mapping[Lane, int]) -> str:
    """The header that names every topic, with the time in microseconds from which each is asked for.

    It replaces the service's whole assignment: a topic left out would never come (KafkaSSE, `_init`).
    """
    entries = [
        {"topic": lane.topic, "partition": lane.partition, "timestamp": max(0, time) // _MILLISECOND}
        for lane, time in asked.items()
    ]
    return msgspec.json.encode(entries).decode()


def is_expired(position: Position, heard: int, oldest: int) -> bool:
    """Whether records after a position may be gone: the source keeps them from `oldest` on.

    `heard`: when this lane was last listened to, if nothing came after the position; then nothing is lost before that.
    """
    return max(position.time, heard) < oldest


class Resumption:
    """One lane over one connection. Times are in microseconds."""

    def __init__(self, lane: Lane, position: Position, overlap: int) -> None:
        self.lane = lane
        self.position = position
        """The next record to read, by what came so far."""
        self.next_offset = position.offset
        """After the newest record that came, new or not."""
        self.asked = position.time - overlap
        """The time to ask for."""
        self._start = position
        # A service that has nothing as new as what it is asked for begins with what comes next: then the records are
        # older. Some doubt is left, for the first record may be missing.
        self._oldest = self.asked - overlap
        self._in_overlap = True
        self._proven = position.offset == 0

    def expire(self, oldest: int) -> Lost:
        """Go on from `oldest`, before which the source keeps nothing. What comes from before all the same is read."""
        lost = Lost(self.lane, self.position, Position(-1, oldest), RETENTION)
        self._start = self.position = Position(self.position.offset, oldest)
        self._proven = True
        return lost

    def lost(self, offset: int, published: int) -> Lost | None:
        """What the lane's first record shows to be lost before it; nothing ever after."""
        if self._proven:
            return None
        self._proven = True
        start = self._start
        overlaps = self._oldest <= published <= start.time
        # The newest record may be older than those just before it. They are known by their offsets.
        disordered = 0 < start.offset - offset <= _NEAR and start.time < published <= start.time + _DISORDER
        if overlaps or disordered or offset == start.offset:
            return None
        return Lost(self.lane, start, Position(offset, published), JUMP)

    def again(self, offset: int, published: int) -> bool:
        """Whether a record was read before; if not, it moves the position."""
        self.next_offset = offset + 1
        if self._in_overlap:
            time = self._start.time
            if self._oldest <= published < time:
                return True
            self._in_overlap = False
            if published == time:
                return True
        self.position = Position(offset + 1, published)
        return False
