"""Records at fault: poison, too much of it, and a retraction that cannot be applied."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from tests.live.daemon import Daemon
from tests.live.telling import TYPOS
from tests.live.truth import durable
from tests.live.world import SOURCE, World
from tests.runbooks.shift import opened
from tests.runbooks.staging import RATE, changes_of, config_of, fetch, until
from tests.statements import run

NO_TYPOS = "ALTER TABLE wikimirror.revision DROP CONSTRAINT no_typos"
TOPIC = "eqiad.mediawiki.page_change.v1"
POISON = b'{"$schema":"/mediawiki/page/change/1.3.0","page":'


async def test_poison_is_looked_at_and_put_back_where_its_cause_is_gone_and_else_discarded(world: World) -> None:
    await run(world.database_url, TYPOS)
    config = config_of(world)
    async with Daemon(config) as daemon, opened("WikimirrorDeadLetters", config, {"REASON": "sqlstate_23514"}) as shift:
        world.publish(RATE)
        world.log.append(TOPIC, POISON)
        world.publication.hurry()
        ((refused,),) = await until(
            world.database_url, "SELECT dead_letter_id FROM dead_letter WHERE sqlstate = '23514' ORDER BY 1 LIMIT 1"
        )
        ((poison,),) = await until(
            world.database_url, "SELECT dead_letter_id FROM dead_letter WHERE reason = 'not_json'"
        )
        await world.published()
        await durable(world.database_url, world.log.ends)
        shift.known["ID"] = refused
        await shift.rest("Diagnosis")
        await run(world.database_url, NO_TYPOS)
        await shift.step("Mitigation")
        await shift.step("Mitigation")
        left = await fetch(world.database_url, 'SELECT dead_letter_id, topic, "offset", reason, seen FROM dead_letter')
        assert [letter for letter, *_ in left] == [poison], left
        shift.known["ID"] = poison
        await shift.rest("Mitigation")
        await shift.rest("Verify recovery")
        assert await daemon.stop() == 0


async def test_a_source_that_halted_is_started_again_behind_the_records_that_nobody_can_read(world: World) -> None:
    config = config_of(world, dead_letters={"halt_consecutive": 20})
    async with opened("WikimirrorSourceHalted", config, {"SOURCE": SOURCE, "TOPIC": TOPIC, "PARTITION": 0}) as shift:
        async with Daemon(config) as daemon:
            await daemon.line("reading")
            world.publish(RATE)
            await daemon.line("durable")
            for _ in range(60):
                world.log.append(TOPIC, of_another_version(world))
            await daemon.line("halted")
            await shift.step("Diagnosis")
            # What comes is still bad, until the producer is mended.
            bad = asyncio.create_task(_spoil(world))
            await shift.rest("Diagnosis")
            bad.cancel()
            shift.known["PID"] = daemon.pid
            shift.known["TO"] = datetime.now(UTC).isoformat()
            await shift.step("Mitigation")
            assert await daemon.end() == 1
        await shift.step("Mitigation")
        await shift.step("Mitigation")
        shift.take("wikimirror run")
        async with Daemon(config) as daemon:
            await shift.rest("Verify recovery")
            await world.published()
            await durable(world.database_url, world.log.ends)
            assert await daemon.stop() == 0
    assert await fetch(world.database_url, "SELECT reason FROM gap") == [("skipped",)]


async def _spoil(world: World) -> None:
    while True:
        world.log.append(TOPIC, of_another_version(world))
        await asyncio.sleep(0.2)


def of_another_version(world: World) -> bytes:
    """What a producer sends that was updated too early: this program cannot read it."""
    *_, (_, record) = changes_of(world.day, "edit")
    return json.dumps({**record, "$schema": "/mediawiki/page/change/9.0.0"}, separators=(",", ":")).encode()


async def test_a_retraction_set_aside_hides_its_page_and_is_put_back_or_let_go(world: World) -> None:
    """One deletion is refused by a constraint that somebody added, one is of a version that nobody can read."""
    config = config_of(world)
    async with Daemon(config) as daemon, opened("WikimirrorRetractionSetAside", config) as shift:
        world.publish(RATE)
        world.publication.hurry()
        await world.published()
        await durable(world.database_url, world.log.ends)
        (wiki, page, rev), (other_wiki, other, other_rev) = await fetch(
            world.database_url,
            "SELECT wiki_id, page_id, rev_id FROM page WHERE state = 'live' AND namespace_id = 0 ORDER BY 1, 2 LIMIT 2",
        )
        named = f"wiki_id = '{wiki}' AND page_id = {page} AND kind = 'delete' AND rev_id > 0"
        await run(world.database_url, f"ALTER TABLE wikimirror.change ADD CONSTRAINT no_{page} CHECK (NOT ({named}))")
        world.log.append(TOPIC, deletion_of(world, wiki, page, rev, "1.3.0"))
        world.log.append(TOPIC, deletion_of(world, other_wiki, other, other_rev, "9.0.0"))
        await until(world.database_url, "SELECT 1 FROM dead_letter HAVING count(*) = 2")
        letters = dict(await fetch(world.database_url, "SELECT page_id, dead_letter_id FROM dead_letter"))
        shift.known |= {"ID": letters[page], "OTHER": letters[other], "WIKI": wiki, "PAGE": page}
        await shift.step("Diagnosis")
        await shift.step("Diagnosis")
        await shift.step("Diagnosis")
        await run(world.database_url, f"ALTER TABLE wikimirror.change DROP CONSTRAINT no_{page}")
        await shift.rest("Diagnosis")
        await shift.rest("Mitigation")
        await shift.rest("Verify recovery")
        assert await daemon.stop() == 0
    states = await fetch(world.database_url, "SELECT state FROM page WHERE page_id = ANY($1)", [page, other])
    assert states == [("deleted",), ("deleted",)]


def deletion_of(world: World, wiki: str, page: int, rev: int, version: str) -> bytes:
    """The source's word that a page was deleted, in a version of its schema."""
    for arrival in world.day.arrivals:
        if arrival.value is None or b'"delete"' not in arrival.value:
            continue
        record = json.loads(arrival.value)
        if record.get("page_change_kind") == "delete":
            break
    record["$schema"] = f"/mediawiki/page/change/{version}"
    record["wiki_id"] = wiki
    record["page"] |= {"page_id": page}
    record["revision"] |= {"rev_id": rev}
    record["meta"] |= {"id": f"00000000-0000-4000-8000-{page:012d}"}
    record["dt"] = record["meta"]["dt"] = "2026-11-21T12:00:00Z"
    return json.dumps(record, separators=(",", ":")).encode()
