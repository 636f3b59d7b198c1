"""Stretches of EventStreams' topics, read again by time: their offsets differ from one of its clusters to the other.

A lane's range begins with its first record that was published at its start or later, and ends before the first one that
was published at its end or later. A lane on which nothing happens brings no such record, often for an hour. It is done
when a connection for it and the other lanes left brings nothing new, and then nothing at all for a while: for
`idle_timeout`; for ten seconds where another lane was read to its end, so that the service is known to bring what it
has. A lane that brought a record before must bring that again on this connection, or the service is taken for gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Final

import msgspec

from wikimirror.errors import ConfigurationError, SourceRefused
from wikimirror.model import MICROSECONDS, Lane, Lost, Position, Record
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import EventStreamsSettings
from wikimirror.sources.base import Positions, lane_of, position_after
from wikimirror.sources.eventstreams import EventStreams
from wikimirror.sources.http import Disconnected, Ending, HttpClient, Patience
from wikimirror.sources.ranges import Bound, Done, Range, chosen

_GRACE: Final = timedelta(seconds=10)
_PAUSE: Final = 1.0
"""Seconds between two connections: two are allowed to all of an address, and one just left may still count."""
_DISORDER: Final = 10 * MICROSECONDS
"""How far times may fall behind those of earlier records. A single record is looked for as far as that behind it."""
_HELD: Final = 64
"""Records of one lane that may be in doubt at once."""


class EventStreamsRanges:
    """The streams of one service, any stretch of them. Each `read` has one connection at a time."""

    def __init__(self, name: str, settings: EventStreamsSettings, client: HttpClient, now: Callable[[], int]) -> None:
        """`now` gives microseconds since the epoch."""
        self._name = name
        self._settings = settings
        self._client = client
        self._now = now

    @property
    def name(self) -> str:
        """The source's name, as in settings."""
        return self._name

    async def resolve(
        self, start: Bound, end: Bound | None, *, topics: Collection[str], partitions: Collection[int]
    ) -> dict[Lane, Range]:
        """Ranges by time; none ends after now. Raises ConfigurationError, also for a bound that is an offset."""
        lanes = chosen(self._name, self._connections().all_lanes, topics, partitions)
        now = self._now()
        begin, until = _time_of(start), now if end is None else min(_time_of(end), now)
        return {lane: Range(Position(0, begin), end_time=until) for lane in lanes}

    async def read(self, ranges: Mapping[Lane, Range]) -> AsyncGenerator[Record | Lost | Done]:
        """Yield the records of these ranges, over as many connections as it takes.

        A range that begins with a position reached begins after the record that position follows; where the service
        numbers otherwise than it did, with that record again. An offset to end before counts only where no time does,
        and only for one record: what was published in its millisecond is yielded, until it came. Raises SourceRefused
        where that time is not known, SourceUnavailable when a connection breaks off.
        """
        now = self._now()
        stretches = {lane: _Stretch(lane, each, now) for lane, each in ranges.items()}
        for lane in [lane for lane, stretch in stretches.items() if stretch.is_empty]:
            del stretches[lane]
            yield Done(lane)
        async with aclosing(_Reading(self._connections(), stretches, self._settings.idle_timeout).read()) as items:
            async for item in items:
                yield item

    async def total(self, ranges: Mapping[Lane, Range]) -> int | None:  # noqa: ARG002  # whatever they are
        """Not to be told: the service does not say how much it has."""
        return None

    def _connections(self) -> _Connections:
        # With `earliest` what is gone from before it would not be told: there it is what a start means.
        settings = self._settings.model_copy(update={"start": "latest"})
        return _Connections(self._name, settings, self._client, Vitals(self._name), self._now)


