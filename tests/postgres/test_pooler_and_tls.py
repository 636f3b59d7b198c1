"""Behind PgBouncer in transaction mode, and over TLS that is verified in full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import pytest

from wikimirror.errors import DatabaseRefused
from wikimirror.mirror.backlog import read_backlog
from wikimirror.mirror.checkpoints import Held, read_positions, take_over_all
from wikimirror.mirror.connect import connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.leases import Lease, acquire, release, renew
from wikimirror.mirror.ledger import ensure_partitions
from wikimirror.mirror.migrate import SchemaState, check, upgrade
from wikimirror.model import Lane, Position

MakePooler = Callable[..., str]
RunSql = Callable[..., Awaitable[None]]


class Tls(Protocol):
    """The fixture `tls`: who signed the server's certificate, and who did not."""

    authority: Path
    stranger: Path


async def test_everything_works_behind_a_pooler_in_transaction_mode(
    any_server: EmbeddedPostgres, empty_url: str, make_pooler: MakePooler
) -> None:
    name = empty_url.partition("?")[0].rpartition("/")[2]
    url = make_pooler(any_server, name)
    assert (await check(url, "Wiki Mirror-1")).state is SchemaState.MISSING
    assert (await upgrade(url, "Wiki Mirror-1")).changed
    assert not (await upgrade(url, "Wiki Mirror-1")).changed
    # More sessions than the pooler has server connections, so that each transaction may land on another server.
    sessions = [await connect(url, schema="Wiki Mirror-1") for _ in range(8)]
    assert all(session.pooled for session in sessions)

    async def work(number: int) -> None:
        session = sessions[number]
        for turn in range(20):
            async with session.transaction():
                page_id = number * 100 + turn
                await session.execute(
                    "INSERT INTO page (wiki_id, page_id, title) VALUES ($1, $2, $3)", "testwiki", page_id, "T"
                )
                async with session.savepoint():
                    await session.connection.copy_records_to_table(
                        "body",
                        records=[("testwiki", page_id, "wikitext", "text")],
                        columns=["wiki_id", "rev_id", "format", "text"],
                    )
                assert await session.fetchval("SELECT title FROM page WHERE page_id = $1", page_id) == "T"

    await asyncio.gather(*(work(number) for number in range(8)))
    async with sessions[0].transaction():
        assert await sessions[0].fetchval("SELECT count(*) FROM body") == 160
        await sessions[0].execute("SELECT 1")
    assert await sessions[1].fetchval("SHOW search_path") == '"$user", public'
    await asyncio.gather(*(session.close() for session in sessions))


