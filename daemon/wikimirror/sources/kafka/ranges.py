"""Stretches of Kafka's topics, read again outside of any group: nobody is told of it, and no position is moved.

A bound in time is Kafka's own time index: the first record, by offset, that was published then or later.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer

from wikimirror.errors import ConfigurationError
from wikimirror.model import Lane, Lost, Position, Record
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import KafkaSettings
from wikimirror.sources.base import lane_of
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.alone import LoneSeat
from wikimirror.sources.kafka.consumer import ask, start_consumer
from wikimirror.sources.kafka.offsets import TRUNCATED, Extent
from wikimirror.sources.kafka.positions import Brokers, partition_of
from wikimirror.sources.kafka.reading import Reading, telling
from wikimirror.sources.ranges import Bound, Done, Range, chosen

_FAREWELL: Final = 5.0
_MILLISECOND: Final = 1000
_SETTLED: Final = 2.0
"""Seconds for which a lane's fetches bring nothing before its end before it is asked whether anything can come. A
broker that has just become the leader may not know its own end at once."""


class KafkaRanges:
    """The topics of the settings, any stretch of them. Each call has a consumer of its own, which it closes."""

    def __init__(self, name: str, settings: KafkaSettings, now: Callable[[], int], *, memory: int) -> None:
        """`now` gives microseconds since the epoch; `memory` is what this source may hold, in bytes (promise P6)."""
        self._name = name
        self._settings = settings
        self._now = now
        self._memory = memory

    @property
    def name(self) -> str:
        """The source's name, as in settings."""
        return self._name

    async def resolve(
        self, start: Bound, end: Bound | None, *, topics: Collection[str], partitions: Collection[int]
    ) -> dict[Lane, Range]:
        """Ranges by offset. None ends behind what its partition holds now; one may begin before that, and is then lost.

        Raises ConfigurationError, SourceUnavailable, SourceRefused.
        """
        async with self._consumer() as consumer:
            brokers = Brokers(self._name, self._settings, consumer)
            there = await brokers.lanes()
            missing = sorted(set(topics or self._settings.topics) - there.keys())
            if missing and set(missing) <= set(self._settings.topics):
                raise ConfigurationError(
                    f"the brokers do not have {', '.join(missing)}, or do not show it to this user",
                    remedy="Name the topics to read, or look at topics and at the user's right to describe them.",
                )
            lanes = chosen(self._name, [lane for each in there.values() for lane in each], topics, partitions)
            extents = await self._extents(brokers, lanes)
            starts = await self._offsets(brokers, start, extents)
            if start.time is not None:
                # Nobody knows whether what was deleted before the log's first record was published in the range. The
                # range begins with the last of it, so that it is told as lost.
                starts |= {
                    lane: extent.begin - 1 for lane, extent in extents.items() if 0 < extent.begin == starts[lane]
                }
            ends = await self._offsets(brokers, end, extents)
        return {lane: Range(Position(starts[lane]), min(ends[lane], extents[lane].end)) for lane in lanes}

    async def read(self, ranges: Mapping[Lane, Range]) -> AsyncGenerator[Record | Lost | Done]:
        """Yield the records of these ranges, over one consumer that is in no group.

        A lane is done by the consumer's position: at its end may be what no reader gets, such as the marks of
        transactions. Raises SourceUnavailable, SourceRefused, ConfigurationError. What is held beyond the record
        yielded: one answer of each broker, and a slice of it.
        """
        wanted = {lane: each for lane, each in ranges.items() if not _is_empty(each)}
        for lane in ranges:
            if lane not in wanted:
                yield Done(lane)
        if not wanted:
            return
        async with self._consumer() as consumer:
            await self._require(consumer, wanted)
            consumer.assign([partition_of(lane) for lane in wanted])
            seat = LoneSeat(self._name, self._settings, consumer, self._memory)
            ends = await self._ends(seat.brokers, wanted)
            starts = {lane: each.start for lane, each in wanted.items()}
            reading = Reading(seat, starts, self._now)
            with telling(reading, seat, Vitals(self._name)):
                reading.begin()
                async with aclosing(_Stretches(reading, seat.brokers, ends).read()) as items:
                    async for item in items:
                        yield item

    async def total(self, ranges: Mapping[Lane, Range]) -> int | None:
        """How many offsets of these ranges there are: no more records than that. Raises SourceUnavailable."""
        wanted = {lane: each for lane, each in ranges.items() if not _is_empty(each)}
        if not wanted:
            return 0
        async with self._consumer() as consumer:
            await self._require(consumer, wanted)
            brokers = Brokers(self._name, self._settings, consumer)
            extents = await self._extents(brokers, wanted)
            ends = await self._ends(brokers, wanted)
        return sum(
            max(0, min(ends[lane], extents[lane].end) - max(each.start.offset, extents[lane].begin))
            for lane, each in wanted.items()
        )

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = await start_consumer(self._settings, group=False)
        try:
            yield consumer
        finally:
            await driver.stop(consumer, _FAREWELL)

    async def _require(self, consumer: AIOKafkaConsumer, lanes: Collection[Lane]) -> None:
        """Raises ConfigurationError unless the brokers have these lanes: nothing would ever answer for one of them."""
        seconds = self._settings.request_timeout.total_seconds()
        there = await ask(driver.catalogue(consumer, {lane.topic for lane in lanes}), seconds)
        if strange := sorted(lane for lane in lanes if lane.partition not in there.get(lane.topic, ())):
            raise ConfigurationError(
                f"the brokers do not have {', '.join(map(str, strange))}, or do not show it to this user",
                remedy="Look whether the topic was deleted, and at the user's right to describe it.",
            )

    async def _extents(self, brokers: Brokers, lanes: Collection[Lane]) -> dict[Lane, Extent]:
        found = await brokers.extents([partition_of(lane) for lane in lanes])
        return {lane: found[partition_of(lane)] for lane in lanes}

    async def _offsets(self, brokers: Brokers, bound: Bound | None, extents: Mapping[Lane, Extent]) -> dict[Lane, int]:
        """The offset of each lane that a bound means; none and what lies after the last record: the end."""
        if bound is None:
            return {lane: extent.end for lane, extent in extents.items()}
        if bound.offset is not None:
            return dict.fromkeys(extents, bound.offset)
        assert bound.time is not None  # noqa: S101  # exactly one is set
        # Kafka counts milliseconds: what was published in the one that the bound lies in was published before it.
        instant = -(-bound.time // _MILLISECOND) * _MILLISECOND
        found = await brokers.since({partition_of(lane): instant for lane in extents})
        offsets = {lane: found[partition_of(lane)] for lane in extents}
        return {lane: extents[lane].end if offset is None else offset for lane, offset in offsets.items()}

    async def _ends(self, brokers: Brokers, ranges: Mapping[Lane, Range]) -> dict[Lane, int]:
        """Where each lane ends; for one whose range does not tell an offset, as of now."""
        ends = {lane: each.end_offset for lane, each in ranges.items() if each.end_offset is not None}
        for lane in ranges.keys() - ends.keys():
            extents = await self._extents(brokers, [lane])
            time_ = ranges[lane].end_time
            ends |= await self._offsets(brokers, None if time_ is None else Bound(time=time_), extents)
        return ends


class _Stretches:
    """Lanes that are read until each has passed its end."""

    def __init__(self, reading: Reading, brokers: Brokers, ends: dict[Lane, int]) -> None:
        self._reading = reading
        self._brokers = brokers
        self._ends = ends
        self._quiet: float | None = None
        """Since when nothing came at all, by aiokafka's clock; None: something did."""

    async def read(self) -> AsyncGenerator[Record | Lost | Done]:
        """As `KafkaRanges.read`."""
        while self._ends:
            asked, something = time.time(), False
            answered = {lane: self._reading.answered_at(lane) for lane in self._ends}
            for lost in await self._reading.poll():
                clipped, something = self._clipped(lost), True
                yield clipped
                if clipped.until.offset == self._ends[lost.lane]:
                    yield self._leave(lost.lane)
            for record in self._reading.records():
                something = True
                if record.at.offset < self._ends[lane_of(record.at)]:
                    yield record
            self._quiet = None if something else asked if self._quiet is None else self._quiet
            for lane in list(self._ends):
                if await self._reading.position(lane) >= self._ends[lane]:
                    yield self._leave(lane)
                elif self._quiet is not None and answered[lane] >= self._quiet + _SETTLED:
                    async for item in self._without_end(lane):
                        yield item

    def _clipped(self, lost: Lost) -> Lost:
        """What is lost of the range. Where the log was cut off or begun anew, none of its offsets means the same."""
        end = self._ends[lost.lane]
        until = end if lost.reason == TRUNCATED else min(lost.until.offset, end)
        return lost._replace(until=Position(until, lost.until.time))

    def _leave(self, lane: Lane) -> Done:
        self._reading.leave(lane)
        del self._ends[lane]
        return Done(lane)

    async def _without_end(self, lane: Lane) -> AsyncGenerator[Lost | Done]:
        """End a lane that does not get to its end, although it was asked: the log now ends before that, or holds
        nothing more up to there.
        """
        partition, end, position = partition_of(lane), self._ends[lane], await self._reading.position(lane)
        if (await self._brokers.ends([partition]))[partition] < end:
            yield Lost(lane, Position(position), Position(end), TRUNCATED)
        yield self._leave(lane)


def _is_empty(wanted: Range) -> bool:
    return wanted.end_offset is not None and wanted.end_offset <= wanted.start.offset
