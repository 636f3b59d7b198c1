"""Letters whose records are read again from EventStreams or taken from their payloads, beside a daemon that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.live.program import wikimirror
from tests.live.truth import must_equal
from tests.live.within import following
from tests.live.world import World, a_day, serve
from tests.mirror.lanes import rows, value
from tests.statements import run
from wikimirror.mirror.connect import Session
from wikimirror.rehearsal import NO_FAULTS, Faults

SEED, ACTIONS = 43, 900
RULE: Final = "the_house_rule"
MEND: Final = f"ALTER TABLE wikimirror.page DROP CONSTRAINT {RULE}"
FORGET: Final = (
    "UPDATE wikimirror.dead_letter SET payload = NULL WHERE dead_letter_id IN"
    " (SELECT dead_letter_id FROM wikimirror.dead_letter WHERE payload IS NOT NULL ORDER BY 1 LIMIT 2)"
)


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served


async def redrive(world: World, *arguments: str, **sections: Any) -> tuple[int, Any]:
    return await wikimirror("dead-letters", "redrive", *arguments, "--config", str(world.config(**sections)))


async def letters(session: Session) -> int:
    found = await value(session, "SELECT count(*) FROM dead_letter")
    assert isinstance(found, int)
    return found


async def test_what_a_rule_refused_is_put_back_while_the_daemon_goes_on_and_the_mirror_ends_as_the_wiki_is(
    world: World, session: Session
) -> None:
    forbid = f"ALTER TABLE wikimirror.page ADD CONSTRAINT {RULE} CHECK (page_id % 5 <> 0) NOT VALID"
    await run(world.database_url, forbid)
    async with following(world.config()) as daemon:
        world.publish(40)
        while await letters(session) < 8:
            await daemon.gets_on()
        # What takes something away is read again in any case.
        await run(world.database_url, MEND, FORGET)
        staged = await letters(session)
        (without,) = await rows(session, "SELECT count(*) FROM dead_letter WHERE payload IS NULL OR retracts")
        assert without[0] >= 2
        code, tried = await redrive(world, "--all", "--dry-run")
        assert (code, sum(tried["counts"].values())) == (0, staged)
        assert tried["counts"].keys() <= {"applied", "stale"}
        assert not world.publication.done, "nothing went on beside"
        assert await letters(session) == staged
        code, done = await redrive(world, "--all")
        assert (code, sum(done["counts"].values())) == (0, staged)
        assert done["counts"]["applied"] > 4
        assert await letters(session) == 0
        await world.published()
        await daemon.reaches(world.log)
        await daemon.drained()
    await must_equal(world.database_url, world.day, world.log)


async def test_a_frame_that_was_no_record_is_told_as_another_record_and_never_applied(
    world: World, session: Session
) -> None:
    """Its offset is a guess: at it lies another record."""
    world.server.faults = Faults(poison_every=40)
    async with following(world.config()) as daemon:
        world.publish(200)
        while await letters(session) < 3:
            await daemon.gets_on()
        world.server.faults = NO_FAULTS
        await world.published()
        await daemon.reaches(world.log)
        await daemon.drained()
    staged = await rows(session, "SELECT dead_letter_id, seen FROM dead_letter ORDER BY 1")
    first = str(staged[0][0])
    before = await value(session, "SELECT count(*) FROM change")
    code, report = await redrive(world, first)
    assert code == 1
    assert report["counts"] == {"unavailable": 1}
    assert await rows(session, "SELECT dead_letter_id, seen FROM dead_letter ORDER BY 1") == staged
    assert await value(session, "SELECT count(*) FROM change") == before


async def test_a_source_that_does_not_answer_leaves_each_letter_where_it_is(world: World, session: Session) -> None:
    world.server.faults = Faults(poison_every=40)
    async with following(world.config()) as daemon:
        world.publish(200)
        while await letters(session) < 2:
            await daemon.gets_on()
        await daemon.drained()
    staged = await letters(session)
    await world.end()
    unreachable = {"url": "http://127.0.0.1:9", "connect_timeout": "1s"}
    async with asyncio.timeout(30):
        code, report = await redrive(world, "--all", source=unreachable)
    assert code == 1
    assert report["counts"] == {"unavailable": staged}
    assert await letters(session) == staged
