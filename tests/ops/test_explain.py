"""`explain` against staged incidents: a real Postgres, a real daemon, a real lock, a frozen process."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.live.cluster import own_cluster
from tests.live.daemon import Daemon
from tests.live.freezing import BETWEEN, freeze
from tests.live.proxy import Proxy
from tests.live.within import Following, following
from tests.live.world import SOURCE, World, a_day, serve
from tests.statements import run
from wikimirror import app
from wikimirror.errors import ConfigurationError
from wikimirror.mirror.activity import read_server
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.facts import read_facts
from wikimirror.observe.runbooks import Runbook
from wikimirror.ops.explaining.look import explain
from wikimirror.ops.explaining.reports import Cause, ExplainReport, Explanation
from wikimirror.settings import Settings

SEED, ACTIONS = 51, 3000
RATE = 100.0
WITHIN = 40.0
"""Seconds within which a daemon has told of what befell it."""
MARK = "a-text-that-stands-in-the-query"


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served


async def told(database_url: str, source: str | None = SOURCE) -> ExplainReport:
    async with await connect(database_url, write=False) as session:
        return await explain(session, source, configured=[SOURCE])


async def until(database_url: str, cause: Cause, words: str = "", daemon: Following | None = None) -> Explanation:
    """What is told first of the source, once that is the cause."""
    async with asyncio.timeout(WITHIN):
        while True:
            found = (await told(database_url)).explanations[0]
            if found.cause is cause and words in found.words:
                return found
            if daemon is not None and daemon.task.done():
                daemon.task.result()
            await asyncio.sleep(0.1)


async def test_a_lock_on_a_table_is_blamed_with_whoever_holds_it_until_it_is_gone(world: World) -> None:
    config = world.config(postgres={"lock_timeout": "1s"}, retry={"longest": "100ms"})
    world.publish(RATE)
    async with following(config) as daemon:
        await daemon.gets_on()
        await until(world.database_url, Cause.NONE, "behind its source", daemon)
        holder = await asyncpg.connect(world.database_url, server_settings={"application_name": "nightly-job"})
        try:
            async with holder.transaction():
                await holder.execute("LOCK TABLE wikimirror.page IN ACCESS EXCLUSIVE MODE")
                await holder.execute(f"SELECT '{MARK}'")
                pid = holder.get_server_pid()
                found = await until(world.database_url, Cause.LOCKS, "nightly-job", daemon)
                assert f"nightly-job (process {pid}, role " in found.words
                assert "idle in transaction) holds it, in a transaction open for" in found.words
                assert "in the table page" in found.words
                assert found.numbers["blocker_pid"] == pid
                assert found.numbers["blocker_open_seconds"] > 0
                assert found.runbook is Runbook.LANE_STALLED
                assert found.next is not None
                assert f"pid = {pid}" in found.next
                report = await told(world.database_url)
                assert report.wrong
                assert MARK not in json.dumps(asdict(report))
        finally:
            await holder.close()
        await daemon.gets_on()
        found = await until(world.database_url, Cause.NONE, "behind its source", daemon)
        assert not (await told(world.database_url)).wrong


async def test_a_lock_on_one_row_is_told_with_its_table(database_url: str, session: Session) -> None:
    async with session.transaction():
        await session.execute("INSERT INTO reconcile (wiki_id, page_id, reason) VALUES ('enwiki', 1, 'unknown_parent')")
    change = "UPDATE reconcile SET opened_at = now() WHERE page_id = 1"
    async with await connect(database_url, application_name="wikimirror host/1/aa") as ours:

        async def write() -> None:
            async with ours.transaction():
                await ours.execute(change)

        async with session.transaction(), asyncio.timeout(WITHIN):
            await session.execute(change)
            writing = asyncio.create_task(write())
            async with await connect(database_url, write=False) as looking:
                while not (seen := await read_server(looking, old_after=0.0)).blockers:
                    await asyncio.sleep(0.01)
        await writing
    (blocked,) = seen.sessions
    (blocker,) = seen.blockers
    assert (blocked.application, blocked.table, blocked.wait_type) == ("wikimirror host/1/aa", "reconcile", "Lock")
    assert blocked.blocked_by == [blocker.pid]
    assert (blocker.state, blocker.blocked_by) == ("idle in transaction", [])
    assert blocker.pid in {each.pid for each in seen.old}


def _configured(url: str) -> Settings:
    return Settings.model_validate({"postgres": {"url": url}})


def test_a_postgres_that_is_gone_is_an_explanation() -> None:
    with own_cluster() as cluster:
        url = asyncio.run(cluster.database("gone"))
        asyncio.run(cluster.end(signal.SIGQUIT))
        report = app.explain(_configured(url), None)
    (found,) = report.explanations
    assert (found.source, found.cause, found.runbook) == (None, Cause.DATABASE, Runbook.POSTGRES_UNAVAILABLE)
    assert "cannot be reached" in found.words
    assert "loses nothing" in found.words
    assert report.wrong


def test_a_wrong_password_is_an_explanation_that_does_not_tell_it(postgres_server: EmbeddedPostgres) -> None:
    right = urlsplit(postgres_server.dsn(tcp=True))
    url = right._replace(netloc=right.netloc.replace(f":{right.password}@", ":wrong-secret@")).geturl()
    (found,) = app.explain(_configured(url), None).explanations
    assert found.cause is Cause.DATABASE
    assert "password" in found.words
    assert "secret" not in json.dumps(asdict(found))


@pytest.mark.parametrize(("frozen", "words"), [(True, "it is frozen"), (False, "it is dead")])
async def test_an_owner_that_is_frozen_or_dead_is_told_once_its_lease_ran_out(
    world: World, *, frozen: bool, words: str
) -> None:
    config = world.config(lease={"duration": "2s"})
    async with Daemon(config) as daemon:
        world.publish(RATE)
        await until(world.database_url, Cause.NONE, "behind its source")
        if frozen:
            await freeze(world.database_url, daemon, BETWEEN)
        else:
            await daemon.kill()
        found = await until(world.database_url, Cause.NOBODY, words)
        assert found.runbook is Runbook.OWNER_FROZEN
        assert f"/{daemon.pid}/" in found.words
        assert "Nobody stands by" in found.words
        assert 0 < found.numbers["lease_ended_seconds_ago"] < WITHIN
        if frozen:
            daemon.wake()
            await until(world.database_url, Cause.NONE)
            assert await daemon.stop() == 0
            await until(world.database_url, Cause.NOBODY, "has left in good order")


async def test_a_source_that_is_away_is_blamed_until_it_is_back(world: World) -> None:
    async with Proxy(world.server.port) as proxy:
        config = world.config(source={"url": f"http://127.0.0.1:{proxy.port}"}, retry={"longest": "100ms"})
        world.publish(RATE)
        async with following(config) as daemon:
            await daemon.gets_on()
            proxy.refusing = True
            proxy.cut()
            found = await until(world.database_url, Cause.SOURCE, "It has waited for the source", daemon)
            assert found.runbook is Runbook.SOURCE_UNAVAILABLE
            assert found.next == f"wikimirror check-source {SOURCE} --for 30s"
            assert found.numbers["waiting_seconds"] > 0
            proxy.refusing = False
            await until(world.database_url, Cause.NONE, "behind its source", daemon)


async def test_only_this_source_is_told_where_one_is_named_and_an_unknown_one_is_a_mistake(
    session: Session,
) -> None:
    async with session.transaction():
        for source in ("first", "second", "replay:7", "capture"):
            await session.execute(
                "INSERT INTO checkpoint (source, topic, partition, position, epoch, updated_at)"
                " VALUES ($1, 't', 0, 5, 1, now())",
                source,
            )
        for source in ("first", "second"):
            await session.execute(
                'INSERT INTO dead_letter (source, topic, partition, "offset", reason) VALUES ($1, $1, 0, 1, $1)', source
            )
    assert [each.source for each in (await explain(session, None)).explanations] == ["first", "second"]
    report = await explain(session, "second")
    assert [each.source for each in report.explanations] == ["second"]
    assert [each.by for each in report.waiting] == [{"second": 1}]
    with pytest.raises(ConfigurationError, match="there is no source third; settings and Postgres know: first, second"):
        await explain(session, "third")
    assert (await explain(session, "third", configured=["third"])).explanations[0].cause is Cause.NOBODY


async def test_tables_that_cannot_be_read_in_time_are_an_explanation(session: Session, database_url: str) -> None:
    async with session.transaction():
        await session.execute("LOCK TABLE lane IN ACCESS EXCLUSIVE MODE")
        report = await told(database_url)
    (found,) = report.explanations
    assert (found.source, found.cause) == (None, Cause.DATABASE)
    assert "55P03" in found.words


@pytest.mark.parametrize("role", ["wikimirror_writer", "wikimirror_auditor"])
async def test_a_role_without_rights_to_statistics_is_told_what_it_may_see_and_that_there_is_more(
    session: Session, postgres_server: EmbeddedPostgres, database_url: str, role: str
) -> None:
    name = f"looker{urlsplit(database_url).path.strip('/')}"
    await run(database_url, f"CREATE ROLE {name} LOGIN PASSWORD 'x'", f"GRANT {role} TO {name}")
    try:
        url = f"postgresql://{name}:x@127.0.0.1:{postgres_server.port}{urlsplit(database_url).path}"
        async with session.transaction():
            await session.execute("SELECT 1")
            async with await connect(url, write=False) as looking:
                server = await read_server(looking, old_after=0.0)
                report = await explain(looking, None)
    finally:
        await run(database_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")
    assert server.hidden >= 1
    assert server.old == []
    assert server.most_wal > 0
    assert server.wal_since_checkpoint is not None
    assert server.size is not None
    assert any("hidden from this role" in each for each in report.remarks)


async def test_facts_tell_what_stands_in_the_tables(session: Session) -> None:
    letter = 'INSERT INTO dead_letter (source, topic, partition, "offset", reason, retracts, hidden) VALUES'
    async with session.transaction():
        for statement in (
            """INSERT INTO lane VALUES ('s', 't', 0, 'h', 'growing', 5, 60, 7, 'Infinity', NULL, NULL,
                '{"apply_share": 0.5, "waiting_for": null}', now())""",
            """INSERT INTO checkpoint (source, topic, partition, position, epoch, writer, updated_at)
                VALUES ('s', 't', 0, 5, 1, 'h/1', now())""",
            "INSERT INTO lease VALUES ('s', 'h', 1, now(), now(), now() + interval '5 seconds')",
            "INSERT INTO gap (source, topic, partition, reason) VALUES ('s', 't', 0, 'x')",
            "INSERT INTO gap (source, topic, partition, reason, closed_at) VALUES ('s', 't', 0, 'y', now())",
            """INSERT INTO replay (source, asked, state, holder, began_at, seen_at)
                VALUES ('s', '{}', 'running', 'h', now(), now())""",
            f"{letter} ('s', 't', 0, 1, 'x', true, true)",
            f"{letter} ('s', 't', 0, 2, 'x', true, false)",
        ):
            await session.execute(statement)
    facts = await read_facts(session)
    (lane,) = facts.lanes
    assert (lane.holder, lane.writer, lane.state, lane.records_behind) == ("h", "h/1", "growing", 7)
    assert lane.catch_up_seconds == float("inf")
    assert lane.evidence["apply_share"] == 0.5
    assert lane.unseen >= 0
    (lease,) = facts.leases
    assert lease.held
    assert 0 < lease.left <= 5
    (letters,) = facts.letters
    assert (letters.total, letters.retracting, letters.shown) == (2, 2, 1)
    assert [each.total for each in facts.gaps] == [1]
    assert [each.source for each in facts.replays] == ["s"]
