"""What aiokafka tells of a rebalance, as assignments that are given, revoked and lost.

aiokafka speaks the eager protocol: at each rebalance every member gives up all partitions and gets its new ones. It
tells this listener and waits for it, goes on with heartbeats meanwhile, and only logs what the listener raises. So what
fails here ends the stay in the group, and whoever waits for an assignment is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from wikimirror.errors import SourceUnavailable
from wikimirror.model import Lane
from wikimirror.observe.logging import get_logger
from wikimirror.sources.assignment import Assignment
from wikimirror.sources.kafka import driver

_LOG = get_logger(__name__)
_ABORT: Final = 0.1
"""The part of the time for draining that an abort may take besides. Then the group is answered; the epoch fences."""


class Listener(ConsumerRebalanceListener):
    """Hands assignments over, one at a time, and sees to it that each is given up in time."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        lane_of: Callable[[TopicPartition], Lane],
        *,
        drain: float,
        before_giving_up: Callable[[], Awaitable[None]],
        when_forgotten: Callable[[], Awaitable[None]],
        given_up: Callable[[], None],
        fail: Callable[[SourceUnavailable], None],
    ) -> None:
        """`drain`: seconds that giving up an assignment may take. `before_giving_up` is done last, still a member,
        `when_forgotten` where the group no longer knows this member, before it joins anew.
        """
        self._consumer = consumer
        self._lane_of = lane_of
        self._drain = drain
        self._before_giving_up = before_giving_up
        self._when_forgotten = when_forgotten
        self._given_up = given_up
        self._fail = fail
        self._given: Assignment | None = None
        self.current: Assignment | None = None
        """What is assigned now, taken over or not."""
        self.news = asyncio.Event()
        """Set when there is something to take, or the stay is over."""
        self.rebalances = 0

    def take(self) -> Assignment | None:
        """The assignment that was not taken yet, if there is one."""
        given, self._given = self._given, None
        self.news.clear()
        return given

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Return when nobody works on what was assigned any more, or when there is no more time to wait for that."""
        try:
            await self._give_up()
            if self.rebalances and driver.is_forgotten(self._consumer):
                await self._when_forgotten()
        except Exception as error:  # noqa: BLE001  # aiokafka would only log it
            _LOG.warning("giving partitions up failed", exc_info=error, partitions=len(revoked))
            self._fail(SourceUnavailable(f"giving up {len(revoked)} partitions failed: {type(error).__name__}"))

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Keep aiokafka from reading by the group's positions, and hand the partitions over."""
        try:
            # Not awaited on purpose: nothing may be fetched before this is done. Postgres says where to read.
            for each in assigned:
                self._consumer.seek(each, 0)
            self._consumer.pause(*assigned)
            self.rebalances += 1
            self.current = self._given = Assignment(tuple(sorted(self._lane_of(each) for each in assigned)))
            self.news.set()
        except Exception as error:  # noqa: BLE001  # as above
            _LOG.warning("taking partitions in failed", exc_info=error, partitions=len(assigned))
            self._fail(SourceUnavailable(f"taking {len(assigned)} partitions in failed: {type(error).__name__}"))

    async def _give_up(self) -> None:
        current, self.current = self.current, None
        if current is None:
            return
        if self._given is current:
            # Nobody took it, nobody works on it.
            self._given = None
            return
        lost = driver.is_forgotten(self._consumer)
        (current.lose if lost else current.revoke)()
        try:
            async with asyncio.timeout(self._drain):
                await current.released()
        except TimeoutError:
            _LOG.warning("partitions are not drained in time: aborting", seconds=self._drain)
            current.lose()
            try:
                async with asyncio.timeout(self._drain * _ABORT):
                    await current.released()
            except TimeoutError:
                _LOG.error("partitions are given up while this process is still at them: their epoch fences it")
        if not lost:
            await self._before_giving_up()
        self._given_up()
