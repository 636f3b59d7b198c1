"""Reading assigned partitions from the positions that Postgres holds, over one consumer."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

import cramjam
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, OffsetOutOfRangeError

from wikimirror.errors import SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.model import MICROSECONDS, Coordinates, Lane, Lost, Position, Record
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Vitals
from wikimirror.sources.base import Positions
from wikimirror.sources.http import Ending
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.faults import translate
from wikimirror.sources.kafka.fetching import FetchSizes
from wikimirror.sources.kafka.offsets import lost_before
from wikimirror.sources.kafka.positions import Brokers, partition_of

_LOG = get_logger(__name__)
_POLL: Final = 500
"""Milliseconds to wait for records before looking whether the brokers answer at all."""
_PAUSE: Final = 1.0
"""Seconds. Who asked that long ago or longer was kept from asking."""
_AGAIN: Final = 0.2
"""Seconds before a position is tried again that is out of range by one answer and within it by the next."""
_DISORDER: Final = 120 * MICROSECONDS
"""How far the times of records may fall behind those of earlier ones: producers' clocks and delays."""
_MILLISECOND: Final = 1000
_END: Final = 7_258_118_400_000
"""Milliseconds: the year 2200. What lies beyond is no time of a record."""
_NOWHERE: Final = 2**63 - 1
_SLICE: Final = 500
"""Records taken over at once, if they are small. What is taken over counts against the memory as it is handed on."""


class Seat(Protocol):
    """From where partitions are read: a stay in a group, or none."""

    consumer: AIOKafkaConsumer
    brokers: Brokers
    patience: float
    """Seconds for which no broker may answer a fetch."""

    def fetch_sizes(self, lanes: Collection[Lane]) -> FetchSizes:
        """How much to ask for while these lanes are read; the consumer is told."""
        ...

    def begin(self, positions: Positions) -> None:
        """Lanes are about to be read from these positions on."""
        ...

    def hand_on(self, lane: Lane, position: int) -> None:
        """Records before this position are taken over, to be handed on and applied."""
        ...

    def fail(self, error: WikimirrorError) -> None:
        """Nothing more is to be had from this seat."""
        ...

    def raise_failure(self) -> None:
        """Raise why that is so, if it is."""
        ...


async def read(
    member: Seat | None,
    positions: Positions,
    vitals: Vitals,
    now: Callable[[], int],
) -> AsyncGenerator[Record | Lost]:
    """As `KafkaSource.read`."""
    if member is None:
        raise SourceUnavailable("this process is not in the group")
    member.raise_failure()
    reading = Reading(member, positions, now)
    with telling(reading, member, vitals):
        reading.begin()
        while True:
            for lost in await reading.poll():
                yield lost
            if reading.answered and not vitals.connected:
                vitals.joined()
            for record in reading.records():
                yield record


@contextmanager
def telling(reading: Reading, member: Seat, vitals: Vitals) -> Iterator[None]:
    """Stop the reading when the block is left, and tell what ended it in errors of ours."""
    ending = Ending.STOPPED
    try:
        yield
    except _UNREADABLE as error:
        ending = Ending.ERROR_FRAME
        raise SourceUnavailable(
            f"{reading.doubtful(error)}: what the broker sent cannot be unpacked ({type(error).__name__})",
            remedy="It is asked for again. If that goes on, the log is damaged: mend it, or set a position after it.",
        ) from error
    except KafkaError as error:
        ending = Ending.UNAVAILABLE
        # Of the membership, or of a partition? The one ends the stay, the other is tried again.
        member.raise_failure()
        raise translate(error) from error
    except (SourceUnavailable, SourceRefused):
        ending = Ending.IDLE if reading.silent else Ending.UNAVAILABLE
        raise
    finally:
        reading.stop()
        vitals.left(ending)


_UNREADABLE: Final = (cramjam.DecompressionError, struct.error, CorruptRecordException)
"""What aiokafka raises of a batch that does not unpack, or whose checksum is wrong."""


