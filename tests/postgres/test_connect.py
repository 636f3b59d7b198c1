"""Connecting to Postgres as people have it, and what a person is told when it cannot be."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from wikimirror.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable, Reaction, WikimirrorError
from wikimirror.mirror import connect as connect_module
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import SchemaState, check, upgrade
from wikimirror.mirror.preflight import mask

RunSql = Callable[..., Awaitable[None]]
DEAD = "127.0.0.1:1"


def tcp(server: EmbeddedPostgres, url: str) -> str:
    """The TCP address of a socket URL's database."""
    return server.dsn(url.partition("?")[0].rpartition("/")[2], tcp=True)


async def test_a_transaction_works_in_the_schema_and_leaves_nothing_in_the_session(session: Session) -> None:
    async with session.transaction():
        assert await session.fetchval("SELECT current_schema()") == "wikimirror"
        assert await session.fetchval("SHOW lock_timeout") == "30s"
        await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
    assert await session.fetchval("SHOW search_path") == '"$user", public'
    assert await session.fetchval("SHOW lock_timeout") == "0"
    async with session.transaction():
        assert await session.fetchval("SELECT count(*) FROM page") == 1


async def test_an_exception_rolls_back_and_the_session_goes_on(session: Session) -> None:
    with pytest.raises(LookupError):  # noqa: PT012  # a transaction is one statement
        async with session.transaction():
            await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
            raise LookupError
    async with session.transaction():
        assert await session.fetchval("SELECT count(*) FROM page") == 0


async def test_cancelling_inside_a_statement_rolls_back_and_the_session_goes_on(session: Session) -> None:
    started = asyncio.Event()

    async def wait_long() -> None:
        async with session.transaction():
            await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
            started.set()
            await session.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(wait_long())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with session.transaction():
        assert await session.fetchval("SELECT count(*) FROM page") == 0


async def test_a_part_that_fails_is_undone_alone(session: Session) -> None:
    async with session.transaction():
        async with session.savepoint():
            await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
        with pytest.raises(asyncpg.CheckViolationError):  # noqa: PT012  # a transaction is one statement
            async with session.savepoint():
                async with session.savepoint():
                    await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 2)")
                await session.execute("INSERT INTO page (wiki_id, page_id, state) VALUES ('testwiki', 3, 'lost')")
        await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 4)")
    async with session.transaction():
        rows = await session.fetch("SELECT page_id FROM page ORDER BY 1")
    assert [row["page_id"] for row in rows] == [1, 4]


async def test_an_error_swallowed_inside_cannot_look_like_a_success(session: Session) -> None:
    with pytest.raises(WikimirrorError, match="ROLLBACK"):  # noqa: PT012  # a transaction is one statement
        async with session.transaction():
            with pytest.raises(asyncpg.CheckViolationError):
                await session.execute("INSERT INTO page (wiki_id, page_id, state) VALUES ('testwiki', 3, 'lost')")


async def test_errors_of_the_environment_say_retry_and_never_quote_a_row(database_url: str) -> None:
    limits = Limits(lock=0.05)
    async with await connect(database_url) as holder, await connect(database_url, limits=limits) as waiter:
        async with holder.transaction():
            await holder.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
            with pytest.raises(DatabaseUnavailable, match="55P03") as told:
                async with waiter.transaction():
                    await waiter.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
        assert told.value.reaction is Reaction.RETRY
        with pytest.raises(asyncpg.UniqueViolationError) as violated:
            async with waiter.transaction():
                await waiter.execute(
                    "INSERT INTO page (wiki_id, page_id, title) VALUES ('testwiki', 1, 'a secret title')"
                )
        assert violated.value.detail is None
        assert "testwiki" not in str(violated.value)
        assert "secret" not in str(violated.value)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("INSERT INTO page (wiki_id, page_id, title) VALUES ('testwiki', 1, $1)", "a secret\x00title"),
        ("INSERT INTO page (wiki_id, page_id, title) VALUES ('testwiki', 1, $1)", "a secret\ud800title"),
        ("INSERT INTO page (wiki_id, page_id, registers) VALUES ('testwiki', 1, $1)", "not json, a secret"),
        ("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', $1)", "a secret that is no number"),
        ("INSERT INTO page (wiki_id, page_id, namespace_id) VALUES ('testwiki', 1, $1)", 2**40),
        ("SELECT $1::text::bigint", "a secret"),
    ],
)
async def test_a_bad_value_is_an_error_about_data_that_does_not_quote_it(
    session: Session, statement: str, value: object
) -> None:
    with pytest.raises((asyncpg.PostgresError, ValueError, OverflowError)) as told:
        async with session.transaction():
            await session.execute(statement, value)
    assert "secret" not in f"{told.value}"
    assert str(2**40) not in f"{told.value}"
    async with session.transaction():
        assert await session.fetchval("SELECT 1") == 1


