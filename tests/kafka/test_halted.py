"""A topic that is filled with what nobody can read: its readers halt where they stand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kafka.admin import produce
from tests.kafka.endings import QUICK
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import Daemon
from tests.live.probes import until_answers
from tests.live.world import a_day
from tests.mirror.lanes import rows, value
from wikimirror.mirror.connect import Session

SEED, ACTIONS = 45, 60
BAD = 30


@pytest.fixture
async def world(kafka: str, database_url: str, tmp_path: Path) -> AsyncIterator[KafkaWorld]:
    async with serve_kafka(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, partitions=1) as served:
        yield served


async def test_it_leaves_the_group_and_says_why_and_goes_past_them_when_it_is_told_to(
    world: KafkaWorld, session: Session
) -> None:
    topic = world.topics.names[0]
    await produce(
        world.bootstrap, topic, [(0, None, b"{" * (number + 1), time.time_ns() // 10**6) for number in range(BAD)]
    )
    strict = world.config(source=QUICK, dead_letters={"halt_consecutive": BAD})
    async with Daemon(strict) as daemon:
        line = await daemon.line("halted")
        assert f"{BAD} records in a row would be set aside, the last from wiki {topic}[0]@" in line["reason"]
        await until_answers(daemon, "/readyz", 503, "reads no more until it is started again")
        assert await rows(session, "SELECT position FROM checkpoint WHERE topic = $1", topic) == [(0,)]
        assert await value(session, "SELECT count(*) FROM dead_letter") == 0
        assert await daemon.stop() == 1
    async with Daemon(world.config(source=QUICK, dead_letters={"halt_consecutive": 0, "halt_share": 1})) as daemon:
        await daemon.line("durable", positions={f"wiki {topic}[0]": BAD})
        assert await daemon.stop() == 0
    assert await value(session, "SELECT count(*) FROM dead_letter") == BAD
