"""What each role may do, tried as that role on the oldest and the newest server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from wikimirror.errors import DatabaseRefused
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.migrate import upgrade
from wikimirror.mirror.roles import READABLE_PAGE, READABLE_REVISION

AsRole = Callable[[str, str], AbstractAsyncContextManager[Session]]

PAGE = """
    INSERT INTO page (wiki_id, page_id, state, title, rev_id, rev_dt, url, registers)
    VALUES ('testwiki', 1, 'live', 'A title', 10, '2026-01-01Z', 'https://wiki.example/A', '{}')
"""
REVISION = """
    INSERT INTO revision (wiki_id, rev_id, page_id, rev_dt, editor_name, comment, sha1, size, content_visible,
                          editor_visible, comment_visible, registers)
    VALUES ('testwiki', 10, 1, '2026-01-01Z', 'Ada', 'why', 'abc', 4, true, true, true, '{}')
"""
BODY = "INSERT INTO body VALUES ('testwiki', 10, 'wikitext', 'text')"
CORRECTION = """
    INSERT INTO correction
    VALUES (1, 'testwiki', 1, 10, 'delete', '{text}', 1, '\\x00', now(), now(), now(), 1.5, 'k', 't', 0, 5, '\\x00',
            '\\x00')
"""
CHANGE = """
    INSERT INTO change
    VALUES ('\\x00', 'testwiki', 1, 10, 'edit', 0, now(), now(), now(), now(), 'k', 't', 0, 5, 'applied')
"""
DEAD_LETTER = """
    INSERT INTO dead_letter (source, topic, partition, "offset", reason) VALUES ('k', 't', 0, 5, 'malformed')
