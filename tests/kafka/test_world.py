"""What a simulated day goes through on Kafka, one daemon's mirror comes through; and the day is there once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.kafka.admin import read_all
from tests.kafka.world import serve_kafka
from tests.live.daemon import Daemon
from tests.live.truth import accounts_add_up
from tests.live.world import a_day
from wikimirror.rehearsal.broker import KafkaBroker

SEED, ACTIONS = 7, 1000


async def test_duplicates_transactions_broken_records_and_more_partitions_leave_the_mirror_equal_to_the_wiki(
    kafka: str, database_url: str, tmp_path: Path
) -> None:
    day = a_day(SEED, ACTIONS)
    again = day.arrivals[:200]
    async with serve_kafka(day, kafka, database_url, tmp_path, partitions=2) as world:
        async with Daemon(world.config()) as daemon:
            world.publish(1500, broken_every=300)
            await daemon.line("reading")
            await world.topics.send(again)
            await world.topics.add_partitions(day.arrivals[0].topic, 3)
            for abort in (True, False, True):
                async with world.topics.transaction(abort=abort) as send:
                    await send(again)
            await world.published()
            await world.durable()
            assert await daemon.stop() == 0
            accounts_add_up(daemon.report)
        await world.must_equal(set_aside=True)
        grown = {partition for topic, partition in world.ends if topic.endswith(day.arrivals[0].topic)}
        assert grown == {0, 1, 2}
        assert world.topics.sent == len(day.arrivals) + len(day.arrivals) // 300 + 2 * len(again)


async def test_a_publication_outlives_a_killed_broker_and_has_each_record_there_once(
    make_broker: Callable[..., Awaitable[KafkaBroker]], database_url: str, tmp_path: Path
) -> None:
    broker, day = await make_broker(), a_day(SEED, ACTIONS)
    async with serve_kafka(day, broker.bootstrap, database_url, tmp_path, partitions=2) as world:
        world.publish(2000)
        while world.publication.published < len(day.arrivals) // 3:
            await asyncio.sleep(0.01)
        await broker.kill()
        await broker.start()
        await world.published()
        there = Counter[tuple[str, bytes | None]]()
        for topic, partition in world.ends:
            records = await read_all(broker.bootstrap, topic, partition)
            assert records[-1].offset + 1 == len(records) == world.ends[topic, partition]
            there.update((topic, record.value) for record in records)
        assert there == Counter((world.topics.name_of(each.topic), each.value) for each in day.arrivals)
