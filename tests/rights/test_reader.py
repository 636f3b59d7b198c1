"""Whoever has the role wikimirror_reader is served what is permitted, and sees neither registers nor books."""

from __future__ import annotations

import asyncpg
import pytest

from tests.rights.conftest import AsUser, Mirrored
from wikimirror.errors import DatabaseRefused
from wikimirror.mirror.connect import Session

_COLUMNS = """
SELECT c.relname, a.attname, has_column_privilege(c.oid, a.attnum, 'SELECT') AS readable
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
"""
_VIEWS = (
    "SELECT * FROM current_page ORDER BY wiki_id, page_id",
    "SELECT * FROM attribution ORDER BY wiki_id, page_id",
    "SELECT p.wiki_id, p.page_id, a.* FROM current_page p, page_as_of(p.wiki_id, p.page_id, p.rev_dt) a ORDER BY 1, 2",
    "SELECT * FROM body ORDER BY wiki_id, rev_id, format",
)
SERVED = {"page", "revision", "body", "current_page", "attribution", "schema_version"}


async def _rows(session: Session, query: str) -> list[tuple[object, ...]]:
    async with session.transaction():
        return [tuple(row) for row in await session.fetch(query)]


@pytest.mark.parametrize("query", _VIEWS)
async def test_the_reader_is_served_all_that_the_owner_would_be(as_user: AsUser, query: str) -> None:
    async with await as_user("reader") as reader, await as_user(None) as owner:
        served = await _rows(reader, query)
        assert served == await _rows(owner, query)
        assert len(served) > 50


async def test_the_views_serve_the_truth(mirrored: Mirrored, as_user: AsUser) -> None:
    truth = {key for key, page in mirrored.arriving.expected.pages.items() if page["state"] == "live"}
    async with await as_user("reader") as reader:
        served = {(wiki, page) for wiki, page in await _rows(reader, "SELECT wiki_id, page_id FROM current_page")}
        waiting = await _waiting(as_user)
        assert served <= truth
        assert truth - served <= waiting


async def _waiting(as_user: AsUser) -> set[tuple[object, ...]]:
    async with await as_user("auditor") as auditor:
        return set(await _rows(auditor, "SELECT wiki_id, page_id FROM reconcile"))


async def test_the_columns_that_a_reader_may_read_hold_no_register_and_no_book(as_user: AsUser) -> None:
    async with await as_user("reader") as reader:
        columns = await _rows(reader, _COLUMNS)
    readable = {(table, column) for table, column, is_so in columns if is_so}
    assert {table for table, _ in readable} == SERVED
    assert not [pair for pair in readable if pair[1] == "registers" or str(pair[1]).startswith("stamp_")]
    hidden = {(table, column) for table, column, is_so in columns if not is_so and table in SERVED}
    stamps = {"registers", "stamp_clock", "stamp_time", "stamp_id"}
    assert hidden == {(table, column) for table in ("page", "revision") for column in stamps}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT registers FROM page",
        "SELECT registers FROM revision",
        "SELECT page FROM page",
        "SELECT to_jsonb(revision) FROM revision",
        "SELECT * FROM page",
        "TABLE revision",
        "SELECT payload FROM dead_letter",
        "SELECT * FROM change",
        "SELECT * FROM change_default",
        "SELECT * FROM correction",
        "SELECT * FROM correction_chain_breaks()",
        "SELECT 1 FROM body FOR SHARE",
        "COPY page TO STDOUT",
    ],
)
async def test_there_is_no_way_around_for_a_reader(as_user: AsUser, statement: str) -> None:
    async with await as_user("reader") as reader:
        with pytest.raises((DatabaseRefused, asyncpg.PostgresError)) as told:  # noqa: PT012  # a transaction is one statement
            async with reader.transaction():
                await reader.execute("SET TRANSACTION READ WRITE")
                await reader.execute(statement)
        cause = told.value.__cause__ if isinstance(told.value, DatabaseRefused) else told.value
        assert getattr(cause, "sqlstate", None) == "42501"


async def test_nothing_that_was_taken_away_is_served(mirrored: Mirrored, as_user: AsUser) -> None:
    async with await as_user("reader") as reader:
        rows = [row for query in _VIEWS for row in await _rows(reader, f"SELECT q::text FROM ({query}) q")]
    # A row's text doubles quotes and backslashes.
    served = "\n".join(str(row[0]) for row in rows).replace('""', '"').replace("\\\\", "\\")
    assert mirrored.arriving.expected.forbidden
    assert not [secret for secret in mirrored.arriving.expected.forbidden if secret in served]
