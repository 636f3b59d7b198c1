"""What is done beside the reading of a consumer group's member: telling the group, and telling how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from wikimirror.errors import SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.model import Lane
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import KafkaSettings
from wikimirror.sources.base import Positions
from wikimirror.sources.kafka.offsets import records_behind
from wikimirror.sources.kafka.positions import Brokers, partition_of

_LOG = get_logger(__name__)
_LOOK: Final = 2.0
"""Seconds between two looks at the ends of the partitions."""
_LOOK_AT_STARTS: Final = 60.0
"""Seconds between two looks at where the partitions' logs start. Retention moves that seldom, and it is one more
question to every broker."""
_FAREWELL: Final = 3.0
"""Seconds that telling the group may take. It is advisory."""


class Upkeep:
    """Runs until it is cancelled. What fails is done again; silence for `idle_timeout` ends the stay."""

    def __init__(
        self,
        settings: KafkaSettings,
        consumer: AIOKafkaConsumer,
        brokers: Brokers,
        vitals: Vitals,
        fail: Callable[[WikimirrorError], None],
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._brokers = brokers
        self._vitals = vitals
        self._fail = fail
        self._lanes: dict[Lane, TopicPartition] = {}
        self._handed_on: dict[Lane, int] = {}
        self._durable: dict[Lane, int] = {}
        self._told: dict[Lane, int] = {}
        self._starts_looked_at: float | None = None

    def hold(self, lanes: Iterable[Lane]) -> None:
        """Another assignment has begun, and these are its lanes; none: the last was given up."""
        self._lanes = {lane: partition_of(lane) for lane in lanes}
        self._handed_on, self._durable, self._told = {}, {}, {}
        self._starts_looked_at = None
        self._vitals.hold(self._lanes)

    def begin(self, positions: Positions) -> None:
        """Lanes are about to be read from these positions on; what is before them is durable."""
        for lane, position in positions.items():
            if lane in self._lanes:
                self._handed_on[lane] = position.offset
                self._durable.setdefault(lane, position.offset)

    def hand_on(self, lane: Lane, position: int) -> None:
        """Records before this position are handed on to be applied."""
        if lane in self._lanes:
            self._handed_on[lane] = position

    def take_note(self, positions: Positions) -> None:
        """What is before these positions is durable."""
        for lane, position in positions.items():
            if lane in self._lanes:
                self._durable[lane] = position.offset

    async def run(self, notice: Callable[[], None]) -> None:
        """Look and tell, again and again. `notice` looks whether the membership is well: perhaps nobody polls."""
        try:
            await self._keep_up(notice)
        except Exception as error:  # noqa: BLE001  # nobody awaits this: whoever needs it must be told
            _LOG.warning("what is done beside the reading failed", exc_info=error)
            self._fail(SourceUnavailable(f"what is done beside the reading failed: {type(error).__name__}"))

    async def _keep_up(self, notice: Callable[[], None]) -> None:
        clock = asyncio.get_running_loop().time
        acknowledged = clock()
        # Whoever joined has just looked.
        looked: float | None = clock()
        failing: float | None = None
        while True:
            notice()
            try:
                if looked is None or clock() - looked >= self._interval:
                    await self.look_for_topics()
                    looked, failing = clock(), None
            except (SourceUnavailable, SourceRefused) as error:
                looked, failing = None, clock() if failing is None else failing
                if clock() - failing >= self._settings.idle_timeout.total_seconds():
                    self._fail(error)
            if not await self._look_at_ends():
                # Perhaps no broker answers, perhaps just one partition has no leader: the other question tells.
                looked = None
            elif self._starts_looked_at is None or clock() - self._starts_looked_at >= _LOOK_AT_STARTS:
                await self._look_at_starts(clock())
            if clock() - acknowledged >= self._settings.acknowledge_interval.total_seconds():
                acknowledged = clock()
                await self.acknowledge()
            await asyncio.sleep(_LOOK)

    async def acknowledge(self) -> None:
        """Tell the group what is durable, for those who watch its offsets. It may fail, in a bounded time."""
        news = {lane: offset for lane, offset in self._durable.items() if self._told.get(lane) != offset}
        if not news:
            return
        offsets = {self._lanes[lane]: OffsetAndMetadata(offset, "") for lane, offset in news.items()}
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            _LOG.debug("the group could not be told how far we are", reason=type(error).__name__)
        else:
            self._told.update(news)

    @property
    def _interval(self) -> float:
        return self._settings.metadata_interval.total_seconds()

    async def _look_at_ends(self) -> bool:
        """Tell how far the lanes are from their ends, or that this is not known; whether it is."""
        read = {lane: self._lanes[lane] for lane in self._handed_on if lane in self._lanes}
        if not read:
            return True
        try:
            ends = await self._brokers.ends(read.values())
        except (SourceUnavailable, SourceRefused):
            for lane in read:
                self._vitals.forget_end(lane)
            return False
        for lane, partition in read.items():
            # Meanwhile another assignment may have begun.
            if lane in self._handed_on and partition in self._consumer.assignment():
                with suppress(KafkaError):
                    position = await self._consumer.position(partition)
                    handed_on, durable = self._handed_on[lane], self._durable[lane]
                    behind = records_behind(ends[partition], position, handed_on, durable)
                    self._vitals.told_end(lane, behind, ends[partition])
        return True

    async def _look_at_starts(self, now: float) -> None:
        """Tell where the lanes' logs start. What cannot be asked keeps what was told before until the next look."""
        read = {lane: self._lanes[lane] for lane in self._handed_on if lane in self._lanes}
        if not read:
            return
        self._starts_looked_at = now
        with suppress(SourceUnavailable, SourceRefused):
            starts = await self._brokers.begins(read.values())
            # Meanwhile another assignment may have begun.
            self._vitals.log_starts = {lane: starts[each] for lane, each in read.items() if lane in self._handed_on}

    async def look_for_topics(self) -> None:
        """Tell which topics of the settings are there. Raises SourceUnavailable, SourceRefused."""
        there = await self._brokers.lanes()
        pattern = self._settings.topic_pattern
        missing = tuple(topic for topic in self._settings.topics if topic not in there)
        if pattern is not None and not there:
            missing = (pattern,)
        self._vitals.topics_found = len(there)
        if missing != self._vitals.missing_topics:
            self._vitals.missing_topics = missing
            if missing:
                _LOG.warning("topics are not there: they are waited for", topics=list(missing))
            else:
                _LOG.info("all topics are there")