class _Connections(EventStreams):
    """The source as it is, asked for some of its lanes only."""

    _asked: tuple[Lane, ...] = ()
    _idle = timedelta(0)

    def ask(self, lanes: Collection[Lane], idle: timedelta) -> None:
        """What the next connection is for, and how long nothing may come over it."""
        self._asked, self._idle = tuple(lanes), idle

    @property
    def all_lanes(self) -> tuple[Lane, ...]:
        return super().lanes

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Those asked for: a topic that is not named to the service is not sent."""
        return self._asked

    @property
    def _patience(self) -> Patience:
        return Patience(self._settings.connect_timeout, self._idle)


class _Reading:
    """Lanes that are read until each is done, over one connection after the other."""

    def __init__(self, connections: _Connections, stretches: dict[Lane, _Stretch], idle: timedelta) -> None:
        self._connections = connections
        self._open = stretches
        self._idle = idle

    async def read(self) -> AsyncGenerator[Record | Lost | Done]:
        """As `EventStreamsRanges.read`. With each lane that is done it connects anew: else that would go on to come."""
        while self._open:
            before, silence = self._positions(), None
            try:
                async with aclosing(self._connect(before)) as items:
                    async for item in items:
                        yield item
            except Disconnected as error:
                if error.ending is not Ending.IDLE:
                    raise
                silence = error
            for done in self._finish():
                yield done
            if silence is not None and self._positions().items() <= before.items():
                for each in self._fall_silent(silence):
                    yield each
            if self._open:
                await asyncio.sleep(_PAUSE)

    async def _connect(self, positions: Positions) -> AsyncGenerator[Record | Lost]:
        for stretch in self._open.values():
            stretch.begin()
        self._connections.ask(self._open, self._idle)
        async with aclosing(self._connections.read(positions)) as items:
            async for item in items:
                stretch = self._open[item.lane if isinstance(item, Lost) else lane_of(item.at)]
                for each in stretch.take(item):
                    yield each
                if stretch.passed or all(each.done for each in self._open.values()):
                    return

    def _positions(self) -> dict[Lane, Position]:
        return {lane: stretch.position for lane, stretch in self._open.items()}

    def _finish(self) -> Iterator[Done]:
        for lane, stretch in [(lane, stretch) for lane, stretch in self._open.items() if stretch.done]:
            if stretch.passed:
                self._idle = min(self._idle, _GRACE)
            del self._open[lane]
            yield Done(lane)

    def _fall_silent(self, silence: Disconnected) -> Iterator[Record | Done]:
        """Nothing new came over a whole connection, and then nothing at all: what is left is done."""
        for lane, stretch in list(self._open.items()):
            if stretch.may_have_more:
                raise silence
            yield from stretch.rest()
            del self._open[lane]
            yield Done(lane)


class _Stretch:
    """One lane's range: what of all that comes is in it, and when it is over."""

    def __init__(self, lane: Lane, wanted: Range, now: int) -> None:
        """Raises SourceRefused for a range that cannot be read by time."""
        self._lane = lane
        start = wanted.start
        self._single = wanted.end_time is None and wanted.end_offset is not None
        if start.offset and not start.time:
            raise _by_offset(lane, start.offset)
        if self._single and wanted.end_offset != start.offset + 1:
            raise _by_offset(lane, start.offset)
        self._wanted = start
        self._end = wanted.end_time if wanted.end_time is not None else start.time + _DISORDER if self._single else now
        self.position = start
        """Where to go on with the next connection."""
        self.is_empty = not self._single and start.time >= self._end
        self.done = False
        self.passed = False
        """Whether it is done by a record, the one from behind its end or the only one of it."""
        self._begun = False
        self._held: list[Record] = []
        self._known = self._heard = False
        self._lost_after: Position | None = None

    def begin(self) -> None:
        """Another connection, which begins with records from before the position."""
        self._begun, self._held, self._heard = False, [], False

    @property
    def may_have_more(self) -> bool:
        """Whether silence on this connection tells nothing: not even what is known to be there came."""
        return self._known and not self._heard

    def take(self, item: Record | Lost) -> Iterator[Record | Lost]:
        """What of an item is in the range."""
        if isinstance(item, Lost):
            yield from self._lose(item)
            return
        self._heard = True
        if self.done:
            return
        records = [item] if self._begun else list(self._begin(item))
        for record in records:
            if record.published >= self._end:
                self.done = self.passed = True
                return
            yield from self._give(record)

    def rest(self) -> Iterator[Record]:
        """What was in doubt when nothing came any more."""
        held, self._held = self._held, []
        for record in held:
            yield from self._give(record)

    def _give(self, record: Record) -> Iterator[Record]:
        if self._single:
            if record.published == self._wanted.time:
                yield _once(record)
                self.done = self.passed = record.at.offset == self._wanted.offset
            return
        self._known = True
        self.position = position_after(record)
        yield _once(record)

    def _begin(self, record: Record) -> Iterator[Record]:
        """The records to take, once one comes that is not from before the position.

        Where the service numbers as it did, that is what follows the offset read last, at its time, or the offset asked
        for. Until one of them comes, all that has a lower offset is in doubt. Where it numbers otherwise none comes,
        and what is in doubt is read twice rather than lost (promise P2).
        """
        start, offset = self.position, record.at.offset
        if record.published < start.time and not self._held:
            return
        at_start = record.published == start.time
        if at_start and offset == start.offset - 1 and not self._single:
            self._held, self._begun = [], True
        elif offset < start.offset and len(self._held) < _HELD and record.published < self._end:
            self._held.append(record)
        else:
            if not (at_start and offset == start.offset):
                yield from self._held
            self._held, self._begun = [], True
            yield record

    def _lose(self, lost: Lost) -> Iterator[Lost]:
        """What is lost of the range, once. What is there all the same is read."""
        if lost.until.offset < 0:
            # By the position, which does not move before something comes: each connection finds that anew.
            if self._lost_after == lost.after:
                return
            self._lost_after = lost.after
        if lost.until.time >= self._end and not self._single:
            self.done = True
            lost = lost._replace(until=Position(-1, self._end))
        yield lost


def _once(record: Record) -> Record:
    return msgspec.structs.replace(record, again=False) if record.again else record


def _time_of(bound: Bound) -> int:
    if bound.time is None:
        raise ConfigurationError(
            "EventStreams is read by time: its offsets differ from one connection to the next",
            remedy="Say an instant, such as 2026-11-21T03:00:00Z, or how long ago, such as 2h.",
        )
    return bound.time


def _by_offset(lane: Lane, offset: int) -> SourceRefused:
    return SourceRefused(
        f"{lane}@{offset} cannot be read again by its offset: EventStreams is read by time, and that is not known",
        remedy="Replay the time around it, or read it from a capture or from Kafka.",
    )
