"""Writers that meet, or come too late: over real sessions, at the very statements where it matters."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import cast

import asyncpg
import pytest

from tests.merge.histories import laws
from tests.merge.statements import HIDDEN, Held, delete, edit, visibility
from tests.mirror.commits import Pausing
from tests.mirror.lanes import Written, blocked, rows, value
from tests.properties.budget import Budget
from tests.properties.faults import Failing, Fault
from tests.properties.world import Writer, chain_must_hold, must_hold, readings, rounds, split
from wikimirror.errors import Fenced
from wikimirror.merge.law import Law
from wikimirror.mirror.connect import Session, connect


async def test_a_fenced_batch_leaves_no_row(session: Session) -> None:
    former, _ = await Written.to(session), await Written.to(session)
    with pytest.raises(Fenced):
        await former.apply(edit(1), delete(1, 10))
    assert await rows(session, "SELECT FROM page UNION ALL SELECT FROM change UNION ALL SELECT FROM correction") == []


async def test_a_writer_that_names_a_revision_of_another_page_sees_what_that_page_s_writer_does_meanwhile(
    session: Session, database_url: str
) -> None:
    first, hiding, other = edit(1), visibility(1, 400, HIDDEN), visibility(1, 395, (True, False, True), page=2)
    async with await connect(database_url) as second, await connect(database_url) as watcher:
        one, two = await Written.to(session, "one"), await Written.to(second, "two")
        await one.apply(first)
        pausing = Pausing.of(session)
        hides = asyncio.create_task(one.apply(hiding))
        await pausing.reached.wait()
        names = asyncio.create_task(two.apply(other))
        await blocked(watcher)
        pausing.go_on.set()
        await asyncio.gather(hides, names)
        held = Held(first, hiding, other)
        assert held.fields(1) == (False, False, False)
        assert await rows(watcher, "SELECT page_id, editor_name, comment, sha1 FROM revision") == [
            (1, None, None, None)
        ]
        assert await rows(watcher, "SELECT FROM body") == []


@pytest.mark.parametrize("first", ["letter", "deletion"])
async def test_a_payload_set_aside_while_another_writer_deletes_its_page_does_not_stay(
    session: Session, database_url: str, first: str
) -> None:
    payload = b'{"kept": "secret"}'
    bad, deletion = edit(2, 20, comment="\x00"), delete(1, 10)
    async with await connect(database_url) as second, await connect(database_url) as watcher:
        one, two = await Written.to(session, "one"), await Written.to(second, "two")
        await one.apply(edit(3, page=3))
        pausing = Pausing.of(session)
        letter_first = first == "letter"
        begun = asyncio.create_task(one.apply(bad, values=[payload]) if letter_first else one.apply(deletion))
        await pausing.reached.wait()
        other = asyncio.create_task(two.apply(deletion) if letter_first else two.apply(bad, values=[payload]))
        await blocked(watcher)
        pausing.go_on.set()
        await asyncio.gather(begun, other)
        assert await rows(watcher, "SELECT payload FROM dead_letter") == [(None,)]


async def test_a_deletion_of_a_page_with_20000_revisions_takes_few_statements_and_little_memory(
    session: Session,
) -> None:
    lane = await Written.to(session, law=Law(bodies="all"))
    await lane.apply(*(edit(n, rev_dt=n, parent_rev_id=n - 1) for n in range(1, 20_001)))
    counting = Failing(session.connection, Fault.REFUSED, 0)
    session.connection = cast("asyncpg.Connection", counting)
    tracemalloc.start()
    try:
        await lane.apply(delete(20_000, 30_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert -counting._left < 25
    assert peak < 2_000_000
    assert await value(session, "SELECT count(*) FROM revision WHERE content_visible OR editor_name IS NOT NULL") == 0
    assert await value(session, "SELECT count(*) FROM body") == 0
    assert await value(session, "SELECT revisions_touched FROM correction") == 20_000


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.bodies)
async def test_on_the_oldest_postgres_too_the_mirror_is_the_fold(oldest_url: str, budget: Budget, law: Law) -> None:
    async with await connect(oldest_url) as session:
        writer = await Writer.of(session, law, "oldest")
        for rng, histories in rounds(budget, 0, budget.share(0.05)):
            for batch in split(rng, readings(rng, histories), 6):
                await writer.write(batch)
            await must_hold(session, law, histories)
        await chain_must_hold(session)
