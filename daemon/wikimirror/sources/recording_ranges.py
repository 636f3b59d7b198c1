"""Stretches of captures, read again: each file is a lane, under the file's name, with the one partition 0.

A capture has no times of transport. Between bounds in time are the records that tell such a time themselves, wherever
they are in the file; one that tells none counts as published with the one before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing

from wikimirror.errors import ConfigurationError
from wikimirror.model import Lane, Position, Record
from wikimirror.sources.ranges import Bound, Done, Range, chosen
from wikimirror.sources.recording import Recording
from wikimirror.wire import CAPTURE


class CaptureRanges:
    """Any stretch of some capture files, which are read one after the other."""

    def __init__(self, recordings: Sequence[Recording], published_of: Callable[[Record], int]) -> None:
        """`published_of` gives the time that a record tells, in microseconds since the epoch; 0: it tells none."""
        self._recordings = {each.partition: each for each in recordings}
        self._published_of = published_of

    @property
    def name(self) -> str:
        """The source of every capture."""
        return CAPTURE

    async def resolve(
        self, start: Bound, end: Bound | None, *, topics: Collection[str], partitions: Collection[int]
    ) -> dict[Lane, Range]:
        """Ranges by offset or by time, in the order of the files. Raises ConfigurationError, also for an unreadable
        file.
        """
        lanes = set(chosen(CAPTURE, self._recordings, topics, partitions))
        begin, until = Position(start.offset or 0, start.time or 0), end or Bound()
        for lane in lanes:
            self._recordings[lane].require_readable()
        return {lane: Range(begin, until.offset, until.time) for lane in self._recordings if lane in lanes}

    async def read(self, ranges: Mapping[Lane, Range]) -> AsyncGenerator[Record | Done]:
        """Yield the records of these ranges, one file after the other, without blocking the event loop.

        Raises ConfigurationError for a lane that is none of the files, and after all that could be read of a file.
        """
        for lane, wanted in ranges.items():
            async with aclosing(self._within(self._recording(lane), wanted)) as records:
                async for record in records:
                    yield record
            yield Done(lane)

    async def total(self, ranges: Mapping[Lane, Range]) -> int | None:
        """How many records these are. The files are read for it. Raises ConfigurationError."""
        found = 0
        async with aclosing(self.read(ranges)) as items:
            async for item in items:
                found += isinstance(item, Record)
        return found

    async def _within(self, recording: Recording, wanted: Range) -> AsyncGenerator[Record]:
        begin, end = wanted.start, wanted.end_offset
        by_time = begin.time > 0 or wanted.end_time is not None
        # What is before the start may tell the time of what follows.
        first, told = 0 if by_time else begin.offset, 0
        if end is not None and end <= begin.offset:
            return
        async with aclosing(recording.read({recording.partition: Position(first)})) as records:
            async for record in records:
                if end is not None and record.at.offset >= end:
                    return
                if by_time:
                    told = self._published_of(record) or told
                    if told < begin.time or (wanted.end_time is not None and told >= wanted.end_time):
                        continue
                if record.at.offset >= begin.offset:
                    yield record

    def _recording(self, lane: Lane) -> Recording:
        try:
            return self._recordings[lane]
        except KeyError:
            raise ConfigurationError(
                f"{lane} is in none of the captures named", remedy="Name its file too: --file CAPTURE."
            ) from None
