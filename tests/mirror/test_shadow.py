"""A dry run tells what the real one then does, and leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.merge.statements import at, delete, edit
from tests.mirror.lanes import Written, rows, value
from tests.properties.budget import Budget
from tests.properties.world import PACK, Writer, draw, readings, split
from tests.statements import run
from tests.wire.records import page_change
from wikimirror.errors import DatabaseRefused, UnreadableRecord
from wikimirror.merge.law import Law
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.shadow import TableDifference, shadow_of
from wikimirror.model import Batch, Body, Coordinates, Format, Record, Unread

KEYS = {
    "page": "(wiki_id, page_id)",
    "revision": "(wiki_id, rev_id)",
    "body": "(wiki_id, rev_id, format)",
    "reconcile": "(wiki_id, page_id, rev_id, reason)",
    "dead_letter": '(source, topic, partition, "offset")',
    "change": "(change_id)",
    "correction": "(number)",
}
NOTHING = dict.fromkeys(KEYS, TableDifference())


async def tables(session: Session) -> dict[str, dict[str, str]]:
    """Every row as text, by table and key. When a reconcile row was opened differs between two runs."""
    found = {}
    for table, key in KEYS.items():
        said = key if table == "reconcile" else "t"
        found[table] = dict(pairs(await rows(session, f"SELECT {key}::text, {said}::text FROM {table} t")))
    return found


def pairs(found: list[tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    yield from ((key, row) for key, row in found)


def between(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> dict[str, TableDifference]:
    found = {}
    for table, was in before.items():
        now = after[table]
        changed = sum(now[key] != row for key, row in was.items() if key in now)
        found[table] = TableDifference(len(now.keys() - was.keys()), changed, len(was.keys() - now.keys()))
    return found


@pytest.mark.parametrize("bodies", ["current", "all"])
@pytest.mark.parametrize("number", range(4))
async def test_what_a_dry_run_says_is_what_the_batches_then_do(
    session: Session, database_url: str, budget: Budget, number: int, bodies: Any
) -> None:
    rng = random.Random(f"shadow {budget.seed}/{number}")
    law = Law(bodies=bodies)
    told = readings(rng, [draw(budget.seed, number * PACK + each) for each in range(PACK)])
    cut = rng.randrange(len(told))
    writer = await Writer.of(session, law, "t")
    for part in split(rng, told[:cut], 3):
        await writer.write(part)
    parts = split(rng, told[cut:], 5)
    before = await tables(session)
    async with await connect(database_url) as other, shadow_of(other, law) as shadow:
        foretold = [await shadow.apply(writer.batch(part)) for part in parts]
        difference = await shadow.difference()
    assert await tables(session) == before
    results = [await writer.write(part) for part in parts]
    assert [(each.applied, each.refused) for each in results] == [(each.applied, each.refused) for each in foretold]
    assert difference == between(before, await tables(session))


async def test_on_the_oldest_postgres_too(any_session: Session, any_url: str) -> None:
    lane = await Written.to(any_session)
    await lane.apply(edit(1), edit(2))
    async with await connect(any_url) as other, shadow_of(other, Law()) as shadow:
        await shadow.apply(lane.batch(delete(2, 10)))
        difference = await shadow.difference()
    assert difference["page"] == TableDifference(updated=1)
    assert difference["revision"] == TableDifference(updated=2)
    assert difference["body"] == TableDifference(deleted=1)
    assert difference["correction"] == difference["change"] == TableDifference(inserted=1)
    assert await value(any_session, "SELECT state FROM page") == "live"


async def test_a_second_look_in_the_same_session_begins_anew(session: Session, database_url: str) -> None:
    lane = await Written.to(session)
    async with await connect(database_url) as other:
        for _ in range(2):
            async with shadow_of(other, Law()) as shadow:
                assert (await shadow.apply(lane.batch(edit(1)))).applied == {"edit": 1}
                assert (await shadow.difference())["page"] == TableDifference(inserted=1)
        assert await value(other, "SELECT count(*) FROM page") == 0


async def test_what_would_be_set_aside_again_is_told_and_hides_its_page_in_the_shadow_alone(
    session: Session, database_url: str
) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1, comment="a \x00"), edit(2))
    assert await value(session, "SELECT count(*) FROM dead_letter") == 1
    bad = page_change("delete")
    bad["wiki_id"], bad["page"]["page_id"] = "xxwiki", 1
    error = UnreadableRecord("bad_value", wiki_id="xxwiki", page_id=1)
    error.retracts = True
    unread = Unread(Record(Coordinates("test", "t", 0, 77), msgspec.json.encode(bad), at(100)), error)
    before = await tables(session)
    async with await connect(database_url) as other, shadow_of(other, Law()) as shadow:
        again = await shadow.apply(lane.batch(edit(1, comment="a \x00")))
        assert again.set_aside == {"sqlstate_22021": 1}
        assert (await shadow.apply(Batch(advances=(), entries=[], unread=[unread]))).set_aside == {"bad_value": 1}
        difference = await shadow.difference()
    assert difference["dead_letter"] == TableDifference(inserted=2, updated=0)
    assert difference["page"].updated == 1
    assert difference["body"].deleted == 1
    assert await tables(session) == before


async def test_it_holds_no_lock_that_anybody_waits_for(session: Session, database_url: str) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    async with await connect(database_url) as other, shadow_of(other, Law()) as shadow:
        await shadow.apply(lane.batch(edit(2, bodies=(Body(Format.WIKITEXT, "new"),))))
        locks = await rows(
            session,
            "SELECT DISTINCT mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE c.relnamespace = 'wikimirror'::regnamespace AND l.pid = $1",
            other.connection.get_server_pid(),
        )
        assert set(locks) <= {("AccessShareLock",)}
        # The daemon goes on meanwhile, on the same page.
        assert (await lane.apply(edit(3))).applied == {"edit": 1}
        assert (await shadow.difference())["page"] == TableDifference(updated=1)


async def test_without_anything_applied_nothing_differs(session: Session, database_url: str) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1), delete(1, 10))
    async with await connect(database_url) as other, shadow_of(other, Law()) as shadow:
        assert await shadow.difference() == NOTHING


async def test_without_the_right_to_temporary_tables_it_says_what_to_grant(
    make_database: Callable[[], Awaitable[str]],
) -> None:
    url = await make_database()
    name = urlsplit(url).path.removeprefix("/")
    role = f"scribe_of_{name}"
    await run(url, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    await run(url, f"CREATE ROLE {role} LOGIN IN ROLE wikimirror_writer")
    try:
        async with await connect(url.replace("postgres@", f"{role}@", 1)) as other:
            with pytest.raises(DatabaseRefused, match=f"{role} may not make temporary tables in {name}") as refused:
                async with shadow_of(other, Law()):
                    pass
        assert f'GRANT TEMPORARY ON DATABASE "{name}" TO "{role}"' in refused.value.remedy
    finally:
        await run(url, f"DROP ROLE {role}")


async def test_the_log_does_not_say_that_a_page_is_hidden(session: Session, database_url: str) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    error = UnreadableRecord("bad_value", wiki_id="xxwiki", page_id=1)
    error.retracts = True
    batch = Batch(
        advances=(), entries=[], unread=[Unread(Record(Coordinates("test", "t", 0, 77), b"{}", at(100)), error)]
    )
    async with await connect(database_url) as other, shadow_of(other, Law()) as shadow:
        with capture_logs() as tried:
            await shadow.apply(batch)
    with capture_logs() as done:
        await lane.applier.apply(batch)
    assert tried == []
    assert [line["event"] for line in done] == ["a retraction was set aside, and its page is hidden"]


async def test_what_a_page_takes_from_a_revision_that_is_another_page_s_now_is_told(
    session: Session, database_url: str
) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(3, 3, page=1, bodies=(Body(Format.WIKITEXT, "moved"),)))
    await lane.apply(edit(3, 4, page=2, bodies=(Body(Format.WIKITEXT, "moved"),)))
    assert await rows(session, "SELECT rev_id, page_id FROM revision") == [(3, 2)]
    batch = lane.batch(delete(9, 50, page=1))
    async with await connect(database_url) as other, shadow_of(other, Law()) as shadow:
        await shadow.apply(batch)
        difference = await shadow.difference()
    before = await tables(session)
    await lane.applier.apply(batch)
    assert difference == between(before, await tables(session))
    assert difference["body"].deleted == 1
