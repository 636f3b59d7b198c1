"""Every command that writes says so, however it ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.daemon import Daemon
from tests.live.program import wikimirror
from tests.live.world import World, a_day, serve
from tests.mirror.lanes import rows
from wikimirror.app.operating import OPERATOR, operating, operator
from wikimirror.app.places import Place
from wikimirror.errors import Refused, SourceRefused
from wikimirror.mirror.connect import Session
from wikimirror.settings import Settings

SEED, ACTIONS = 51, 30
TOLD = "SELECT command, dry_run, result, ended_at IS NULL FROM operation ORDER BY operation_id"


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served


async def test_a_daemon_says_when_it_began_and_ended_and_one_that_is_killed_has_no_end(
    world: World, session: Session
) -> None:
    async with Daemon(world.config()) as daemon:
        await daemon.line("reading")
        assert await rows(session, TOLD) == [("run", False, "running", True)]
        assert await daemon.stop() == 0
    async with Daemon(world.config()) as daemon:
        await daemon.line("reading")
        await daemon.kill()
    assert await rows(session, TOLD) == [("run", False, "done", False), ("run", False, "running", True)]


async def test_a_play_tells_its_files_and_a_migration_its_versions(make_database: Any, tmp_path: Path) -> None:
    capture = tmp_path / "a-capture.ndjson"
    capture.write_text("{}\n", encoding="utf-8")
    url = await make_database(empty=True)
    for arguments in (["migrate"], ["migrate"], ["play", str(capture)]):
        code, _ = await wikimirror(*arguments, "--postgres", url, env={OPERATOR: "somebody"})
        assert code == 0
    code, told = await wikimirror("operations", "--postgres", url)
    assert code == 0
    assert [(each["command"], each["result"], each["who"]) for each in told["operations"]] == [
        ("play", "done", "somebody"),
        ("migrate", "done", "somebody"),
    ]
    assert told["operations"][0]["arguments"] == {"files": ["a-capture.ndjson"]}


@pytest.mark.parametrize(
    ("error", "result"),
    [(Refused("not now"), "refused"), (SourceRefused("no"), "failed"), (ValueError("a text"), "failed")],
)
async def test_how_a_command_failed_is_told_by_kind_and_never_in_words(
    database_url: str, session: Session, error: Exception, result: str
) -> None:
    async def fails() -> None:
        async with operating(Settings(), Place(database_url, embedded=False), "a command", {"empty": ()}) as operation:
            operation.summary["rows"] = 3
            raise error

    with pytest.raises(type(error)):
        await fails()
    ((found, arguments, summary),) = await rows(session, "SELECT result, arguments::text, summary::text FROM operation")
    assert (found, json.loads(arguments)) == (result, {})
    assert json.loads(summary) == {"rows": 3, "error": type(error).__name__}


async def test_an_operation_whose_session_is_cut_off_is_noted_all_the_same(database_url: str, session: Session) -> None:
    place = Place(database_url, embedded=False)
    async with operating(Settings(), place, "a command", {}, dry_run=True), session.transaction():
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1"
        assert await session.fetchval(ended, "wikimirror operation") == 2
    assert await rows(session, TOLD) == [("a command", True, "done", False)]


async def test_one_that_is_paused_in_a_transaction_does_not_keep_its_locks_from_the_daemon(database_url: str) -> None:
    place = Place(database_url, embedded=False)
    async with operating(Settings(), place, "a command", {}) as operation, operation.session.transaction():
        assert await operation.session.fetchval("SHOW idle_in_transaction_session_timeout") == "10s"


def test_who_it_was_is_said_by_the_environment_or_by_user_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OPERATOR, raising=False)
    assert "@" in operator()
    monkeypatch.setenv(OPERATOR, " on call ")
    assert operator() == "on call"
