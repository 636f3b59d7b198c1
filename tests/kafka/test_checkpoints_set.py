"""Positions of Kafka's lanes, moved by hand beside a real group and by the brokers' own index of times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kafka.admin import produce
from tests.kafka.world import serve_kafka
from tests.live.daemon import Daemon
from tests.live.program import wikimirror
from tests.live.world import SOURCE, a_day
from wikimirror.errors import ConfigurationError
from wikimirror.mirror.checkpoints import take_over
from wikimirror.mirror.connect import Session
from wikimirror.model import Lane, Position
from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka import positions_at

SEED, ACTIONS = 77, 1000
SECOND = 10**6


def settings(bootstrap: str, topic: str) -> KafkaSettings:
    return KafkaSettings(type="kafka", bootstrap_servers=tuple(bootstrap.split(",")), topics=(topic,), group="unused")


async def test_while_a_member_reads_it_is_refused_and_then_lanes_are_rewound_to_an_instant_and_read_to_the_same_truth(
    kafka: str, database_url: str, tmp_path: Path
) -> None:
    before = datetime.now(tz=UTC).isoformat()
    async with serve_kafka(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, partitions=1) as world:
        config = world.config()
        rewind = ("checkpoints", "rewind", SOURCE, "--to", before, "--yes", "--config", str(config))
        world.publish()
        await world.published()
        async with Daemon(config) as daemon:
            await daemon.line("reading")
            await world.durable()
            code, refused = await wikimirror(*rewind)
            assert await daemon.stop() == 0
        assert (code, refused["error"]["kind"]) == (1, "Refused")
        assert f"/{daemon.pid}/" in refused["error"]["message"]

        code, report = await wikimirror(*rewind)
        assert (code, report["moved"]) == (0, True)
        moved = {(lane["topic"], lane["partition"]): lane for lane in report["lanes"] if lane["direction"] == "back"}
        assert {place: lane["from_position"] for place, lane in moved.items()} == world.ends
        assert {lane["to_position"] for lane in moved.values()} == {0}
        assert sum(lane["records"] for lane in moved.values()) > 0
        async with Daemon(config) as daemon:
            reading = await daemon.line("reading")
            assert set(reading["lanes"].values()) == {0}
            await world.durable()
            assert await daemon.stop() == 0
        await world.must_equal()


async def test_an_instant_is_the_first_record_at_or_after_it_and_the_end_where_there_is_none(
    kafka: str, make_topic: Callable[..., Awaitable[str]]
) -> None:
    topic = await make_topic(partitions=2)
    records = [(partition, None, b"{}", 1_000_000 + 1000 * number) for number in range(4) for partition in (0, 1)]
    await produce(kafka, topic, records)
    lanes = [Lane("k", topic, partition) for partition in (0, 1)]
    times = {lanes[0]: 1001 * SECOND, lanes[1]: 1002 * SECOND + 1}
    found = await positions_at("k", settings(kafka, topic), times)
    assert found == {lanes[0]: Position(1, 1001 * SECOND), lanes[1]: Position(2, times[lanes[1]])}
    late = dict.fromkeys(lanes, 2000 * SECOND)
    assert {each.offset for each in (await positions_at("k", settings(kafka, topic), late)).values()} == {4}
    with pytest.raises(ConfigurationError, match=r"the brokers do not have k gone\[0\]"):
        await positions_at("k", settings(kafka, topic), {Lane("k", "gone", 0): 0})


async def test_the_offsets_that_a_forward_move_leaves_out_are_a_gap(
    session: Session, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        f'[postgres]\nurl = "{database_url}"\n[sources.k]\ntype = "kafka"\nbootstrap_servers = ["127.0.0.1:1"]\n'
        'topics = ["topic"]\ngroup = "g"\n'
    )
    await take_over(session, Lane("k", "topic", 3), "writer", start=Position(10))
    # An offset needs no broker.
    code, report = await wikimirror(
        "checkpoints", "set", "k", "topic", "3", "--to", "25", "--yes", "--config", str(path)
    )
    assert (code, report["lanes"][0]["direction"], report["moved"]) == (0, "forward", True)
    _, listed = await wikimirror("gaps", "--config", str(path))
    (gap,) = listed["gaps"]
    assert (gap["topic"], gap["partition"], gap["reason"]) == ("topic", 3, "skipped")
    assert (gap["from_position"], gap["to_position"]) == (10, 25)
