"""How tests of a daemon on Kafka end: all is published and durable, and the mirror is what the wiki says."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from tests.kafka.admin import end_offsets, produce
from tests.kafka.world import KafkaWorld
from tests.live.daemon import Daemon
from tests.live.truth import Places, accounts_add_up, durable_places, must_hold
from tests.live.world import SOURCE
from wikimirror.mirror.connect import connect
from wikimirror.rehearsal.arrivals import Arrival

QUICK: Final[dict[str, Any]] = {
    "session_timeout": "3s",
    "request_timeout": "2s",
    "metadata_interval": "500ms",
    "idle_timeout": "3s",
}
"""Keys of the source that make it notice troubles soon."""


class Gap(NamedTuple):
    """A row of the table `gap`, without its times."""

    topic: str
    partition: int
    begin: int
    end: int
    reason: str


async def ends_equal(
    world: KafkaWorld,
    daemon: Daemon,
    *,
    set_aside: bool = False,
    gaps: Collection[Gap] = (),
    ends: Places | None = None,
) -> None:
    """Publish the rest, wait for it to be durable, drain, and compare; nothing may be lost, told twice or left over.

    `ends`: where the topics end, if a test knows better than the world.
    """
    if world.begun is not None:
        await world.published()
    reached = world.ends if ends is None else ends
    await durable_places(world.database_url, reached)
    assert await daemon.stop() == 0
    accounts_add_up(daemon.report)
    await must_hold(world.database_url, world.day, reached, set_aside=set_aside, gaps=len(gaps))
    assert await gaps_of(world.database_url) == sorted(gaps)


def was_under_load(world: KafkaWorld) -> None:
    """Until now records were being published."""
    if world.publication.done:
        world.publication.result()
        raise AssertionError("there was no load any more")


async def send_to(bootstrap: str, topic: str, arrivals: Iterable[Arrival], partitions: int = 1, **options: Any) -> None:
    """Send records of a day to a topic that is none of the day's, to its partitions in turn (promise P2: order does
    not matter). `options` go to the producer."""
    now = int(time.time() * 1000)
    records = [(number % partitions, b"%d" % number, each.value, now) for number, each in enumerate(arrivals)]
    await produce(bootstrap, topic, records, **options)


async def ends_of(bootstrap: str, *topics: str) -> dict[tuple[str, int], int]:
    """By topic and partition where they end, as the broker says; empty ones are left out."""
    return {
        (topic, partition): end
        for topic in topics
        for partition, end in (await end_offsets(bootstrap, topic)).items()
        if end
    }


async def gaps_of(database_url: str) -> list[Gap]:
    """All gaps that were ever opened, in order."""
    async with await connect(database_url) as session, session.transaction():
        rows = await session.fetch(
            "SELECT topic, partition, from_position, to_position, reason FROM gap WHERE source = $1"
            " ORDER BY topic, partition, from_position",
            SOURCE,
        )
    return [Gap(*row) for row in rows]
