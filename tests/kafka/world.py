"""A simulated wiki whose records are in topics of a real Kafka, and the settings of daemons that follow it.

async with serve_kafka(a_day(7, 2000), kafka, database_url, tmp_path) as world:
    async with Daemon(world.config()) as daemon:
        world.publish(rate=2000)
        ...
        await world.published()
        await world.durable()
    await world.must_equal()
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.live.daemon import DEADLINE
from tests.live.truth import Places, durable_places, must_hold
from tests.live.world import Mirrored
from wikimirror.rehearsal import Day
from wikimirror.rehearsal.broker_home import outside_broker
from wikimirror.rehearsal.kafka import KafkaTopics

_RUN: Final = secrets.token_hex(3)
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class KafkaWorld(Mirrored):
    """A day, the topics into which it is published, and an empty mirror."""

    bootstrap: str
    topics: KafkaTopics
    group: str

    @property
    def ends(self) -> Places:
        """By topic and partition: the offset after the last record that a daemon can get."""
        return self.topics.ends

    def publish(self, rate: float | None = None, *, broken_every: int | None = None) -> None:
        """Begin to publish the day, so many records a second, or all at once. See KafkaTopics.publish."""
        self.begun = self.topics.publish(self.day, rate=rate, broken_every=broken_every)

    def config(self, **sections: Mapping[str, Any]) -> Path:
        """A settings file for this wiki and mirror; keys of sections replace what it has. `source`: of the source."""
        source = {
            "type": "kafka",
            "bootstrap_servers": self.bootstrap.split(","),
            "topics": list(self.topics.names),
            "group": self.group,
            "start": "earliest",
            # Brokers of others allow no less than 6 s, as Kafka comes.
            "session_timeout": "6s" if outside_broker() else "4s",
            "rebalance_timeout": "10s",
            "metadata_interval": "500ms",
            "acknowledge_interval": "500ms",
            "request_timeout": "3s",
            "idle_timeout": "20s",
        }
        return self.written(source, sections)

    async def durable(self, *, within: float = DEADLINE) -> None:
        """Wait until all that was sent is durable."""
        await durable_places(self.database_url, self.ends, within=within)

    async def must_equal(self, *, set_aside: bool = False, gaps: int = 0) -> None:
        """The mirror is the day's truth, and every partition was read to its end. See `must_hold`."""
        await must_hold(self.database_url, self.day, self.ends, set_aside=set_aside, gaps=gaps)


@asynccontextmanager
async def serve_kafka(
    day: Day,
    bootstrap: str,
    database_url: str,
    directory: Path,
    *,
    partitions: int = 4,
    topic_config: Mapping[str, str] | None = None,
) -> AsyncIterator[KafkaWorld]:
    """Fresh topics for a day that is still to be published, and a fresh group; the topics are deleted at the end."""
    name = f"world-{_RUN}-{next(_numbers)}"
    topics = KafkaTopics(bootstrap, partitions=partitions, prefix=f"{name}.", config=topic_config)
    async with topics:
        world = KafkaWorld(
            day=day, database_url=database_url, directory=directory, bootstrap=bootstrap, topics=topics, group=name
        )
        try:
            yield world
        finally:
            await world.end()
            await topics.delete()
