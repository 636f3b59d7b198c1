"""One stay in a consumer group: from joining to leaving, with what goes on beside the reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from wikimirror.errors import WikimirrorError
from wikimirror.model import Lane
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import KafkaSettings, whole
from wikimirror.sources.assignment import Assignment
from wikimirror.sources.base import Positions
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.consumer import ask, start_consumer
from wikimirror.sources.kafka.faults import Displaced, translate
from wikimirror.sources.kafka.fetching import FetchSizes, fetch_sizes
from wikimirror.sources.kafka.listener import Listener
from wikimirror.sources.kafka.positions import Brokers, partition_of
from wikimirror.sources.kafka.upkeep import Upkeep

_LOG = get_logger(__name__)
_POLL: Final = 1000
"""Milliseconds between two looks at errors that aiokafka keeps for whoever polls."""
_FAREWELL: Final = 3.0
"""Seconds that leaving may take. Whoever is not seen to leave is missed after `session_timeout`."""
_DRAIN: Final = 0.8
"""The part of `rebalance_timeout` that draining may take: an abort must be over before the group's patience is."""


class KafkaMembership:
    """A stay in the group. Made by `stay`."""

    def __init__(
        self, source: str, settings: KafkaSettings, consumer: AIOKafkaConsumer, memory: int, vitals: Vitals
    ) -> None:
        self.consumer = consumer
        self.brokers = Brokers(source, settings, consumer)
        self.patience = settings.idle_timeout.total_seconds()
        self.upkeep = Upkeep(settings, consumer, self.brokers, vitals, self.fail)
        self._settings = settings
        self._memory = memory
        self._vitals = vitals
        self._failure: WikimirrorError | None = None
        self.listener = Listener(
            consumer,
            self.brokers.lane_of,
            drain=settings.rebalance_timeout.total_seconds() * _DRAIN,
            before_giving_up=self.upkeep.acknowledge,
            when_forgotten=self._look_for_namesake,
            given_up=lambda: self.upkeep.hold(()),
            fail=self.fail,
        )

    async def assigned(self) -> Assignment:
        """Wait for the next assignment. Raises SourceUnavailable, SourceRefused."""
        self.raise_failure()
        while (given := self.listener.take()) is None:
            await self._poll()
            self.raise_failure()
        self._vitals.rebalances += 1
        self.upkeep.hold(given.lanes)
        return given

    async def starting_positions(self, topics: Collection[str]) -> Positions:
        """Where the lanes that these topics now have start, by the setting `start`. Raises SourceUnavailable."""
        there = await self.brokers.lanes()
        return await self.brokers.starting_positions([lane for topic in topics for lane in there.get(topic, ())])

    async def first_positions(self, lanes: Collection[Lane]) -> Positions:
        """The oldest that the lanes hold. Raises SourceUnavailable."""
        return await self.brokers.first_positions(lanes)

    def fetch_sizes(self, lanes: Collection[Lane]) -> FetchSizes:
        """How much to ask for while these lanes are read; the consumer is told."""
        led_by = driver.leaders(self.consumer, map(partition_of, lanes))
        sizes = fetch_sizes(self._memory, len(lanes), led_by)
        driver.bound(self.consumer, sizes)
        return sizes

    def fail(self, error: WikimirrorError) -> None:
        """The stay is over: what is assigned is given up, and whoever waits for an assignment is told why."""
        if self._failure is None:
            self._failure = error
        if self.listener.current is not None:
            self.listener.current.revoke()
        self.listener.news.set()

    def raise_failure(self) -> None:
        """Raise why the stay is over, if it is."""
        self.notice()
        if self._failure is not None:
            raise self._failure

    def notice(self) -> None:
        """End the stay if the membership does not get on: aiokafka then sends no heartbeat any more."""
        if self._failure is None and (trouble := driver.trouble(self.consumer)) is not None:
            self.fail(self._named(translate(trouble)))

    def begin(self, positions: Positions) -> None:
        """Lanes are about to be read from these positions on."""
        self.upkeep.begin(positions)

    def hand_on(self, lane: Lane, position: int) -> None:
        """Records before this position are handed on to be applied."""
        self.upkeep.hand_on(lane, position)

    async def require_own_name(self) -> None:
        """Raises Displaced where another process is in the group under the name of this one, or SourceUnavailable."""
        name = self._settings.member_id
        if name is not None:
            seconds = self._settings.request_timeout.total_seconds()
            if await ask(driver.has_namesake(self.consumer, self._settings.group, name), seconds):
                raise Displaced(name)

    async def _look_for_namesake(self) -> None:
        """Two processes with one name must not take it from each other for ever: whoever lost it stays out."""
        try:
            await self.require_own_name()
        except WikimirrorError as error:
            if isinstance(error, Displaced):
                _LOG.error("displaced from the group", reason=str(error), remedy=error.remedy)
            self.fail(error)
            driver.keep_out(self.consumer)
            await asyncio.sleep(0)

    def _named(self, error: WikimirrorError) -> WikimirrorError:
        return Displaced(self._settings.member_id) if isinstance(error, Displaced) else error

    @property
    def displaced(self) -> bool:
        """Whether the stay is over because another process has the name of this one."""
        return isinstance(self._failure, Displaced)

    async def _poll(self) -> None:
        """Wait for news, and take errors in that aiokafka keeps for whoever polls. What is paused brings no records."""
        news = asyncio.create_task(self.listener.news.wait())
        polling = asyncio.ensure_future(self.consumer.getmany(timeout_ms=_POLL))
        try:
            await asyncio.wait({news, polling}, return_when=asyncio.FIRST_COMPLETED)
            if polling.done():
                polling.result()
        except KafkaError as error:
            self.fail(self._named(translate(error)))
        finally:
            for task in (news, polling):
                task.cancel()
            await asyncio.wait({news, polling})


@asynccontextmanager
async def stay(
    source: str, settings: KafkaSettings, memory: int, vitals: Vitals, *, displaced: bool = False
) -> AsyncIterator[KafkaMembership]:
    """Join the group until the block is left. Raises ConfigurationError, SourceUnavailable, SourceRefused.

    `displaced`: another process took this one's name in the group, and is not to be driven out of it in turn.
    """
    consumer = await start_consumer(settings, group=True)
    membership = KafkaMembership(source, settings, consumer, memory, vitals)
    upkeep: asyncio.Task[None] | None = None
    try:
        if displaced:
            await membership.require_own_name()
        # Of a topic that may not be read the group tells nothing, and gives out the others: that is no way to begin.
        await membership.upkeep.look_for_topics()
        upkeep = asyncio.create_task(membership.upkeep.run(membership.notice), name=f"upkeep {source}")
        # aiokafka matches a pattern from the beginning on; ours must match the whole name.
        pattern = None if settings.topic_pattern is None else whole(settings.topic_pattern)
        consumer.subscribe(settings.topics, pattern=pattern, listener=membership.listener)
        yield membership
        await membership.upkeep.acknowledge()
    finally:
        if upkeep is not None:
            upkeep.cancel()
            await asyncio.wait({upkeep})
        if not await driver.stop(consumer, _FAREWELL):
            _LOG.info("left the group without a farewell: it is missed after the session timeout")
