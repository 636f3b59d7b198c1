"""A consumer of aiokafka, made for a mirror: positions are told to it, nothing is acknowledged by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.faults import translate
from wikimirror.sources.kafka.reaching import require_reachable
from wikimirror.sources.kafka.security import client_options

T = TypeVar("T")

_HEARTBEATS: Final = 4
"""A session lives as long as so many heartbeats are apart: three may fail."""
_HEARTBEAT: Final = 1000
"""Milliseconds between two heartbeats at most: only by their answers a member learns of a rebalance, and until all have
learned of it the lanes of those who left or are new stand still."""
_FAREWELL: Final = 5.0
"""Seconds that stopping a consumer may take that did not start."""
_LONGEST_IDLE: Final = 2**31 - 1
_WAKE: Final = 200
"""Milliseconds after which aiokafka looks anew at what it may fetch, where nothing wakes it."""


async def start_consumer(settings: KafkaSettings, *, group: bool) -> AIOKafkaConsumer:
    """A consumer that knows the brokers, of the settings' group or of none; it subscribes to nothing yet.

    Secrets and certificates are read now. Raises ConfigurationError, SourceUnavailable, SourceRefused.
    """
    access = client_options(settings)
    await require_reachable(settings, access)
    # aiokafka's `start` would wait for a topic that is missing, and for the first assignment, without a limit: so it is
    # told of topics only later.
    consumer = AIOKafkaConsumer(**access, **_options(settings, group=group))
    try:
        await ask(consumer.start(), 2 * settings.request_timeout.total_seconds())
    except BaseException:
        await driver.stop(consumer, _FAREWELL)
        raise
    return consumer


def _options(settings: KafkaSettings, *, group: bool) -> dict[str, Any]:
    session = _milliseconds(settings.session_timeout)
    options: dict[str, Any] = {
        "client_id": "wikimirror",
        "request_timeout_ms": _milliseconds(settings.request_timeout),
        "metadata_max_age_ms": _milliseconds(settings.metadata_interval),
        "isolation_level": settings.isolation,
        # A position that cannot be read is a gap, never a jump to either end.
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "consumer_timeout_ms": _WAKE,
    }
    if group:
        options |= {
            "group_id": settings.group,
            "group_instance_id": settings.member_id,
            "session_timeout_ms": session,
            "heartbeat_interval_ms": min(session // _HEARTBEATS, _HEARTBEAT),
            "rebalance_timeout_ms": _milliseconds(settings.rebalance_timeout),
            # While Postgres is away nothing is polled. Every member waits for the same server, so none shall give its
            # partitions up for that. Of a member that stands still the liveness probe tells.
            "max_poll_interval_ms": _LONGEST_IDLE,
            "partition_assignment_strategy": (RoundRobinPartitionAssignor,),
        }
    return options


async def ask(answer: Awaitable[T], seconds: float) -> T:
    """Await an answer of the brokers for so long. Raises SourceUnavailable, SourceRefused."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except (KafkaError, OSError, TimeoutError) as error:
        raise translate(error) from error


def _milliseconds(duration: timedelta) -> int:
    return max(1, duration // timedelta(milliseconds=1))
