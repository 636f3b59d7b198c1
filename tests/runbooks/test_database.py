"""The database at fault: a forgotten lock, a server that is gone, a disk without room."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.cluster import Cluster, own_cluster
from tests.live.daemon import Daemon
from tests.live.disk import fill, lying_on, small_disk_of
from tests.live.truth import durable, must_equal
from tests.live.world import SOURCE, World, a_day, serve
from tests.runbooks.conftest import ACTIONS, SEED
from tests.runbooks.shift import opened
from tests.runbooks.staging import RATE, admin_of, config_of, forgotten_transaction
from wikimirror.mirror.embedded import EmbeddedPostgres


async def test_a_lane_that_a_forgotten_transaction_blocks_goes_on_once_its_session_is_ended(world: World) -> None:
    config = config_of(world)
    async with Daemon(config) as daemon, opened("WikimirrorLaneStalled", config, {"SOURCE": SOURCE}) as shift:
        world.publish(RATE)
        await daemon.line("durable")
        async with forgotten_transaction(world.database_url) as session:
            shift.known["SESSION"] = session
            await shift.rest("Diagnosis")
            await shift.rest("Mitigation")
        await shift.rest("Verify recovery")
        await world.published()
        await durable(world.database_url, world.log.ends)
        assert await daemon.stop() == 0
    await must_equal(world.database_url, world.day, world.log)


@pytest.fixture
def small_disk(require_part: Callable[[str, bool, str], None]) -> Iterator[Path]:
    with small_disk_of(require_part) as disk:
        yield disk


async def test_a_postgres_that_is_gone_is_told_and_waited_for(tmp_path: Path) -> None:
    with own_cluster() as cluster:
        await _gone(cluster, tmp_path)


async def _gone(cluster: Cluster, directory: Path) -> None:
    url = await cluster.database("gone")
    async with serve(a_day(SEED, ACTIONS), url, directory) as world:
        config = config_of(world)
        async with Daemon(config) as daemon:
            world.publish(RATE)
            await daemon.line("durable")
            async with opened(
                "WikimirrorPostgresUnavailable", config, {"ADMIN": admin_of(daemon)}, part="It is gone"
            ) as shift:
                await cluster.end(signal.SIGQUIT)
                await shift.rest("Diagnosis")
                await cluster.start()
                await shift.rest("Mitigation")
                await shift.rest("Verify recovery")
            await world.published()
            await durable(url, world.log.ends)
            assert await daemon.stop() == 0
        await must_equal(url, world.day, world.log)


async def test_a_full_disk_is_told_and_waited_for(
    small_disk: Path, postgres_server: EmbeddedPostgres, database_url: str, tmp_path: Path
) -> None:
    disk = lying_on(small_disk, postgres_server, database_url)
    async with disk, serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        config = config_of(world)
        async with Daemon(config) as daemon:
            world.publish(RATE)
            await daemon.line("durable")
            known = {"ADMIN": admin_of(daemon), "DATA": small_disk}
            async with opened("WikimirrorPostgresUnavailable", config, known, part="Its disk is full") as shift:
                filler = small_disk / "filler"
                filling = asyncio.create_task(_keep_full(filler))
                await shift.rest("Diagnosis")
                filling.cancel()
                filler.unlink()
                await shift.rest("Mitigation")
                await shift.rest("Verify recovery")
            await world.published()
            await durable(database_url, world.log.ends)
            assert await daemon.stop() == 0
        await must_equal(database_url, world.day, world.log)


async def _keep_full(path: Path) -> None:
    """Somebody else's files take what room there is, for as long as this runs."""
    while True:
        fill(path)
        await asyncio.sleep(0.2)
