"""Only a bad record is set aside. When the environment fails, nothing is: it raises, and all is as it was (P1, P4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.merge.statements import delete, edit
from tests.mirror.lanes import Written, rows, value
from tests.statements import run
from wikimirror.errors import DatabaseRefused, DatabaseUnavailable, Reaction, WikimirrorError
from wikimirror.mirror.apply import COLLISIONS
from wikimirror.mirror.connect import Limits, Session, connect

DATA = ("22", "23", "54")
"""Classes of SQLSTATE that are about a value."""
_NO_ERRORS = ("00", "01", "02", "P0")
"""Success, warnings, and what only a procedure raises by itself."""
_RAISE = """
CREATE FUNCTION wikimirror.fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    {0}
    RETURN new;
END $$;
CREATE TRIGGER fails BEFORE INSERT ON wikimirror.{1} FOR EACH ROW EXECUTE FUNCTION wikimirror.fails()
"""


def states() -> Iterator[str]:
    """Every SQLSTATE that Postgres has a name for."""
    found = {getattr(kind, "sqlstate", None) for kind in vars(asyncpg.exceptions).values()}
    return iter(sorted(state for state in found if isinstance(state, str) and state[:2] not in _NO_ERRORS))


async def nothing_happened(session: Session) -> None:
    """No row of the batch, no letter, no step."""
    for table in ("page", "revision", "body", "change", "correction", "reconcile", "dead_letter"):
        assert await value(session, f"SELECT count(*) FROM {table}") == 0, table
    assert await value(session, "SELECT position FROM checkpoint") == 0


async def batch_fails(lane: Written) -> WikimirrorError:
    """A batch of several changes raises, as ours."""
    with pytest.raises(WikimirrorError) as told:
        await lane.apply(edit(1), edit(2), delete(2, 10), edit(3, page=2))
    return told.value


async def test_of_all_that_postgres_can_raise_only_errors_about_data_set_a_record_aside(
    session: Session, database_url: str
) -> None:
    code = "RAISE EXCEPTION 'staged' USING ERRCODE = current_setting('staged.state');"
    await run(database_url, _RAISE.format(code, "page"))
    lane = await Written.to(session)
    kinds = {"aside": set[str](), "raised": set[str]()}
    for state in states():
        await session.connection.execute(f"SET staged.state = '{state}'")
        about_data = state[:2] in DATA and state not in COLLISIONS
        if about_data:
            applied = await lane.apply(edit(1))
            assert dict(applied.set_aside) == {f"sqlstate_{state}": 1}
            async with session.transaction():
                await session.execute("DELETE FROM dead_letter")
                await session.execute("UPDATE checkpoint SET position = 0")
            lane.held = lane.held._replace(position=0)
        else:
            error: Exception
            try:
                await lane.apply(edit(1), edit(2, page=2))
            except (WikimirrorError, asyncpg.PostgresError) as raised:
                error = raised
            else:
                pytest.fail(f"{state} passed")
            if state[:2] in {"08", "40", "53", "58"} or state in {"55P03", "57014", "57P01", "57P03"}:
                assert isinstance(error, DatabaseUnavailable), state
                assert error.reaction is Reaction.RETRY
            await nothing_happened(session)
        kinds["aside" if about_data else "raised"].add(state)
    assert {"22021", "23502", "23514", "54000"} <= kinds["aside"]
    assert {"08006", "23505", "40001", "40P01", "42501", "42P01", "53100", "53200", "55P03", "57014"} <= kinds["raised"]


async def test_a_connection_that_breaks_off_sets_nothing_aside(session: Session, database_url: str) -> None:
    await run(database_url, _RAISE.format("PERFORM pg_terminate_backend(pg_backend_pid());", "revision"))
    async with await connect(database_url) as writing:
        error = await batch_fails(await Written.to(writing))
    assert isinstance(error, DatabaseUnavailable)
    await nothing_happened(session)


async def test_a_connection_that_breaks_off_while_the_bad_record_is_looked_for_sets_nothing_aside(
    session: Session, database_url: str
) -> None:
    """The batch has a bad record, and is halved when the connection goes."""
    cut = "IF new.rev_id = 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;"
    await run(database_url, _RAISE.format(cut, "revision"))
    async with await connect(database_url) as writing:
        lane = await Written.to(writing)
        with pytest.raises(DatabaseUnavailable):
            await lane.apply(edit(1, comment="a\x00b"), edit(2), edit(3))
    await nothing_happened(session)


async def test_no_room_for_a_temporary_file_sets_nothing_aside(session: Session, database_url: str) -> None:
    fill = "PERFORM count(*) FROM (SELECT i FROM generate_series(1, 300000) i ORDER BY md5(i::text)) AS sorted;"
    await run(database_url, _RAISE.format(fill, "page"))
    async with await connect(database_url) as writing:
        await writing.connection.execute("SET temp_file_limit = '1MB'")
        await writing.connection.execute("SET work_mem = '64kB'")
        error = await batch_fails(await Written.to(writing))
    assert isinstance(error, DatabaseUnavailable)
    assert getattr(error.__cause__, "sqlstate", None) == "53400"
    await nothing_happened(session)


async def test_a_statement_that_takes_too_long_sets_nothing_aside(session: Session, database_url: str) -> None:
    await run(database_url, _RAISE.format("PERFORM pg_sleep(30);", "page"))
    async with await connect(database_url, limits=Limits(statement=0.2)) as writing:
        error = await batch_fails(await Written.to(writing))
    assert getattr(error.__cause__, "sqlstate", None) == "57014"
    await nothing_happened(session)


async def test_a_lock_that_is_not_had_in_time_sets_nothing_aside(session: Session, database_url: str) -> None:
    async with await connect(database_url, limits=Limits(lock=0.1)) as writing:
        lane = await Written.to(writing)
        async with session.transaction():
            await session.execute("LOCK TABLE page IN EXCLUSIVE MODE")
            error = await batch_fails(lane)
    assert getattr(error.__cause__, "sqlstate", None) == "55P03"
    await nothing_happened(session)


@asynccontextmanager
async def writer(database_url: str, *names: str) -> AsyncIterator[Session]:
    """A user with the writer's role alone, connected before anything is taken from it."""
    await run(database_url, *(f"CREATE ROLE {name} LOGIN IN ROLE wikimirror_writer" for name in names))
    try:
        async with await connect(database_url.replace("postgres@", f"{names[0]}@")) as session:
            yield session
    finally:
        await run(database_url, *(f"DROP OWNED BY {name}" for name in names), *(f"DROP ROLE {name}" for name in names))


