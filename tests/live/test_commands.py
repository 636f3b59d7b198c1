"""What a user runs: `check-source`, `status`, a live demo that is interrupted, and `run` into the embedded Postgres."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.live.daemon import Daemon
from tests.live.program import DEADLINE, PROGRAM, wikimirror
from tests.live.world import SOURCE, World, a_day, serve
from wikimirror.rehearsal import DATACENTRES, STREAMS, Faults

TOPICS = {f"{datacentre}.{stream}" for datacentre in DATACENTRES for stream in STREAMS}
SEED, ACTIONS = 61, 1200


async def check(world: World, *arguments: str, **sections: Mapping[str, Any]) -> tuple[int, Any]:
    return await wikimirror("check-source", *arguments, "--for", "4s", "--config", str(world.config(**sections)))


async def test_check_source_tells_what_comes_and_writes_nothing(database_url: str, tmp_path: Path) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        world.publish(200.0)
        code, report = await check(world)
        _, status = await wikimirror("status", "--config", str(world.config()))
    assert code == 0
    assert {each["topic"] for each in report["topics"]} == TOPICS
    assert report["records"] > 100
    assert report["schemas"]["/mediawiki/page/change/1.3.0"] > 0
    assert report["kinds"]["edit"] > 0
    assert report["unreadable"] == {}
    assert 0 <= report["behind_median"] <= report["behind_most"] < 4
    assert status["lanes"] == status["leases"] == []


async def test_check_source_counts_no_record_twice_over_connections_that_break(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        world.server.faults = Faults(cut_seconds=0.6)
        world.publish(100.0)
        _, report = await check(world)
        assert report["connections"] > 1
        assert report["records"] <= world.publication.published


async def test_check_source_fails_where_nothing_comes_or_what_comes_would_be_set_aside(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        code, report = await check(world)
        assert (code, report["records"]) == (1, 0)
        world.publish(200.0)
        world.server.faults = Faults(poison_every=10)
        code, report = await check(world, SOURCE)
        assert code == 1
        assert report["unreadable"]["not_json"] > 0
        code, report = await check(world, "another")
        assert code == 2
        assert "there is no source another" in report["error"]["message"]


async def test_status_tells_lanes_and_who_reads(database_url: str, tmp_path: Path) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world, Daemon(world.config()) as daemon:
        world.publish(2000.0)
        await world.published()
        await daemon.line("durable")
        _, during = await wikimirror("status", "--config", str(world.config()))
        assert await daemon.stop() == 0
        _, after = await wikimirror("status", "--config", str(world.config()))
    assert {lane["topic"] for lane in during["lanes"]} == TOPICS
    assert [lease["held"] for lease in during["leases"]] == [True]
    assert f"/{daemon.pid}/" in during["leases"][0]["holder"]
    assert [lease["held"] for lease in after["leases"]] == [False]
    assert all(lane["behind"] is None or lane["behind"] >= 0 for lane in after["lanes"])
    assert after["pages"] > 0


async def test_run_keeps_a_mirror_in_the_embedded_postgres_which_others_may_look_into(
    database_url: str, tmp_path: Path
) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        config = world.config()
        config.write_text(config.read_text().replace(f'url = "{database_url}"', ""))
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "run", "--config", str(config), "--json", stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, **state},
        )  # fmt: skip
        assert process.stderr is not None
        world.publish(500.0)
        async with asyncio.timeout(DEADLINE):
            while b'"durable"' not in await process.stderr.readline():
                pass
        drained = asyncio.create_task(process.communicate())
        _, seen = await wikimirror("sql", "SELECT count(*) > 0 FROM page", env=state)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            out, _ = await drained
    assert seen["rows"] == [[True]]
    assert process.returncode == 0
    (source,) = json.loads(out)["sources"]
    assert source["records"]["read"] > 0


async def test_a_demo_that_is_interrupted_takes_the_rest_of_the_day_at_once_and_compares(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "demo", "--seed", "7", "--actions", "1200", "--for", "300s", "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "WIKIMIRROR_LOG__LEVEL": "debug"},
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE):
        while b'"durable"' not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    report = json.loads(out)
    assert report["differences"] == []
    assert report["forbidden_found"] == 0