async def test_partitions_are_made_behind_a_pooler(
    postgres_server: EmbeddedPostgres, database_url: str, make_pooler: MakePooler
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with await connect(make_pooler(postgres_server, name)) as session:
        assert await ensure_partitions(session, date(2026, 1, 1), date(2026, 1, 1)) == 1


async def test_leases_and_positions_are_kept_behind_a_pooler(
    any_server: EmbeddedPostgres, empty_url: str, make_pooler: MakePooler
) -> None:
    await upgrade(empty_url)
    lanes = {Lane("live", topic, 0): Position(5, 1_800_000_000_123_456) for topic in ("one", "two")}
    url = make_pooler(any_server, _database(empty_url))
    sessions = [await connect(url) for _ in range(8)]

    async def work(number: int) -> Lease:
        session, name = sessions[number], f"process {number}"
        answer = await acquire(session, "live", name, 3600.0)
        for _ in range(10):
            assert await renew(session, "live", name, 3600.0) is answer.held
            assert await acquire(session, "live", name, 3600.0) == answer
        return answer

    answers = await asyncio.gather(*(work(number) for number in range(8)))
    (winner,) = (number for number, answer in enumerate(answers) if answer.held)
    assert {answer.holder for answer in answers} == {f"process {winner}"}
    held = await take_over_all(sessions[winner], lanes, f"process {winner}")
    assert await read_positions(sessions[winner - 1], lanes, lock=True) == held
    assert held == dict.fromkeys(lanes, Held(1, 5, 1_800_000_000_123_456))
    assert (await read_backlog(sessions[0])).gaps_open == 0
    await release(sessions[winner], "live", f"process {winner}")
    assert (await acquire(sessions[winner - 1], "live", "next", 60.0)).held
    await asyncio.gather(*(session.close() for session in sessions))


async def test_a_pooler_in_session_mode_works(
    postgres_server: EmbeddedPostgres, database_url: str, make_pooler: MakePooler
) -> None:
    url = make_pooler(postgres_server, _database(database_url), "session")
    async with await connect(url) as session, session.transaction():
        assert await session.fetch("SELECT title FROM page") == []


async def test_a_pooler_in_statement_mode_is_refused_by_name(
    postgres_server: EmbeddedPostgres, database_url: str, make_pooler: MakePooler
) -> None:
    with pytest.raises(DatabaseRefused, match="statement") as told:
        await connect(make_pooler(postgres_server, _database(database_url), "statement"))
    assert "transaction pooling" in told.value.remedy


def _database(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


async def test_without_a_pooler_statements_stay_prepared(database_url: str) -> None:
    async with await connect(database_url) as session:
        assert not session.pooled
        for _ in range(2):
            await session.fetchval("SELECT 1 + $1::int", 1)
        # One for the query above, kept; this one asks.
        assert (
            await session.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT 1 +%'")
            == 1
        )


async def test_a_pooler_that_does_not_let_us_in_is_told_as_such(
    postgres_server: EmbeddedPostgres, make_pooler: MakePooler
) -> None:
    url = make_pooler(postgres_server, "postgres")
    with pytest.raises(DatabaseRefused) as told:
        await connect(url.replace("through%20the%20pool", "hush"))
    assert "password" in told.value.remedy
    assert "hush" not in str(told.value)
    with pytest.raises(DatabaseRefused):
        await connect(f"{url}_absent")


@pytest.fixture
async def tls_url(postgres15: EmbeddedPostgres, run_sql: RunSql) -> str:
    """PostgreSQL 15 by the name its certificate bears, without any TLS option."""
    await run_sql(postgres15.dsn(), "DROP DATABASE IF EXISTS over_tls", "CREATE DATABASE over_tls TEMPLATE template0")
    await upgrade(postgres15.dsn("over_tls"))
    return postgres15.dsn("over_tls", tcp=True).replace("127.0.0.1", "localhost")


def verified(url: str, authority: Path) -> str:
    return f"{url}?sslmode=verify-full&sslrootcert={quote(str(authority))}"


async def test_tls_is_verified_in_full_against_the_authority_in_the_url(tls_url: str, tls: Tls) -> None:
    async with await connect(verified(tls_url, tls.authority)) as session:
        assert await session.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


async def test_the_authority_may_come_from_the_environment(
    tls_url: str, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(tls.authority))
    async with await connect(tls_url) as session:
        assert await session.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert (await check(tls_url)).state is SchemaState.CURRENT


async def test_a_certificate_by_a_stranger_is_refused(tls_url: str, tls: Tls) -> None:
    with pytest.raises(DatabaseRefused, match="TLS") as told:
        await connect(verified(tls_url, tls.stranger))
    assert "sslrootcert" in told.value.remedy


async def test_a_certificate_for_another_name_is_refused(tls_url: str, tls: Tls) -> None:
    with pytest.raises(DatabaseRefused, match="TLS") as told:
        await connect(verified(tls_url.replace("localhost", "127.0.0.1"), tls.authority))
    assert "host name" in told.value.remedy


async def test_a_server_without_tls_is_refused_where_it_is_demanded(
    postgres_server: EmbeddedPostgres, tls: Tls
) -> None:
    with pytest.raises(DatabaseRefused, match="offers no TLS"):
        await connect(verified(postgres_server.dsn(tcp=True), tls.authority))