@pytest.mark.parametrize(
    ("table", "right"),
    [
        ("page", "UPDATE"),
        ("revision", "INSERT"),
        ("body", "INSERT"),
        ("change", "INSERT"),
        ("correction", "INSERT"),
        ("checkpoint", "UPDATE"),
        ("dead_letter", "INSERT"),
    ],
)
async def test_a_right_that_was_taken_away_sets_nothing_aside(
    session: Session, database_url: str, table: str, right: str
) -> None:
    async with writer(database_url, "set_aside_writer") as writing:
        lane = await Written.to(writing)
        await run(database_url, f"REVOKE {right} ON wikimirror.{table} FROM wikimirror_writer")
        with pytest.raises(DatabaseRefused) as told:
            await lane.apply(edit(1), edit(2), delete(2, 10), edit(3, page=2, comment="a\x00b"))
    assert getattr(told.value.__cause__, "sqlstate", None) == "42501"
    assert told.value.reaction is Reaction.HALT
    await nothing_happened(session)


@pytest.mark.parametrize("table", ["body", "change", "correction", "dead_letter", "reconcile"])
async def test_a_table_that_is_not_there_sets_nothing_aside(session: Session, database_url: str, table: str) -> None:
    lane = await Written.to(session)
    await run(database_url, f"ALTER TABLE wikimirror.{table} RENAME TO moved_away")
    with pytest.raises(DatabaseRefused) as told:
        await lane.apply(edit(1), edit(2), delete(2, 10), edit(3, page=2, comment="a\x00b"))
    assert getattr(told.value.__cause__, "sqlstate", None) == "42P01"
    await run(database_url, f"ALTER TABLE wikimirror.moved_away RENAME TO {table}")
    await nothing_happened(session)


async def test_what_is_not_about_data_sets_aside_nothing_of_a_batch_that_has_bad_records_too(
    session: Session, database_url: str
) -> None:
    await run(database_url, _RAISE.format("RAISE EXCEPTION 'full' USING ERRCODE = '53100';", "dead_letter"))
    lane = await Written.to(session)
    with pytest.raises(DatabaseUnavailable):
        await lane.apply(edit(1), edit(2, comment="a\x00b"))
    await nothing_happened(session)
    await run(database_url, "DROP TRIGGER fails ON wikimirror.dead_letter")
    applied = await lane.apply(edit(1), edit(2, comment="a\x00b"))
    assert (applied.applied.total(), applied.set_aside.total()) == (1, 1)
    assert await rows(session, "SELECT reason FROM dead_letter") == [("sqlstate_22021",)]
