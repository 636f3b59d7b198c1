"""What a consumer can tell of topics and offsets, asked in a bounded time."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from wikimirror.model import MICROSECONDS, Lane, Position
from wikimirror.settings import KafkaSettings, whole
from wikimirror.sources.base import Positions
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.consumer import ask
from wikimirror.sources.kafka.offsets import Extent

_MILLISECOND: Final = 1000


def partition_of(lane: Lane) -> TopicPartition:
    """A lane as Kafka names it."""
    return TopicPartition(lane.topic, lane.partition)


class Brokers:
    """Questions to the brokers over one consumer. Each raises SourceUnavailable, SourceRefused."""

    def __init__(self, source: str, settings: KafkaSettings, consumer: AIOKafkaConsumer) -> None:
        self._source = source
        self._settings = settings
        self._consumer = consumer
        self._seconds = settings.request_timeout.total_seconds()

    def lane_of(self, partition: TopicPartition) -> Lane:
        """A partition as a lane of this source."""
        return Lane(self._source, partition.topic, partition.partition)

    async def lanes(self) -> dict[str, tuple[Lane, ...]]:
        """All lanes of the settings' topics, by topic, as far as they are there and this client may see them."""
        pattern = self._settings.topic_pattern
        asked = self._settings.topics if pattern is None else None
        there = await ask(driver.catalogue(self._consumer, asked), self._seconds)
        return {
            topic: tuple(Lane(self._source, topic, number) for number in sorted(there[topic]))
            for topic in sorted(there)
            if (topic in self._settings.topics if pattern is None else re.match(whole(pattern), topic))
        }

    async def begins(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first record that each holds."""
        found: dict[TopicPartition, int] = await ask(self._consumer.beginning_offsets(list(partitions)), self._seconds)
        return found

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record that each lets us read."""
        found: dict[TopicPartition, int] = await ask(self._consumer.end_offsets(list(partitions)), self._seconds)
        return found

    async def extents(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Extent]:
        """What each holds."""
        begins, ends = await self.begins(partitions), await self.ends(partitions)
        return {each: Extent(begins[each], ends[each]) for each in partitions}

    async def since(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | None]:
        """The offset of each one's first record at or after a time in microseconds; None: there is none."""
        asked = {each: max(0, time // _MILLISECOND) for each, time in times.items()}
        found = await ask(self._consumer.offsets_for_times(asked), self._seconds)
        return {each: None if place is None else place.offset for each, place in found.items()}

    async def starting_positions(self, lanes: Collection[Lane]) -> Positions:
        """Where lanes start that were never read, by the setting `start`; one without a leader at its first record.

        A partition without a leader must not hold up the others.
        """
        partitions, unled = self._led(lanes)
        match self._settings.start:
            case "latest":
                offsets = await self.ends(partitions)
            case "earliest":
                offsets = await self.begins(partitions)
            case instant:
                found = await self.since(dict.fromkeys(partitions, round(instant.timestamp() * MICROSECONDS)))
                ends = await self.ends(partitions)
                offsets = {each: ends[each] if offset is None else offset for each, offset in found.items()}
        return unled | {self.lane_of(each): Position(offset) for each, offset in offsets.items()}

    async def first_positions(self, lanes: Collection[Lane]) -> Positions:
        """The oldest that the lanes hold."""
        partitions, unled = self._led(lanes)
        offsets = await self.begins(partitions)
        return unled | {self.lane_of(each): Position(offset) for each, offset in offsets.items()}

    def _led(self, lanes: Collection[Lane]) -> tuple[list[TopicPartition], dict[Lane, Position]]:
        """The partitions that can be asked about, and a beginning for those that cannot."""
        partitions = [partition_of(lane) for lane in lanes]
        unled = driver.leaderless(self._consumer, partitions)
        return [each for each in partitions if each not in unled], {self.lane_of(each): Position(0) for each in unled}