class Reading:
    """One stretch of reading: from seeking to the first failure, or to the end of the assignment."""

    def __init__(self, member: Seat, positions: Positions, now: Callable[[], int]) -> None:
        self._member = member
        self._consumer = member.consumer
        self._lanes: dict[TopicPartition, Lane] = {partition_of(lane): lane for lane in positions}
        self._reached = {partition_of(lane): position for lane, position in positions.items()}
        self._now = now
        self._patience = member.patience
        self._sizes = member.fetch_sizes(positions)
        self._batch: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = {}
        self._answer: tuple[int | None, ...] = ()
        self._since = self._polled = time.monotonic()
        self.answered = False
        """Whether a broker answered a fetch."""
        self.silent = False
        """Whether none did for `idle_timeout`."""

    def doubtful(self, error: BaseException) -> str:
        """The lane that cannot be read on, and where; all of them if the error does not tell which."""
        told = [each for each in self._lanes if str(each) in str(error)] or self._lanes
        return ", ".join(f"{self._lanes[each]}@{self._reached[each].offset}" for each in sorted(told))

    def begin(self) -> None:
        """Read on from the positions, whatever was read before. A position that is out of range is told by `poll`."""
        self._member.begin({self._lanes[each]: reached for each, reached in self._reached.items()})
        self._seek()
        self._consumer.resume(*self._lanes)

    def _require_assigned(self) -> None:
        """The client forgets an assignment some time before it tells of that, and then fails in its own ways."""
        if not self._lanes.keys() <= self._consumer.assignment():
            raise SourceUnavailable("the group is about to give the partitions out anew")

    def _seek(self) -> None:
        self._require_assigned()
        for each, reached in self._reached.items():
            self._consumer.seek(each, reached.offset)

    async def position(self, lane: Lane) -> int:
        """Where this lane is read on: also past offsets that no reader gets, such as the marks of transactions."""
        offset: int = await self._consumer.position(partition_of(lane))
        return offset

    def answered_at(self, lane: Lane) -> float:
        """When a fetch of this lane was last answered: time of day in seconds, by which aiokafka goes; 0: never."""
        return (self._consumer.last_poll_timestamp(partition_of(lane)) or 0) / 1000

    def leave(self, lane: Lane) -> None:
        """Read this lane no more, and let go of what is held of it."""
        partition = partition_of(lane)
        del self._lanes[partition], self._reached[partition]
        self._consumer.pause(partition)
        # What is still on its way is dropped, for it does not begin there. Else it would be held, and its broker be
        # asked for nothing more.
        self._consumer.seek(partition, _NOWHERE)

    def stop(self) -> None:
        """Ask the brokers for no more."""
        assigned = self._consumer.assignment()
        self._consumer.pause(*(each for each in self._lanes if each in assigned))

    async def poll(self) -> list[Lost]:
        """Take the next records over, to be had by `records`; what turned out to be lost."""
        self._batch = {}
        self._member.raise_failure()
        asked = time.monotonic()
        try:
            # The first one alone: what is wrong with it is told, and where.
            self._batch = await self._consumer.getmany(*self._lanes, timeout_ms=_POLL, max_records=1)
        except OffsetOutOfRangeError as error:
            ((partition, offset),) = error.args[0].items()
            return await self._out_of_range(partition, offset)
        if self._batch:
            # A batch that does not unpack is the first at the next poll.
            with suppress(*_UNREADABLE):
                for partition, message in driver.unpack(
                    self._consumer, self._lanes, size=self._sizes.answer, most=_SLICE
                ):
                    self._batch.setdefault(partition, []).append(message)
        for partition, messages in self._batch.items():
            # Before any of them waits for room: what is taken over is not durable yet.
            self._member.hand_on(self._lanes[partition], messages[-1].offset + 1)
        self._watch(asked)
        return []

    def records(self) -> Iterator[Record]:
        """What the last `poll` took over."""
        received = self._now()
        for partition, messages in self._batch.items():
            lane = self._lanes[partition]
            source, topic, number = lane
            published = 0
            for message in messages:
                stamp = message.timestamp
                published = stamp * _MILLISECOND if 0 < stamp < _END else 0
                yield Record(Coordinates(source, topic, number, message.offset), message.value, received, published)
            self._reached[partition] = Position(messages[-1].offset + 1, published)
        self._batch = {}

    async def _out_of_range(self, partition: TopicPartition, offset: int) -> list[Lost]:
        """Where a lane goes on that cannot be read at its position. Only the leader's answer to a fetch counts."""
        brokers, lane = self._member.brokers, self._lanes[partition]
        position = Position(offset, self._reached[partition].time)
        extent = (await brokers.extents([partition]))[partition]
        since: int | None = extent.begin
        if position.time and offset > extent.begin:
            # A record may have been dated in the future: then nothing would be found, and all that is there left out.
            newest = min(position.time, self._now())
            since = (await brokers.since({partition: newest - _DISORDER}))[partition]
        lost = lost_before(lane, position, extent, since)
        if lost is None:
            # A leader that has just taken office may not know its own end yet.
            await asyncio.sleep(_AGAIN)
        reached = position if lost is None else lost.until
        self._reached[partition] = reached
        self._require_assigned()
        self._member.begin({lane: reached})
        self._consumer.seek(partition, reached.offset)
        return [] if lost is None else [lost]

    def _watch(self, asked: float) -> None:
        """Notice brokers that answer no fetch any more: aiokafka would wait for them without a word.

        The time in which nobody asked does not count: there was no room for more.
        """
        now = time.monotonic()
        if asked - self._polled > _PAUSE:
            self._since = asked
        self._polled = now
        answers = self._answer if self._batch else self._answers()
        if self._batch or (answers != self._answer and any(answers)):
            self._answer, self._since, self.answered = answers, now, True
        elif now - self._since >= self._patience:
            self.silent = True
            error = SourceUnavailable(f"no broker has answered a fetch for {self._patience:.0f} s")
            # What hangs may be aiokafka itself: only another stay is sure to help.
            self._member.fail(error)
            raise error

    def _answers(self) -> tuple[int | None, ...]:
        """When a fetch of each lane was last answered, by aiokafka's clock, which may step."""
        assigned = self._consumer.assignment()
        return tuple(self._consumer.last_poll_timestamp(each) for each in self._lanes if each in assigned)
