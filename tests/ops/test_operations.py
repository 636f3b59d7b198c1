"""`operations`: who gave which command that writes, and what came of it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from tests.live.program import PROGRAM, wikimirror
from wikimirror.cli.operations import render_operations
from wikimirror.mirror.checkpoints import take_over
from wikimirror.mirror.connect import Session
from wikimirror.mirror.operations import Result, begin_operation, end_operation
from wikimirror.model import Lane, Position
from wikimirror.ops.operations import operations

NOON = 1_795_262_400_000_000
SETTINGS = """
[postgres]
url = "{url}"
[scope]
wikis = ["keptwiki"]
[sources.wiki]
type = "eventstreams"
"""


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> str:
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS.format(url=database_url))
    return str(path)


async def test_every_command_that_writes_is_told_with_who_what_and_what_came_of_it(
    session: Session, config: str
) -> None:
    lane = Lane("wiki", "topic", 0)
    await take_over(session, lane, "writer", start=Position(10, NOON))
    ada = {"WIKIMIRROR_OPERATOR": "ada"}
    await wikimirror("checkpoints", "rewind", "wiki", "--by", "1h", "--dry-run", "--config", config, env=ada)
    await wikimirror("checkpoints", "rewind", "wiki", "--by", "1h", "--yes", "--config", config, env=ada)
    await wikimirror("purge", "--wiki", "keptwiki", "--yes", "--config", config)
    code, report = await wikimirror("operations", "--config", config)
    assert code == 0
    newest, done, dry = report["operations"]
    assert (newest["command"], newest["result"]) == ("purge", "refused")
    assert newest["arguments"] == {"wiki": ["keptwiki"], "yes": True}
    assert newest["who"].endswith(f"@{os.uname().nodename}")
    assert (done["who"], done["command"], done["dry_run"], done["result"]) == (
        "ada",
        "checkpoints rewind",
        False,
        "done",
    )
    assert done["arguments"] == {"source": "wiki", "by": "1h", "yes": True}
    assert done["summary"]["positions"]["topic[0]"]["from"][0] == 10
    assert (dry["dry_run"], dry["result"]) == (True, "done")
    assert all(row["seconds"] >= 0 and row["role"] == "postgres" for row in report["operations"])


async def test_the_newest_come_first_and_no_more_than_asked_for(session: Session) -> None:
    numbers = [
        await begin_operation(session, who="ada", command=command, arguments={}, dry_run=False)
        for command in ("replay", "dead-letters redrive", "dead-letters discard", "dead")
    ]
    found = (await operations(session, limit=3, command=None)).operations
    assert [row.operation_id for row in found] == numbers[:0:-1]
    for name, commands in (("dead-letters", ["dead-letters discard", "dead-letters redrive"]), ("replay", ["replay"])):
        assert [row.command for row in (await operations(session, limit=9, command=name)).operations] == commands


async def test_one_that_is_cut_off_says_so_and_one_that_was_killed_is_still_running(
    session: Session, config: str
) -> None:
    # It waits for a row that is locked here, and is ended there.
    lane = Lane("wiki", "topic", 0)
    await take_over(session, lane, "writer", start=Position(10, NOON))
    for sign in (signal.SIGTERM, signal.SIGKILL):
        async with session.transaction():
            await session.execute("SELECT FROM checkpoint FOR UPDATE")
            process = await asyncio.create_subprocess_exec(
                PROGRAM, "checkpoints", "rewind", "wiki", "--by", "1h", "--yes", "--config", config,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            async with asyncio.timeout(30):
                while not await session.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                    await asyncio.sleep(0.02)
            process.send_signal(sign)
            await process.wait()
    report = await operations(session, limit=9, command=None)
    assert [row.result for row in report.operations] == ["running", "interrupted"]
    assert [row.ended_at is None for row in report.operations] == [True, False]


async def test_a_person_sees_a_row_for_each(session: Session) -> None:
    number = await begin_operation(
        session, who="ada", command="purge", arguments={"wiki": ["enwiki"], "yes": True}, dry_run=True
    )
    await end_operation(session, number, Result.DONE, {"enwiki": {"page": 7}})
    console = Console(file=io.StringIO(), width=200, highlight=False, markup=False, emoji=False)
    render_operations(await operations(session, limit=9, command=None), console)
    assert isinstance(console.file, io.StringIO)
    row = console.file.getvalue().splitlines()[2]
    for part in ("ada", "purge", "yes, wiki enwiki", "done, dry run", "enwiki page 7"):
        assert part in row


async def test_what_is_long_is_told_by_its_sum_and_what_was_not_is_left_out(session: Session) -> None:
    number = await begin_operation(session, who="ada", command="replay", arguments={}, dry_run=False)
    summary = {"records": 1200, "lost": [], "refused": {}, "applied": {"edit": 3, "move": 1}, "letters": [{"id": 1}]}
    await end_operation(session, number, Result.DONE, summary)
    console = Console(file=io.StringIO(), width=200, highlight=False, markup=False, emoji=False)
    render_operations(await operations(session, limit=9, command=None), console)
    assert isinstance(console.file, io.StringIO)
    row = console.file.getvalue().splitlines()[2]
    for part in ("records 1,200", "applied edit 3 + move 1", "letters (1)"):
        assert part in row
    assert "lost" not in row
    assert "refused" not in row


async def test_zero_is_an_argument_and_is_noted(session: Session, config: str) -> None:
    partition = ("--partition", "0", "--page", "0", "--dry-run", "--config", config)
    assert (await wikimirror("dead-letters", "discard", *partition))[0] == 0
    (told,) = (await operations(session, limit=9, command="dead-letters")).operations
    assert told.arguments == {"partition": 0, "page": 0}
