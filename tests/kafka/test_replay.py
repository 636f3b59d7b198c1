"""Ranges of Kafka's topics are replayed while a daemon follows them: the mirror stays the wiki, and no lane moves."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.admin import group_offsets, move_log_start
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import DEADLINE, Daemon
from tests.live.program import wikimirror
from tests.live.world import SOURCE, a_day
from tests.ops.replaying import replaying, rows, until
from wikimirror.mirror.connect import connect
from wikimirror.mirror.gaps import open_gaps
from wikimirror.model import Lane, Lost, Position

SEED, ACTIONS = 73, 1500
RATE = 600.0
LANES = "SELECT topic, partition, position, epoch, writer FROM checkpoint WHERE source = 'wiki' ORDER BY 1, 2"
LOOK = 0.05


async def replay(config: Path, *arguments: str, code: int = 0) -> Any:
    found, report = await wikimirror("replay", "--rate", "0", *arguments, "--config", str(config))
    assert found == code, report
    return report


async def halfway(world: KafkaWorld) -> None:
    async with asyncio.timeout(DEADLINE):
        while world.publication.published < len(world.day.arrivals) / 2:
            await asyncio.sleep(LOOK)


@pytest.mark.timeout(240)
async def test_any_range_replayed_twice_beside_the_daemon_leaves_the_mirror_as_the_wiki_and_moves_no_lane(
    kafka: str, database_url: str, tmp_path: Path
) -> None:
    async with serve_kafka(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, partitions=2) as world:
        config = world.config()
        async with Daemon(config) as daemon:
            world.publish(RATE)
            await daemon.line("reading")
            await halfway(world)
            whole = ("--source", SOURCE, "--from", "0")
            for _ in range(2):
                report = await replay(config, *whole)
                assert report["read"] > 0
            await world.published()
            await world.durable()
            before = await rows(database_url, LANES)
            told = await group_offsets(kafka, world.group, world.topics.names[0])
            report = await replay(config, *whole)
            assert report["read"] == sum(world.ends.values())
            assert report["applied"] == {}
            assert {(lane["topic"], lane["partition"]): lane["position"] for lane in report["lanes"]} == {
                (topic, partition): world.ends.get((topic, partition), 0)
                for topic in world.topics.names
                for partition in range(2)
            }
            topic, partition = max(world.ends, key=lambda place: world.ends[place])
            arguments = ("--source", SOURCE, "--topic", topic, "--partition", str(partition))
            part = await replay(config, *arguments, "--from", "5", "--to", "25")
            assert part["read"] == 20
            by_time = await replay(config, *arguments, "--from", "1h")
            assert by_time["read"] == world.ends[topic, partition]
            dry = await replay(config, *whole, "--dry-run")
            assert not any(any(counts.values()) for counts in dry["difference"].values())
            assert await rows(database_url, LANES) == before
            assert await group_offsets(kafka, world.group, world.topics.names[0]) == told
            assert await daemon.stop() == 0
        await world.must_equal()


@pytest.mark.timeout(240)
async def test_killed_and_resumed_each_record_of_every_partition_is_counted_once(
    kafka: str, database_url: str, tmp_path: Path
) -> None:
    async with serve_kafka(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, partitions=3) as world:
        config = world.config()
        world.publish()
        await world.published()
        arguments = ("--source", SOURCE, "--from", "0", "--rate", "300", "--config", str(config))
        async with replaying(database_url, *arguments) as process:
            await until(database_url, "SELECT coalesce(max(records_read), 0) > 300 FROM replay")
            process.send(signal.SIGKILL)
            await process.end()
        report = await replay(config, "--resume", "1")
        assert report["read"] == sum(world.ends.values())
        async with Daemon(config) as daemon:
            await world.durable()
            assert await daemon.stop() == 0
            (source,) = daemon.report["sources"]
            assert source["records"]["applied"] == {}, "the replay had applied all of it"
        await world.must_equal()


@pytest.mark.timeout(240)
async def test_a_gap_is_filled_by_its_offsets_and_one_that_the_topic_no_longer_has_stays_open(
    kafka: str, database_url: str, tmp_path: Path
) -> None:
    async with serve_kafka(a_day(SEED, 200), kafka, database_url, tmp_path, partitions=1) as world:
        config = world.config()
        world.publish()
        await world.published()
        (topic, partition), end = max(world.ends.items(), key=lambda place: place[1])
        lane = Lane(SOURCE, topic, partition)
        async with await connect(database_url) as session, session.transaction():
            await open_gaps(session, [Lost(lane, Position(3), Position(9), "retention")])
        filled = await replay(config, "--gap", "1")
        assert (filled["read"], filled["gap_closed"]) == (6, True)
        assert await rows(database_url, "SELECT replay_id FROM gap WHERE closed_at IS NOT NULL") == [(1,)]

        async with await connect(database_url) as session, session.transaction():
            await open_gaps(session, [Lost(lane, Position(1), Position(end), "retention")])
        await move_log_start(kafka, topic, partition, 5)
        missing = await replay(config, "--gap", "2", code=3)
        assert missing["gap_closed"] is False
        assert [(each["topic"], each["to_position"]) for each in missing["lost"]] == [(topic, 5)]
        assert missing["read"] == end - 5
        assert await rows(database_url, "SELECT closed_at FROM gap WHERE gap_id = 2") == [(None,)]
        assert await rows(database_url, "SELECT count(*) FROM gap") == [(2,)], "a replay opens no gap"
