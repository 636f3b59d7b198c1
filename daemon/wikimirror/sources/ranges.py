"""The contract of reading a stretch of a source again: for a replay, and for one record that was set aside.

It is done beside the source's own lanes: it holds none of them, moves no position, and tells nobody how far it came.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from typing import NamedTuple, Protocol

import msgspec

from wikimirror.errors import ConfigurationError
from wikimirror.model import Coordinates, Lane, Lost, Position, Record


class Bound(NamedTuple):
    """Where a stretch begins or ends, as a person says it. Exactly one is set."""

    offset: int | None = None
    time: int | None = None
    """Microseconds since the epoch."""


class Range(NamedTuple):
    """A stretch of one lane. The first bound that is reached ends it; with neither it goes on to what is there now."""

    start: Position
    """The first record to read; for sources that are resumed by time its time counts. Whoever goes on in the middle
    puts the position reached here."""
    end_offset: int | None = None
    """Stop before this offset."""
    end_time: int | None = None
    """Stop before the first record published at or after this, in microseconds."""


class Done(NamedTuple):
    """A lane was read to the end of its range."""

    lane: Lane


class RangeSource(Protocol):
    """Something whose records can be read again."""

    @property
    def name(self) -> str:
        """As in coordinates: the source's name in the settings, or "capture"."""
        ...

    async def resolve(
        self, start: Bound, end: Bound | None, *, topics: Collection[str], partitions: Collection[int]
    ) -> dict[Lane, Range]:
        """The ranges of the lanes with these topics and partitions; an empty collection means all.

        `end` None: what the source holds now. Raises ConfigurationError for a topic or partition that it does not
        have and for bounds that it cannot be read by, SourceUnavailable, SourceRefused.
        """
        ...

    def read(self, ranges: Mapping[Lane, Range]) -> AsyncGenerator[Record | Lost | Done]:
        """Yield the records in order within each lane, none outside its range, and one `Done` for each lane.

        It ends when all are done. A `Lost` comes where a stretch of the range is gone, before what follows it. No
        record is marked as read again. What is held is bounded, and closing it (`aclose`) stops the reading. Raises
        SourceUnavailable, SourceRefused, ConfigurationError, after everything read before.
        """
        ...

    async def total(self, ranges: Mapping[Lane, Range]) -> int | None:
        """About how many records these are; None where the source cannot tell. Raises SourceUnavailable."""
        ...


async def read_one(source: RangeSource, lane: Lane, offset: int, published: int) -> Record | None:
    """The record with that offset, read again; None where the source no longer has it.

    `published`: when the source's log took it in, in microseconds; 0 where that is not known. Where it is, a record of
    another time is another record: the topic was made anew. And a source of several clusters, which number the same
    records differently, has it under another offset; it is known by its time if it is the only one of that, and bears
    the coordinates asked for. Raises SourceRefused where the source can only be read by time and that is not known,
    SourceUnavailable, ConfigurationError.
    """
    wanted = Range(Position(offset, published), offset + 1)
    of_its_time: list[Record] = []
    async with aclosing(source.read({lane: wanted})) as items:
        async for item in items:
            if not isinstance(item, Record):
                continue
            if item.at.offset == offset and (not (published and item.published) or item.published == published):
                return item
            if published and item.published == published:
                of_its_time.append(item)
    return msgspec.structs.replace(of_its_time[0], at=Coordinates(*lane, offset)) if len(of_its_time) == 1 else None


def chosen(
    source: str, lanes: Collection[Lane], topics: Collection[str], partitions: Collection[int]
) -> tuple[Lane, ...]:
    """Those of a source's lanes with these topics and partitions; an empty collection means all.

    Raises ConfigurationError for a topic that no lane has, and for a partition that none of the topics chosen has.
    """
    known = {lane.topic for lane in lanes}
    if strange := sorted(set(topics) - known):
        raise ConfigurationError(
            f"{source} has no topic {', '.join(strange)}",
            remedy=f"Name some of these: {', '.join(sorted(known))}." if known else "It has no topic at all for now.",
        )
    of_topics = [lane for lane in lanes if not topics or lane.topic in topics]
    if unknown := sorted(set(partitions) - {lane.partition for lane in of_topics}):
        raise ConfigurationError(
            f"{source} has no partition {', '.join(map(str, unknown))} of what is asked for",
            remedy=f"The largest is {max((lane.partition for lane in of_topics), default=0)}; the first is 0.",
        )
    return tuple(sorted(lane for lane in of_topics if not partitions or lane.partition in partitions))