async def test_a_connection_that_the_server_ends_is_unavailable(database_url: str) -> None:
    async with await connect(database_url) as victim, await connect(database_url) as other:
        pid = victim.connection.get_server_pid()
        with pytest.raises(DatabaseUnavailable):  # noqa: PT012  # a transaction is one statement
            async with victim.transaction():
                await other.execute("SELECT pg_terminate_backend($1)", pid)
                await victim.execute("SELECT pg_sleep(60)")
        with pytest.raises(DatabaseUnavailable):
            async with victim.transaction():
                pass


async def test_trouble_of_the_callers_own_is_not_blamed_on_the_database(session: Session) -> None:
    with pytest.raises(FileNotFoundError):
        async with session.transaction():
            raise FileNotFoundError


async def test_a_writer_that_froze_in_a_transaction_is_ended_by_the_server(database_url: str) -> None:
    async with await connect(database_url, limits=Limits(idle=0.05)) as frozen, await connect(database_url) as other:
        with pytest.raises(DatabaseUnavailable):  # noqa: PT012  # a transaction is one statement
            async with frozen.transaction():
                await frozen.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
                # Waits for the frozen one's row, which only its end sets free.
                async with other.transaction():
                    await other.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
                await frozen.execute("SELECT 1")


@pytest.mark.parametrize(
    "url", [f"postgresql://someone:hush@{DEAD}/db", f"postgresql://someone:hush@{DEAD},127.0.0.1:2/db"]
)
async def test_a_server_that_cannot_be_reached_is_unavailable_and_the_password_stays_secret(url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot be reached") as told:
        await connect(url)
    assert "hush" not in f"{told.value}{told.value.remedy}{told.value.__cause__}"
    assert "someone:***@" in str(told.value)


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DatabaseUnavailable):
            await connect(f"postgresql://postgres@127.0.0.1:{port}/db?sslmode=disable", limits=Limits(connect=0.2))


async def test_a_wrong_password_is_refused_with_where_to_look(
    postgres_server: EmbeddedPostgres, database_url: str, tmp_path: Path
) -> None:
    url = tcp(postgres_server, database_url)
    password = url.partition("@")[0].rpartition(":")[2]
    wrong = url.replace(password, "hush")
    with pytest.raises(DatabaseRefused, match="28P01") as told:
        await connect(wrong)
    assert "password" in told.value.remedy
    assert "hush" not in f"{told.value}{told.value.remedy}"
    file = tmp_path / "password"
    file.write_text(f"{password}\n")
    async with await connect(wrong, password_file=file) as session, session.transaction():
        assert await session.fetchval("SELECT 1") == 1


async def test_a_password_file_that_cannot_be_read_is_a_fault_of_configuration(
    database_url: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="password file"):
        await connect(database_url, password_file=tmp_path / "absent")


async def test_an_unknown_database_is_refused(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(DatabaseRefused, match="3D000") as told:
        await connect(postgres_server.dsn("absent"))
    assert "Create the database" in told.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "mysql://a:hush@h/db",
        "postgresql://a:hush@h:port/db",
        "postgresql://h1:1,h2:x/db",
        "postgresql://h/db?sslmode=maybe",
        "",
        "x",
    ],
)
async def test_a_url_that_cannot_be_used_is_a_fault_of_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        await connect(url)
    assert "hush" not in f"{told.value}{told.value.remedy}"


async def test_a_database_without_the_schema_is_told_to_be_migrated(
    make_database: Callable[..., Awaitable[str]],
) -> None:
    with pytest.raises(DatabaseRefused, match="no schema wikimirror") as told:
        await connect(await make_database(empty=True))
    assert "wikimirror migrate" in told.value.remedy