"""


@pytest.fixture
async def migrated_url(empty_url: str) -> str:
    await upgrade(empty_url)
    return empty_url


async def refused(session: Session, statement: str) -> bool:
    """Whether the role may not do it; anything but a missing right fails the test."""
    try:
        async with session.transaction():
            await session.execute(statement)
    except DatabaseRefused as error:
        return "42501" in str(error)
    return False


async def fill(url: str) -> None:
    async with await connect(url) as session, session.transaction():
        for statement in (PAGE, REVISION, BODY):
            await session.execute(statement)


async def test_a_writer_may_write_the_mirror_and_keep_its_books(migrated_url: str, as_role: AsRole) -> None:
    async with as_role(migrated_url, "wikimirror_writer") as session, session.transaction():
        for statement in (
            PAGE, REVISION, BODY, CORRECTION,
            "INSERT INTO page VALUES ('testwiki', 2) ON CONFLICT (wiki_id, page_id) DO UPDATE SET title = 'T'",
            "UPDATE revision SET is_minor = true",
            "INSERT INTO revision_page VALUES ('testwiki', 10, 2) ON CONFLICT DO NOTHING",
            "DELETE FROM body",
            CHANGE,
            "INSERT INTO checkpoint VALUES ('k', 't', 0, 6)",
            "UPDATE checkpoint SET epoch = epoch + 1, position = 7, position_time = now()",
            "INSERT INTO lease VALUES ('k', 'holder', 1, now(), now(), now())",
            "UPDATE lease SET expires_at = now()",
            "INSERT INTO member VALUES ('k', 'h', NULL, 'active', 'current', 1, 0, 0, 0, '1', now(), now())",
            "DELETE FROM member",
            DEAD_LETTER,
            "DELETE FROM dead_letter",
            "INSERT INTO gap (source, topic, partition, reason) VALUES ('k', 't', 0, 'retention')",
            "INSERT INTO reconcile (wiki_id, page_id, reason) VALUES ('testwiki', 1, 'late')",
            "DELETE FROM reconcile",
            "SELECT ensure_change_partitions('2026-01-01', '2026-02-01')",
            "SELECT prune_change('1 year')",
        ):  # fmt: skip
            await session.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE correction SET kind = 'edit'",
        "DELETE FROM correction",
        "TRUNCATE correction",
        "UPDATE change SET outcome = ''",
        "DELETE FROM change",
        "DELETE FROM page",
        "DELETE FROM revision",
        "DELETE FROM checkpoint",
        "DELETE FROM lease",
        "DROP TABLE body",
        "CREATE TABLE mine ()",
        "UPDATE schema_version SET version_num = '0'",
        "ALTER TABLE correction DISABLE TRIGGER ALL",
    ],
)
async def test_a_writer_may_not_rewrite_history(migrated_url: str, as_role: AsRole, statement: str) -> None:
    async with as_role(migrated_url, "wikimirror_writer") as session:
        if statement.startswith(("DROP", "ALTER")):
            with pytest.raises((DatabaseRefused, asyncpg.PostgresError), match="must be owner"):
                async with session.transaction():
                    await session.execute(statement)
        else:
            assert await refused(session, statement)


async def test_a_reader_reads_what_is_permitted(migrated_url: str, as_role: AsRole) -> None:
    await fill(migrated_url)
    async with as_role(migrated_url, "wikimirror_reader") as session, session.transaction():
        assert await session.fetchval("SELECT wikitext FROM current_page WHERE title = 'A title'") == "text"
        assert await session.fetchval("SELECT editors FROM attribution") == ["Ada"]
        assert await session.fetchval("SELECT wikitext FROM page_as_of('testwiki', 1, now())") == "text"
        assert await session.fetchval("SELECT text FROM body") == "text"
        assert await session.fetch(f"SELECT {READABLE_PAGE} FROM page")
        assert await session.fetch(f"SELECT {READABLE_REVISION} FROM revision")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT registers FROM page",
        "SELECT stamp_id FROM page",
        "SELECT * FROM revision",
        "SELECT registers FROM revision",
        "SELECT count(*) FROM revision_page",
        "SELECT count(*) FROM change",
        "SELECT count(*) FROM correction",
        "SELECT count(*) FROM dead_letter",
        "SELECT count(*) FROM reconcile",
        "SELECT count(*) FROM checkpoint",
        "SELECT count(*) FROM lease",
        "SELECT count(*) FROM member",
        "SELECT ensure_change_partitions('2026-01-01', '2026-01-01')",
        "SELECT prune_change('1 day')",
        "INSERT INTO page VALUES ('testwiki', 3)",
        "DELETE FROM body",
    ],
)
async def test_a_reader_sees_neither_registers_nor_books_and_writes_nothing(
    migrated_url: str, as_role: AsRole, statement: str
) -> None:
    async with as_role(migrated_url, "wikimirror_reader") as session:
        assert await refused(session, statement)


async def test_an_auditor_proves_removal_without_reading_what_was_set_aside(migrated_url: str, as_role: AsRole) -> None:
    await fill(migrated_url)
    async with as_role(migrated_url, "wikimirror_auditor") as session:
        async with session.transaction():
            for table in (
                "page",
                "revision",
                "revision_page",
                "body",
                "change",
                "correction",
                "checkpoint",
                "lease",
                "member",
                "gap",
                "reconcile",
            ):
                await session.fetch(f"SELECT * FROM {table}")
            await session.fetch("SELECT reason, payload_sha256 FROM dead_letter")
            assert not await session.fetch("SELECT * FROM correction_chain_breaks()")
        for statement in (
            "SELECT payload FROM dead_letter", "UPDATE correction SET kind = ''", "DELETE FROM page",
            "INSERT INTO reconcile (wiki_id, page_id, reason) VALUES ('testwiki', 1, 'x')",
            "SELECT prune_change('1 day')",
        ):  # fmt: skip
            assert await refused(session, statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE correction SET kind = ''", "DELETE FROM correction", "TRUNCATE correction"]
)
async def test_a_correction_stays_even_for_the_superuser_and_for_replication(migrated_url: str, statement: str) -> None:
    async with await connect(migrated_url) as session:
        async with session.transaction():
            await session.execute(CORRECTION)
        for role in ("origin", "replica"):
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):  # noqa: PT012  # a transaction is one statement
                async with session.transaction():
                    await session.execute(f"SET LOCAL session_replication_role = {role}")
                    await session.execute(statement)


async def test_nobody_else_may_even_look(migrated_url: str, unique_name: Callable[[str], str]) -> None:
    user = unique_name("stranger")
    async with await connect(migrated_url) as session, session.transaction():
        await session.execute(f"CREATE ROLE {user} LOGIN")
    with pytest.raises(DatabaseRefused, match="may not use the schema") as told:
        await connect(migrated_url.replace("postgres@", f"{user}@"))
    assert "GRANT" in told.value.remedy.upper()


async def test_a_writer_that_lacks_a_right_is_told_which(migrated_url: str, unique_name: Callable[[str], str]) -> None:
    user = unique_name("partial")
    async with await connect(migrated_url) as session, session.transaction():
        await session.execute(f"CREATE ROLE {user} LOGIN; GRANT wikimirror_reader TO {user}")
    url = migrated_url.replace("postgres@", f"{user}@")
    with pytest.raises(DatabaseRefused, match=r"lacks rights .* SELECT on page") as told:
        await connect(url)
    assert "wikimirror_writer" in told.value.remedy
    async with await connect(url, write=False) as session, session.transaction():
        assert await session.fetch("SELECT title FROM current_page") == []


async def test_what_is_not_visible_cannot_be_stored(migrated_url: str) -> None:
    async with await connect(migrated_url) as session:
        for column, flag, value in (
            ("sha1", "content_visible", "'abc'"), ("size", "content_visible", "4"),
            ("comment", "comment_visible", "'why'"),
            ("editor_name", "editor_visible", "'Ada'"), ("editor_id", "editor_visible", "7"),
        ):  # fmt: skip
            flags = {name: name != flag for name in ("content_visible", "editor_visible", "comment_visible")}
            with pytest.raises(asyncpg.CheckViolationError) as error:
                async with session.transaction():
                    await session.execute(
                        f"INSERT INTO revision (wiki_id, rev_id, {column}, {', '.join(flags)})"
                        f" VALUES ('testwiki', 1, {value}, {', '.join(map(str, flags.values()))})"
                    )
            assert "Failing row" not in str(error.value)
        for state, column, value in (
            ("deleted", "url", "'u'"), ("vacated", "rev_id", "1"), ("live", "deleted_at", "now()"),
            ("deleted", "rev_dt", "now()"),
        ):  # fmt: skip
            with pytest.raises(asyncpg.CheckViolationError):
                async with session.transaction():
                    await session.execute(
                        f"INSERT INTO page (wiki_id, page_id, state, {column})"
                        f" VALUES ('testwiki', 1, '{state}', {value})"
                    )
