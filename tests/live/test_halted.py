"""Where too much would be set aside the source halts: nothing is written or lost, and the process says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.daemon import Daemon
from tests.live.probes import until_answers
from tests.live.truth import durable, must_equal
from tests.live.world import SOURCE, World, a_day, serve
from tests.mirror.lanes import rows, value
from wikimirror.mirror.connect import Session
from wikimirror.rehearsal import NO_FAULTS, Faults

SEED, ACTIONS = 44, 300
RATE = 200.0
STRICT = {"dead_letters": {"halt_share": 0.3, "halt_window": 60}}
HALF_BAD = Faults(poison_every=1)
POSITIONS = "SELECT topic, position FROM checkpoint ORDER BY topic"


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served


async def test_a_source_of_which_too_much_cannot_be_read_halts_and_the_process_stays_and_says_so(
    world: World, session: Session
) -> None:
    world.server.faults = HALF_BAD
    async with Daemon(world.config(**STRICT)) as daemon:
        world.publish(RATE)
        line = await daemon.line("halted")
        assert "records would be set aside, the last from" in line["reason"]
        assert "check-source" in line["remedy"]
        await until_answers(daemon, "/readyz", 503, "reads no more until it is started again")
        answer = await daemon.get("/livez")
        assert (answer.status, answer.body["sources"][SOURCE]["state"]) == (200, "halted")
        # The lease is given back: a newer program may do better.
        assert await value(session, "SELECT count(*) FROM lease WHERE expires_at > now()") == 0
        before = await rows(session, POSITIONS)
        letters = await value(session, "SELECT count(*) FROM dead_letter")
        assert letters < 30
        assert await daemon.stop() == 1
        assert await rows(session, POSITIONS) == before
        assert "TooManySetAside" in daemon.stdout.decode()
    world.server.faults = NO_FAULTS
    await world.published()
    async with Daemon(world.config(**STRICT)) as daemon:
        await durable(world.database_url, world.log.ends)
        assert await daemon.stop() == 0
    await must_equal(world.database_url, world.day, world.log, set_aside=bool(letters))


async def test_a_standby_that_does_no_better_halts_as_well_and_nothing_more_is_set_aside(
    world: World, session: Session
) -> None:
    world.server.faults = HALF_BAD
    config = world.config(**STRICT)
    async with Daemon(config) as one, Daemon(config) as other:
        world.publish(RATE)
        await one.line("halted")
        await other.line("halted")
        assert await value(session, "SELECT count(*) FROM dead_letter") < 60
