"""Whoever has the role wikimirror_writer and nothing else can do all that apply takes, and cannot rewrite the past."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import asyncpg
import pytest

from tests.merge.statements import edit
from tests.mirror.lanes import rows
from tests.properties.budget import Budget
from tests.properties.world import Writer, must_hold, readings, rounds, split
from tests.rights.conftest import AsUser, Mirrored
from tests.rights.day import SEED
from wikimirror.errors import DatabaseRefused
from wikimirror.merge.law import Law
from wikimirror.mirror import (
    backlog,
    books,
    checkpoints,
    corrections,
    dead_letters,
    gaps,
    hiding,
    lanes,
    leases,
    load,
    members,
    operations,
    replays,
    store,
)
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.roles import WRITER_TABLES
from wikimirror.model import Batch, Coordinates, Lost, PageKey, Position, Record
from wikimirror.ops.compare import compare

_STATEMENT = re.compile(r"\s*(?:WITH|SELECT|INSERT|UPDATE|DELETE)\b")
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


async def test_the_writer_is_nobody_special(as_user: AsUser) -> None:
    async with await as_user("writer") as session, session.transaction():
        row = await session.fetchrow(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,"
            " pg_has_role(current_user, 'wikimirror_owner', 'MEMBER') FROM pg_roles WHERE rolname = current_user"
        )
        assert row is not None
        assert not any(row)


async def test_a_day_written_by_the_writer_is_the_truth(mirrored: Mirrored, as_user: AsUser) -> None:
    async with await as_user(None) as session:
        found = await compare(session, mirrored.arriving.expected)
    assert found.differences == []
    assert found.forbidden_found == 0
    assert min(found.compared.values()) > 50


async def test_every_record_is_accounted_for_and_the_second_time_nothing_is_applied(mirrored: Mirrored) -> None:
    first, second = mirrored.reports
    for report in (first, second):
        assert report.read == len(mirrored.arriving.records)
        assert report.unaccounted == 0
        assert sum(report.set_aside.values()) == mirrored.arriving.set_aside
    assert {"edit", "delete", "undelete", "visibility_change", "revision_visibility"} <= first.applied.keys()
    assert second.applied == {}


async def test_the_day_filled_every_book_that_the_writer_keeps(mirrored: Mirrored, as_user: AsUser) -> None:
    async with await as_user("writer") as session, session.transaction():
        # Revisions that change pages are for the histories below; the others are for a live source and for commands.
        others = {"revision_page", "gap", "lease", "member", "lane", "operation", "replay", "replay_lane"}
        for table in WRITER_TABLES.keys() - others:
            assert await session.fetchval(f"SELECT count(*) FROM {table}") > 0, table
        assert await session.fetchval("SELECT count(*) FROM dead_letter") == mirrored.arriving.set_aside
        assert await session.fetch("SELECT * FROM correction_chain_breaks()") == []


async def test_every_statement_of_apply_is_permitted_to_the_writer(mirrored: Mirrored, database_url: str) -> None:
    run = set(mirrored.statements)
    rng, histories = next(rounds(Budget(40, SEED), 0, 40))
    async with await connect(database_url.replace("postgres@", "rights_writer@")) as session:
        session.connection.add_query_logger(lambda said: run.add(said.query))
        writer = await Writer.of(session, Law(), "histories")
        for batch in split(rng, readings(rng, histories), 20):
            await writer.write(batch)
        for missing_parent in (edit(1), edit(3, parent_rev_id=2), edit(2)):
            await writer.write([missing_parent])
        await must_hold(session, Law(), histories)
        await _live(session, writer)
        await _on_call(session)
    assert {name for name, text in _statements() if text not in run} == set()


async def _live(session: Session, writer: Writer) -> None:
    """What a daemon does beside the histories."""
    await writer.applier.apply(Batch(advances=(), entries=[]))
    lost = Lost(writer.lane, Position(1), Position(2), "jump")
    await writer.applier.apply(Batch(advances=(), entries=[], lost=(lost,)))
    assert (await leases.acquire(session, "live", "me", 60.0)).held
    assert await leases.renew(session, "live", "me", 60.0)
    await leases.release(session, "live", "me")
    await members.note_members(session, [members.Member("live", "me", None, "active", "current", 1, 0.5, 3, 0, "1")])
    async with session.transaction():
        assert len(await members.read_members(session)) == 1
    await members.leave(session, "me")
    await lanes.note_lanes(session, "me", ())
    async with session.transaction():
        assert await lanes.read_lanes(session) == []
    await checkpoints.read_positions(session, [writer.lane])
    assert not await checkpoints.took_place(session, Batch(advances=(), entries=[]))
    assert (await backlog.read_backlog(session)).gaps_open == 1


async def _on_call(session: Session) -> None:
    """What commands do."""
    number = await operations.begin_operation(session, who="me", command="replay", arguments={}, dry_run=False)
    await operations.end_operation(session, number, operations.Result.DONE, {})
    (gap_id,) = [row[0] for row in await rows(session, "SELECT gap_id FROM gap")]
    assert await gaps.find_gap(session, gap_id) is not None
    stretch = replays.Stretch("t", 0, 1, 0, 5, None)
    begun = await replays.begin_replay(session, "live", [stretch], asked={}, holder="me", gap_id=gap_id)
    await replays.leave_replay(session, begun, replays.ReplayState.INTERRUPTED)
    begun = await replays.resume_replay(session, begun.replay_id, "me")
    await replays.see_replay(session, begun)
    async with session.transaction():
        await replays.tell_replay(session, begun, 4, {}, list(begun.held))
        assert await replays.count_running(session) == {"live": 1}
        assert len(await replays.read_replays(session, 5)) == len(await operations.read_operations(session, limit=5))
    assert await replays.finish_replay(session, begun, close=True)
    assert await replays.find_replay(session, begun.replay_id) == ("live", {})
    async with session.transaction():
        await hiding.ask_for(session, [PageKey("xxwiki", 1)])
        undated = Record(Coordinates("live", "t", 0, 1), b"{}", 1)
        letter = dead_letters.SetAside(undated, "not_json", wiki_id="xxwiki", page_id=1, retracts=True)
        assert await hiding.hidden_before(session, [letter]) == set()


async def test_an_auditor_counts_the_backlog_too(as_user: AsUser) -> None:
    async with await as_user("auditor") as session:
        assert sum((await backlog.read_backlog(session)).dead_letters.values()) > 0


def _statements() -> Iterator[tuple[str, str]]:
    """Each statement that a module of apply keeps, by its name; parts of statements left out."""
    modules: tuple[ModuleType, ...] = (
        backlog,
        books,
        checkpoints,
        corrections,
        dead_letters,
        gaps,
        hiding,
        leases,
        load,
        lanes,
        members,
        operations,
        replays,
        store,
    )
    for module in modules:
        for name, text in vars(module).items():
            if name.isupper() and isinstance(text, str) and _STATEMENT.match(text):
                yield f"{module.__name__}.{name}", text


async def test_the_writer_has_the_rights_that_are_listed_and_no_other(as_user: AsUser) -> None:
    async with await as_user("writer") as session, session.transaction():
        relations = await session.fetch(
            "SELECT c.oid, c.relname, c.relkind, c.relispartition FROM pg_class c"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')"
        )
        for oid, name, kind, _ in relations:
            if kind == b"S":
                continue
            held = [p for p in _PRIVILEGES if await session.fetchval("SELECT has_table_privilege($1::oid, $2)", oid, p)]
            allowed = ("SELECT",) if kind == b"v" or name == "schema_version" else WRITER_TABLES.get(name, ())
            assert set(held) == set(allowed), name
        assert {name for _, name, _, partition in relations if partition} > {"change_default"}


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE correction SET removed = '{}' WHERE number = 1", "42501"),
        ("UPDATE correction SET hash = previous_hash", "42501"),
        ("DELETE FROM correction WHERE number = 1", "42501"),
        ("TRUNCATE correction", "42501"),
        ("INSERT INTO correction SELECT * FROM correction WHERE number = 1", "23505"),
        ("INSERT INTO correction TABLE correction ON CONFLICT (number) DO UPDATE SET removed = '{}'", "42501"),
        ("MERGE INTO correction c USING (SELECT 1 AS n) s ON c.number = s.n WHEN MATCHED THEN DELETE", "42501"),
        ("ALTER TABLE correction DISABLE TRIGGER correction_append_only", "42501"),
        ("DROP TRIGGER correction_append_only ON correction", "42501"),
        ("CREATE OR REPLACE FUNCTION correction_refuse_change() RETURNS trigger LANGUAGE sql RETURN NULL", "42501"),
        ("SET LOCAL session_replication_role = replica", "42501"),
        ("SET LOCAL ROLE wikimirror_owner", "42501"),
        ("SELECT 1 FROM correction FOR UPDATE", "42501"),
        ("UPDATE change SET outcome = 'applied'", "42501"),
        ("DELETE FROM change_default", "42501"),
    ],
)  # fmt: skip
async def test_the_writer_cannot_change_a_correction_or_the_ledger(
    as_user: AsUser, statement: str, refusal: str
) -> None:
    async with await as_user("writer") as session:
        before = await _books(session)
        with pytest.raises((DatabaseRefused, asyncpg.PostgresError)) as told:
            async with session.transaction():
                await session.execute(statement)
        cause = told.value.__cause__ if isinstance(told.value, DatabaseRefused) else told.value
        assert getattr(cause, "sqlstate", None) == refusal
        assert await _books(session) == before


async def test_a_correction_that_the_writer_forges_is_found(as_user: AsUser) -> None:
    async with await as_user("writer") as session:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012  # the transaction must not stay
            async with session.transaction():
                await session.execute(
                    "INSERT INTO correction SELECT (last).* FROM"
                    " (SELECT jsonb_populate_record(c, jsonb_build_object('number', c.number + 1)) AS last"
                    " FROM correction c ORDER BY number DESC LIMIT 1)"
                )
                found = {row["reason"] for row in await session.fetch("SELECT * FROM correction_chain_breaks()")}
                assert found == {"row", "previous"}
                raise ZeroDivisionError


async def _books(session: Session) -> list[str]:
    async with session.transaction():
        return [
            str(await session.fetchval(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t"))
            for table in ("correction", "change")
        ]
