"""Positions, owners, and writers that meet: over real sessions, at the very statements where it matters."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import Any, cast

import asyncpg
import pytest

from tests.merge.histories import laws
from tests.merge.statements import HIDDEN, Held, delete, edit, visibility
from tests.mirror.lanes import Written, rows, value
from tests.properties.budget import Budget
from tests.properties.faults import Failing, Fault
from tests.properties.world import Writer, chain_must_hold, must_hold, readings, rounds, split
from wikimirror.errors import Fenced
from wikimirror.merge.law import Law
from wikimirror.mirror.checkpoints import Held as Position
from wikimirror.mirror.checkpoints import advance, take_over
from wikimirror.mirror.connect import Session, connect
from wikimirror.model import Advance, Lane

LANE = Lane("kafka", "topic", 3)
DEADLINE = 20.0


async def test_a_lane_never_read_begins_at_its_start_and_a_known_one_where_it_was(any_session: Session) -> None:
    assert await take_over(any_session, LANE, "one", start=7) == Position(1, 7)
    async with any_session.transaction():
        await advance(any_session, [Advance(LANE, 1, 7, 12)])
    assert await take_over(any_session, LANE, "two", start=7) == Position(2, 12)
    assert await take_over(any_session, LANE, "three", restart_at=0) == Position(3, 0)
    assert await rows(any_session, "SELECT writer, epoch, position FROM checkpoint") == [("three", 3, 0)]


@pytest.mark.parametrize(
    "step", [Advance(LANE, 1, 7, 9), Advance(LANE, 2, 6, 9), Advance(Lane("kafka", "no", 0), 2, 7, 9)]
)
async def test_a_step_from_another_epoch_or_position_is_fenced(session: Session, step: Advance) -> None:
    await take_over(session, LANE, "one", start=7)
    await take_over(session, LANE, "two")
    with pytest.raises(Fenced, match="another writer"):
        async with session.transaction():
            await advance(session, [step])
    assert await value(session, "SELECT position FROM checkpoint") == 7


async def test_a_fenced_batch_leaves_no_row(session: Session) -> None:
    former, _ = await Written.to(session), await Written.to(session)
    with pytest.raises(Fenced):
        await former.apply(edit(1), delete(1, 10))
    assert await rows(session, "SELECT FROM page UNION ALL SELECT FROM change UNION ALL SELECT FROM correction") == []


class Pausing(Failing):
    """Stands for a session's connection and waits before COMMIT until it is told to go on."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        super().__init__(connection, Fault.REFUSED, 0)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def execute(self, query: str, *arguments: Any, **options: Any) -> Any:
        if query == "COMMIT":
            self.reached.set()
            await self.go_on.wait()
        return await super().execute(query, *arguments, **options)


async def test_a_writer_that_names_a_revision_of_another_page_sees_what_that_page_s_writer_does_meanwhile(
    session: Session, database_url: str
) -> None:
    first, hiding, other = edit(1), visibility(1, 400, HIDDEN), visibility(1, 395, (True, False, True), page=2)
    async with await connect(database_url) as second, await connect(database_url) as watcher:
        one, two = await Written.to(session, "one"), await Written.to(second, "two")
        await one.apply(first)
        pausing = Pausing(session.connection)
        session.connection = cast("asyncpg.Connection", pausing)
        hides = asyncio.create_task(one.apply(hiding))
        await pausing.reached.wait()
        names = asyncio.create_task(two.apply(other))
        await _blocked(watcher)
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
        pausing = Pausing(session.connection)
        session.connection = cast("asyncpg.Connection", pausing)
        letter_first = first == "letter"
        begun = asyncio.create_task(one.apply(bad, values=[payload]) if letter_first else one.apply(deletion))
        await pausing.reached.wait()
        other = asyncio.create_task(two.apply(deletion) if letter_first else two.apply(bad, values=[payload]))
        await _blocked(watcher)
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


async def _blocked(watcher: Session) -> None:
    """Until some writer waits for another's lock."""
    limit = time.monotonic() + DEADLINE
    while not await value(watcher, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
        assert time.monotonic() < limit, "no writer came to wait for the other"
