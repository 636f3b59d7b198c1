"""Where lanes stand at an instant, by Kafka's own time index. Asked outside of any group; nothing is moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wikimirror.errors import ConfigurationError
from wikimirror.model import Lane, Position
from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.consumer import start_consumer
from wikimirror.sources.kafka.positions import Brokers, partition_of

_FAREWELL: Final = 5.0


async def positions_at(name: str, settings: KafkaSettings, times: Mapping[Lane, int]) -> dict[Lane, Position]:
    """The first record of each lane at or after its time in microseconds; its end where there is none.

    Raises ConfigurationError for a lane that the brokers do not have, SourceUnavailable, SourceRefused.
    """
    consumer = await start_consumer(settings, group=False)
    try:
        brokers = Brokers(name, settings, consumer)
        there = {lane for lanes in (await brokers.lanes()).values() for lane in lanes}
        if missing := sorted(times.keys() - there):
            raise ConfigurationError(
                f"the brokers do not have {', '.join(map(str, missing))}, or the settings name no such topic",
                remedy="Name a topic and a partition that are there, or an offset instead of an instant.",
            )
        asked = {partition_of(lane): time for lane, time in times.items()}
        found, ends = await brokers.since(asked), await brokers.ends(list(asked))
    finally:
        await driver.stop(consumer, _FAREWELL)
    offsets = {partition: ends[partition] if offset is None else offset for partition, offset in found.items()}
    return {lane: Position(offsets[partition_of(lane)], time) for lane, time in times.items()}
