"""Migrating: any name, anybody's rights, twice, at once, by script."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from wikimirror.errors import DatabaseRefused, DatabaseUnavailable
from wikimirror.mirror import migrate, roles
from wikimirror.mirror.checkpoints import Held, take_over
from wikimirror.mirror.connect import connect
from wikimirror.mirror.host import find_binaries
from wikimirror.mirror.leases import acquire
from wikimirror.mirror.migrate import _SCRIPTS, SchemaState, check, sql, upgrade
from wikimirror.mirror.preflight import SCHEMA_VERSION
from wikimirror.model import Lane

RunSql = Callable[..., Awaitable[None]]
TABLES = {
    "page", "revision", "revision_page", "body", "change", "correction", "checkpoint", "dead_letter", "gap",
    "reconcile", "schema_version", "lease", "member",
}  # fmt: skip


def test_the_program_asks_for_the_newest_migration() -> None:
    assert ScriptDirectory(str(_SCRIPTS)).get_current_head() == SCHEMA_VERSION


async def test_an_empty_database_is_migrated_and_then_current(empty_url: str) -> None:
    assert (await check(empty_url)).state is SchemaState.MISSING
    report = await upgrade(empty_url)
    assert (report.before, report.after, report.changed) == (None, SCHEMA_VERSION, True)
    assert (await check(empty_url)).state is SchemaState.CURRENT
    async with await connect(empty_url) as session, session.transaction():
        found = await session.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'wikimirror'")
        assert {row["tablename"] for row in found} >= TABLES


async def test_migrating_twice_changes_nothing_the_second_time(empty_url: str) -> None:
    await upgrade(empty_url)
    assert not (await upgrade(empty_url)).changed


async def test_of_two_migrations_at_once_one_waits_and_finds_nothing_to_do(empty_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_url) for _ in range(3)))
    async with await connect(empty_url) as session, session.transaction():
        assert await session.fetchval("SELECT count(*) FROM schema_version") == 1


@pytest.mark.parametrize("name", ["Wiki Mirror-1", 'quo"te', "select", "ünï", "100%s :x"])
async def test_the_schema_may_bear_any_name(empty_url: str, name: str) -> None:
    await upgrade(empty_url, name)
    assert (await check(empty_url, name)).state is SchemaState.CURRENT
    assert (await check(empty_url)).state is SchemaState.MISSING
    async with await connect(empty_url, schema=name) as session, session.transaction():
        await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
        assert await session.fetchval("SELECT ensure_change_partitions('2026-01-31', '2026-02-01')") == 2
        assert not await session.fetch("SELECT * FROM correction_chain_breaks()")
        assert not await session.fetch("SELECT * FROM page_as_of('testwiki', 1, now())")


async def test_two_schemas_live_side_by_side(empty_url: str) -> None:
    await upgrade(empty_url, "one")
    await upgrade(empty_url, "two")
    async with await connect(empty_url, schema="one") as session, session.transaction():
        await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
    async with await connect(empty_url, schema="two") as session, session.transaction():
        assert await session.fetchval("SELECT count(*) FROM page") == 0


@pytest.mark.parametrize("name", ["wikimirror", "Wiki Mirror-1"])
async def test_the_script_for_administrators_runs_through_psql(empty_url: str, name: str) -> None:
    script = sql(name)
    done = subprocess.run(
        [str(find_binaries() / "psql"), "-X", "-q", "-d", empty_url],
        input=script,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (0, "", "")
    assert (await check(empty_url, name)).state is SchemaState.CURRENT
    assert not (await upgrade(empty_url, name)).changed


async def test_the_script_makes_what_the_program_makes(make_database: Callable[..., Awaitable[str]]) -> None:
    dumps = []
    for way in ("program", "script"):
        url = await make_database(empty=True)
        if way == "program":
            await upgrade(url)
        else:
            subprocess.run(
                [str(find_binaries() / "psql"), "-X", "-q", "-d", url],
                input=sql(),
                text=True,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        dump = subprocess.run(
            [str(find_binaries() / "pg_dump"), "-s", "-n", "wikimirror", "-d", url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        dumps.append([line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))])
    assert dumps[0] == dumps[1]


async def test_without_superuser_or_createrole_it_migrates_and_tells_what_was_not_granted(
    empty_url: str, unique_name: Callable[[str], str], run_sql: RunSql
) -> None:
    user, prefix = unique_name("plain"), unique_name("absent")
    await run_sql(empty_url, f"CREATE ROLE {user} LOGIN", f"GRANT CREATE ON DATABASE {_database(empty_url)} TO {user}")
    url = empty_url.replace("postgres@", f"{user}@")
    report = await upgrade(url, role_prefix=prefix)
    assert len(report.notes) == 1
    assert f"{prefix}_writer" in report.notes[0]
    assert "CREATE ROLE" in report.notes[0]
    async with await connect(url) as session, session.transaction():
        await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
        assert await session.fetchval("SELECT ensure_change_partitions('2026-01-31', '2026-01-31')") == 1
    # Once an administrator has made the roles, migrating again grants them their rights.
    await run_sql(
        empty_url, f"CREATE ROLE {prefix}_writer", f"CREATE ROLE {prefix}_reader", f"CREATE ROLE {prefix}_auditor"
    )
    again = await upgrade(url, role_prefix=prefix)
    assert (again.notes, again.changed) == ((), False)


async def test_a_role_that_may_create_roles_makes_them_and_hands_the_schema_to_the_owner(
    empty_url: str, unique_name: Callable[[str], str], run_sql: RunSql
) -> None:
    user, prefix = unique_name("maker"), unique_name("mirror")
    await run_sql(
        empty_url, f"CREATE ROLE {user} LOGIN CREATEROLE", f"GRANT CREATE ON DATABASE {_database(empty_url)} TO {user}"
    )
    url = empty_url.replace("postgres@", f"{user}@")
    assert (await upgrade(url, role_prefix=prefix)).notes == ()
    assert not (await upgrade(url, role_prefix=prefix)).changed
    connection = await asyncpg.connect(empty_url)
    owner = await connection.fetchval("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'wikimirror'")
    tables = await connection.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'wikimirror'")
    await connection.close()
    assert owner == f"{prefix}_owner"
    assert [row["tableowner"] for row in tables] == [owner]


async def test_a_schema_that_an_administrator_prepared_needs_no_right_on_the_database(
    empty_url: str, unique_name: Callable[[str], str], run_sql: RunSql
) -> None:
    user = unique_name("tenant")
    await run_sql(empty_url, f"CREATE ROLE {user} LOGIN", f"CREATE SCHEMA prepared AUTHORIZATION {user}")
    url = empty_url.replace("postgres@", f"{user}@")
    await upgrade(url, "prepared")
    async with await connect(url, schema="prepared") as session, session.transaction():
        assert await session.fetchval("SELECT count(*) FROM page") == 0


async def test_without_the_right_to_create_it_is_refused_with_what_to_do_and_nothing_is_changed(
    empty_url: str, unique_name: Callable[[str], str], run_sql: RunSql
) -> None:
    user = unique_name("nobody")
    await run_sql(empty_url, f"CREATE ROLE {user} LOGIN")
    with pytest.raises(DatabaseRefused, match="permission denied") as refused:
        await upgrade(empty_url.replace("postgres@", f"{user}@"))
    assert "GRANT CREATE ON DATABASE" in refused.value.remedy
    assert "--sql" in refused.value.remedy
    assert (await check(empty_url)).state is SchemaState.MISSING


async def test_a_newer_schema_is_refused_and_left_alone(empty_url: str, run_sql: RunSql) -> None:
    await upgrade(empty_url)
    await run_sql(empty_url, "UPDATE wikimirror.schema_version SET version_num = '9999'")
    assert (await check(empty_url)).state is SchemaState.AHEAD
    with pytest.raises(DatabaseRefused, match="newer") as refused:
        await upgrade(empty_url)
    assert "newer" in refused.value.remedy
    with pytest.raises(DatabaseRefused, match="version 9999, newer"):
        await connect(empty_url)


async def test_an_older_schema_is_told_to_be_migrated(empty_url: str, run_sql: RunSql) -> None:
    await upgrade(empty_url)
    await run_sql(empty_url, "UPDATE wikimirror.schema_version SET version_num = '0000'")
    assert (await check(empty_url)).state is SchemaState.BEHIND
    with pytest.raises(DatabaseRefused, match="older") as refused:
        await connect(empty_url)
    assert "wikimirror migrate" in refused.value.remedy


@pytest.fixture
async def first_url(empty_url: str, run_sql: RunSql) -> str:
    """A database as the program of the first migration left it, with rows in its books."""
    with pytest.MonkeyPatch.context() as then:
        then.setattr(migrate, "SCHEMA_VERSION", "0001")
        then.setattr(roles, "GRANTS", {})
        report = await upgrade(empty_url)
    assert (report.before, report.after) == (None, "0001")
    await run_sql(
        empty_url,
        "INSERT INTO wikimirror.checkpoint VALUES ('live', 'topic', 0, 41, 3, 'a writer of old', '2026-01-01Z')",
        "INSERT INTO wikimirror.gap (source, topic, partition, reason) VALUES ('live', 'topic', 0, 'retention')",
        "INSERT INTO wikimirror.page (wiki_id, page_id, state, title) VALUES ('testwiki', 1, 'live', 'A title')",
    )
    return empty_url


async def test_a_schema_of_the_first_migration_is_brought_up_with_its_rows(first_url: str) -> None:
    assert (await check(first_url)).found == "0001"
    report = await upgrade(first_url)
    assert (report.before, report.after) == ("0001", SCHEMA_VERSION)
    async with await connect(first_url) as session:
        async with session.transaction():
            assert [tuple(row) for row in await session.fetch("SELECT title FROM page")] == [("A title",)]
            assert [tuple(row) for row in await session.fetch("SELECT topic, closed_at FROM gap")] == [("topic", None)]
            (row,) = await session.fetch("SELECT position, position_time, epoch, writer, updated_at FROM checkpoint")
        assert tuple(row)[:4] == (41, None, 3, "a writer of old")
        assert await take_over(session, Lane("live", "topic", 0), "a new one") == Held(4, 41, 0)
        assert (await acquire(session, "live", "a new one", 60.0)).held


async def test_bringing_it_up_waits_for_a_writer_in_flight_and_no_longer_than_it_may(first_url: str) -> None:
    writer = await asyncpg.connect(first_url)
    await writer.execute("BEGIN; UPDATE wikimirror.checkpoint SET position = 42")
    with pytest.raises(DatabaseUnavailable, match="holds a lock"):
        await upgrade(first_url, lock_timeout=0.05)
    assert (await check(first_url)).found == "0001"
    await writer.execute("COMMIT")
    await writer.close()
    assert (await upgrade(first_url)).changed


async def test_bringing_it_up_grants_the_roles_what_is_new(first_url: str) -> None:
    await upgrade(first_url)
    connection = await asyncpg.connect(first_url)
    asked = "SELECT has_table_privilege($1, $2, $3)"
    granted = {
        table: [
            [
                right
                for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
                if await connection.fetchval(asked, role, f"wikimirror.{table}", right)
            ]
            for role in roles.role_names()[1:]
        ]
        for table in ("lease", "member")
    }
    await connection.close()
    assert granted == {
        "lease": [["SELECT", "INSERT", "UPDATE"], [], ["SELECT"]],
        "member": [["SELECT", "INSERT", "UPDATE", "DELETE"], [], ["SELECT"]],
    }


async def test_a_held_lock_is_waited_for_only_so_long(empty_url: str) -> None:
    holder = await asyncpg.connect(empty_url)
    await holder.execute("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('wikimirror migrate wikimirror', 0))")
    with pytest.raises(DatabaseUnavailable, match="another migration"):
        await upgrade(empty_url, wait=0.05)
    await holder.execute("ROLLBACK")
    await holder.close()
    assert (await upgrade(empty_url)).changed


async def test_texts_are_compressed_by_lz4_where_the_server_has_it(
    empty_url: str,
) -> None:
    await upgrade(empty_url)
    connection = await asyncpg.connect(empty_url)
    has_lz4 = await connection.fetchval(
        "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    )
    compression = await connection.fetchval(
        "SELECT attcompression::text FROM pg_attribute"
        " WHERE attrelid = 'wikimirror.body'::regclass AND attname = 'text'"
    )
    await connection.close()
    assert compression == ("l" if has_lz4 else "")


def _database(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def test_the_script_names_no_password_and_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PGPASSWORD", "hush")
    assert "hush" not in sql()