async def test_a_database_in_another_encoding_is_refused(postgres_server: EmbeddedPostgres, run_sql: RunSql) -> None:
    await run_sql(postgres_server.dsn(), "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(DatabaseRefused, match="LATIN1") as told:
        await connect(postgres_server.dsn("latin"))
    assert "UTF8" in told.value.remedy
    await run_sql(postgres_server.dsn(), "DROP DATABASE latin")


async def test_a_server_newer_than_any_tried_is_used_with_a_warning(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connect_module, "NEWEST_SERVER", 14)
    with caplog.at_level(logging.WARNING):
        await (await connect(database_url)).close()
    assert "newer than any" in caplog.text


async def test_a_role_that_only_reads_by_default_is_refused_for_writing(
    database_url: str, run_sql: RunSql, unique_name: Callable[[str], str]
) -> None:
    user = unique_name("timid")
    await run_sql(
        database_url, f"CREATE ROLE {user} LOGIN", f"GRANT wikimirror_writer TO {user}",
        f"ALTER ROLE {user} SET default_transaction_read_only = on",
    )  # fmt: skip
    url = database_url.replace("postgres@", f"{user}@")
    with pytest.raises(DatabaseRefused, match="default_transaction_read_only") as told:
        await connect(url)
    assert "ALTER ROLE" in told.value.remedy
    async with await connect(url, write=False) as session, session.transaction():
        assert await session.fetch("SELECT title FROM page") == []


async def test_reading_sessions_cannot_write(database_url: str) -> None:
    async with await connect(database_url, write=False) as session:
        with pytest.raises(DatabaseRefused, match="25006"):
            async with session.transaction():
                await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")


async def test_a_standby_is_refused_for_writing_passed_over_in_a_list_and_good_for_reading(
    postgres_server: EmbeddedPostgres, database_url: str, standby_url: str
) -> None:
    database = database_url.partition("?")[0].rpartition("/")[2]
    alone = standby_url.replace("/postgres?", f"/{database}?")
    with pytest.raises(DatabaseRefused, match="standby") as told:
        await connect(alone)
    assert "primary" in told.value.remedy
    async with await connect(alone, write=False) as session, session.transaction():
        assert await session.fetch("SELECT title FROM page") == []
    assert (await check(alone)).state is SchemaState.CURRENT

    def hosts(*urls: str) -> str:
        sockets = [url.partition("host=")[2].split("&port=") for url in urls]
        return (
            f"postgresql://postgres@/{database}?host={','.join(host for host, _ in sockets)}"
            f"&port={','.join(port for _, port in sockets)}"
        )

    async with await connect(hosts(standby_url, postgres_server.dsn())) as session, session.transaction():
        await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 1)")
    # Of several hosts one may be promoted at any moment: that is waited for.
    with pytest.raises(DatabaseUnavailable, match="none of the hosts"):
        await connect(hosts(standby_url, standby_url))
    prefer = hosts(postgres_server.dsn(), standby_url) + "&target_session_attrs=prefer-standby"
    async with await connect(prefer, write=False) as session:
        assert session.server.standby


async def test_a_dead_first_host_gives_way_to_the_second(postgres_server: EmbeddedPostgres, database_url: str) -> None:
    url = tcp(postgres_server, database_url)
    several = url.replace("@127.0.0.1", f"@{DEAD},127.0.0.1")
    async with await connect(several) as session, session.transaction():
        assert await session.fetchval("SELECT 1") == 1
    assert not (await upgrade(several)).changed


async def test_a_first_host_that_never_answers_gives_way_to_the_second(
    postgres_server: EmbeddedPostgres, database_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        several = tcp(postgres_server, database_url).replace("@127.0.0.1", f"@127.0.0.1:{port},127.0.0.1")
        async with await connect(several, limits=Limits(connect=0.3)) as session, session.transaction():
            assert await session.fetchval("SELECT 1") == 1


async def test_variables_of_libpq_fill_what_the_url_leaves_out(
    postgres_server: EmbeddedPostgres, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", f"/absent,{postgres_server.socket_dir}")
    monkeypatch.setenv("PGPORT", str(postgres_server.port))
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGDATABASE", database_url.partition("?")[0].rpartition("/")[2])
    async with await connect("postgresql://?connect_timeout=5") as session, session.transaction():
        assert await session.fetchval("SELECT current_user") == "postgres"


async def test_the_server_sees_the_programs_name(database_url: str) -> None:
    async with await connect(database_url, application_name="wikimirror lane 3") as session:
        assert await session.fetchval("SHOW application_name") == "wikimirror lane 3"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:pa:ss@h/d", "postgresql://u:***@h/d"),
        (
            "postgres://u:p%40@h1,h2/d?password=x&sslpassword=y&a=1",
            "postgres://u:***@h1,h2/d?password=***&sslpassword=***&a=1",
        ),
        ("see postgresql://u@h/d", "see postgresql://u@h/d"),
        ("postgresql://u:p@ss@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p/w@h/d", "postgresql://u:***@h/d"),
    ],
)
def test_passwords_are_masked_wherever_they_stand(text: str, masked: str) -> None:
    assert mask(text) == masked
