"""Several daemons on one topic: they share it, take turns at being restarted, and apply each record once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.bench import kafka_records
from tests.bench.kafka_members import members, spread
from tests.bench.kafka_parts import Bench, all_durable, fresh
from tests.bench.kafka_rolling import roll

LANES = kafka_records.PARTITIONS
RECORDS = 4000
# Whoever leaves in good order is replaced when the others hear of it, at their next heartbeat (a quarter of the
# session's 30 s), and by a process that starts within seconds. Half a session is well above that, and well below what
# it takes where a member is missed.
PAUSE = 15.0
# Members tell of themselves every few seconds, so the status is a little behind.
TELLING = 40.0


@pytest.fixture
def bench(tmp_path: Path, kafka: str, make_database: Callable[..., Awaitable[str]]) -> Bench:
    async def database(_name: str) -> str:
        return await make_database()

    return Bench(tmp_path, database, kafka, lambda _text: None)


async def _applied(url: str) -> dict[int, int]:
    """By partition how many records were applied; each change was applied once."""
    connection = await asyncpg.connect(url)
    try:
        ((total, different),) = await connection.fetch(
            "SELECT count(*), count(DISTINCT change_id) FROM wikimirror.change WHERE outcome = 'applied'"
        )
        assert total == different
        rows = await connection.fetch("SELECT partition, count(*) AS n FROM wikimirror.change GROUP BY partition")
        return {row["partition"]: row["n"] for row in rows}
    finally:
        await connection.close()


@pytest.mark.parametrize("processes", [1, 2, 4])
async def test_processes_share_the_partitions_evenly_and_apply_each_record_once(bench: Bench, processes: int) -> None:
    topic, url = fresh("share"), await bench.database("")
    await kafka_records.make_topic(bench.bootstrap, topic)
    async with members(bench, url, topic, fresh("share"), [None] * processes) as group:
        held = await group.settled(LANES)
        assert sorted(held.values()) == [LANES // processes] * processes
        await kafka_records.fill(bench.bootstrap, topic, kafka_records.keyed(spread(RECORDS)))
        await all_durable(url, RECORDS, *group.running)
        assert await group.settled(LANES) == held
    assert await _applied(url) == dict.fromkeys(range(LANES), RECORDS // LANES)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
async def test_a_rolling_restart_under_load_loses_nothing_and_pauses_no_partition_for_long(
    bench: Bench, kind: str
) -> None:
    rolling = await roll(bench, 2, is_static=kind == "static", rate=200, between=0.5)
    assert rolling.records > 0
    assert max(max(pauses) for pauses in rolling.pauses) < PAUSE


async def _status(url: str) -> dict[str, Any]:
    """What `wikimirror status --json` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wikimirror", "status", "--json", "--postgres", url, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(out)
    return told


async def test_status_shows_all_members(bench: Bench) -> None:
    topic, url = fresh("status"), await bench.database("")
    await kafka_records.make_topic(bench.bootstrap, topic)
    names: list[str | None] = ["first", "second"]
    async with members(bench, url, topic, fresh("status"), names) as group:
        await group.settled(LANES)
        async with asyncio.timeout(TELLING):
            while True:
                shown = (await _status(url))["members"]
                if [each["lanes"] for each in shown] == [LANES // 2] * 2:
                    break
    assert sorted(each["member_id"] for each in shown) == ["first", "second"]
    assert {each["role"] for each in shown} == {"active"}
