"""Kafka as a source outside of any group: to look at what topics hold, without anybody noticing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer

from wikimirror.errors import SourceUnavailable, WikimirrorError
from wikimirror.model import Lane, Lost, Position, Record
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import KafkaSettings
from wikimirror.sources.base import Positions
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.consumer import start_consumer
from wikimirror.sources.kafka.fetching import FetchSizes, fetch_sizes
from wikimirror.sources.kafka.positions import Brokers, partition_of
from wikimirror.sources.kafka.reading import read

_LAST: Final = 100
"""Records of each partition from before now: a topic in which nothing happens is looked at too."""
_FAREWELL: Final = 5.0


class KafkaAlone:
    """All partitions of the settings' topics, read by this process alone."""

    def __init__(
        self, name: str, settings: KafkaSettings, vitals: Vitals, now: Callable[[], int], *, memory: int
    ) -> None:
        """`now` gives microseconds since the epoch; `memory` is what this source may hold, in bytes."""
        self._name = name
        self._settings = settings
        self._vitals = vitals
        self._now = now
        self._memory = memory
        self._ends: dict[Lane, int] = {}

    @property
    def name(self) -> str:
        """The source's name, as in settings."""
        return self._name

    async def starting_positions(self) -> Positions:
        """A little before the end of each partition. Raises SourceUnavailable, SourceRefused, ConfigurationError."""
        consumer = await start_consumer(self._settings, group=False)
        try:
            brokers = Brokers(self._name, self._settings, consumer)
            there = await brokers.lanes()
            if missing := [topic for topic in self._settings.topics if topic not in there]:
                raise SourceUnavailable(
                    f"the brokers do not have {', '.join(missing)}, or do not show it to this user",
                    remedy="Look at topics, and at the user's right to describe them.",
                )
            lanes = [lane for each in there.values() for lane in each]
            extents = await brokers.extents([partition_of(lane) for lane in lanes])
        finally:
            await driver.stop(consumer, _FAREWELL)
        found = {lane: extents[partition_of(lane)] for lane in lanes}
        self._ends = {lane: extent.end for lane, extent in found.items()}
        return {lane: Position(max(extent.begin, extent.end - _LAST)) for lane, extent in found.items()}

    async def read(self, positions: Positions) -> AsyncGenerator[Record | Lost]:
        """Yield what comes, over one connection. What was there before is marked as read again.

        Raises SourceUnavailable, SourceRefused, ConfigurationError.
        """
        consumer = await start_consumer(self._settings, group=False)
        try:
            consumer.assign([partition_of(lane) for lane in positions])
            seat = LoneSeat(self._name, self._settings, consumer, self._memory)
            items = read(seat, positions, self._vitals, self._now)
            try:
                async for item in items:
                    yield self._marked(item)
            finally:
                await items.aclose()
        finally:
            await driver.stop(consumer, _FAREWELL)

    async def acknowledge(self, positions: Positions) -> None:
        """Nobody is told."""

    def _marked(self, item: Record | Lost) -> Record | Lost:
        if isinstance(item, Record) and item.at.offset < self._ends.get(Lane(*item.at[:3]), 0):
            return msgspec.structs.replace(item, again=True)
        return item


class LoneSeat:
    """As reading.Seat, for whoever nobody waits for."""

    def __init__(self, source: str, settings: KafkaSettings, consumer: AIOKafkaConsumer, memory: int) -> None:
        self.brokers = Brokers(source, settings, consumer)
        self.consumer = consumer
        self.patience = settings.idle_timeout.total_seconds()
        self._memory = memory
        self._failure: WikimirrorError | None = None

    def fetch_sizes(self, lanes: Collection[Lane]) -> FetchSizes:
        """By the memory there is, and by the brokers that lead these lanes."""
        led_by = driver.leaders(self.consumer, map(partition_of, lanes))
        sizes = fetch_sizes(self._memory, len(lanes), led_by)
        driver.bound(self.consumer, sizes)
        return sizes

    def begin(self, positions: Positions) -> None:
        """Nobody is told."""

    def hand_on(self, lane: Lane, position: int) -> None:
        """Nobody is told."""

    def fail(self, error: WikimirrorError) -> None:
        """Nothing more is to be had over this consumer."""
        self._failure = error

    def raise_failure(self) -> None:
        """Raise why that is so, if it is."""
        if self._failure is not None:
            raise self._failure
