from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Program

UNREACHABLE = "postgresql://somebody:hunter2@127.0.0.1:1/db"


async def test_migrate_makes_the_schema_and_then_finds_nothing_to_do(
    run: Program, make_database: Callable[..., Awaitable[str]]
) -> None:
    url = await make_database(empty=True)
    before = run("migrate", "--check", "--json", "--postgres", url)
    assert before.code == 3
    assert before.document["state"] == "missing"

    first = run("migrate", "--json", "--postgres", url)
    assert first.code == 0
    assert first.document["before"] is None
    assert first.document["after"] == before.document["needed"]

    assert run("migrate", "--postgres", url).code == 0
    after = run("migrate", "--check", env={"WIKIMIRROR_POSTGRES__URL": url})
    assert after.code == 0
    assert "current" in after.out


def test_migrate_prints_the_script_without_a_database(run: Program) -> None:
    done = run("migrate", "--sql", "--schema", "somewhere else")
    assert done.code == 0
    assert "CREATE TABLE" in done.out
    assert "somewhere else" in done.out
    assert done.err == ""
    assert run("migrate", "--sql", "--json", "--schema", "somewhere else").document["sql"] == done.out


def test_migrate_asks_which_database_is_meant(run: Program) -> None:
    done = run("migrate", "--json")
    assert done.code == 2
    assert "--postgres URL" in done.document["error"]["remedy"]


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_server_that_is_not_there_fails_with_1_and_tells_no_password(run: Program, json: tuple[str, ...]) -> None:
    done = run("migrate", "--check", "--postgres", UNREACHABLE, *json)
    assert done.code == 1
    assert "127.0.0.1" in done.out + done.err
    assert "hunter2" not in done.out + done.err
    assert "Traceback" not in done.err
    if json:
        assert done.document["error"]["kind"] == "DatabaseUnavailable"


def test_sql_answers_one_query(run: Program, database_url: str) -> None:
    query = "SELECT 1 AS one, NULL AS nothing, 'a[b]' AS brackets, count(*) AS pages FROM page"
    done = run("sql", query, "--json", "--postgres", database_url)
    assert done.code == 0
    assert done.document == {"columns": ["one", "nothing", "brackets", "pages"], "rows": [[1, None, "a[b]", 0]]}
    told = run("sql", "--postgres", database_url, stdin=query)
    assert told.code == 0
    assert "a[b]" in told.out
    assert "1 row" in told.out


def test_sql_writes_nothing_and_says_why(run: Program, database_url: str) -> None:
    for query in (
        "INSERT INTO page (wiki_id, page_id) VALUES ('w', 1)",
        "COMMIT; CREATE TABLE mine (n int)",
        "SELECT no_such_column FROM page",
    ):
        done = run("sql", query, "--json", "--postgres", database_url)
        assert done.code == 1
        assert done.document["error"]["kind"] == "DatabaseRefused"
    assert run("sql", "SELECT count(*) FROM page", "--json", "--postgres", database_url).document["rows"] == [[0]]


def test_strangers_cannot_steer_the_terminal(run: Program, database_url: str) -> None:
    done = run("sql", r"SELECT E'a\x1b[31mb' AS red", "--postgres", database_url)
    assert done.code == 0
    assert "\x1b" not in done.out


def test_sql_without_a_query_opens_psql_read_only_in_the_schema(
    database_url: str, clean_environment: dict[str, str], require_part: Callable[[str, bool, str], None]
) -> None:
    found = shutil.which("psql") is not None and shutil.which("script") is not None
    require_part("psql", found, "apt install postgresql-client bsdutils")
    program = Path(sys.executable).with_name("wikimirror")
    done = subprocess.run(
        ["script", "-qec", f"{program} sql --postgres '{database_url}'", "/dev/null"],
        env={**clean_environment, "PAGER": "cat", "PSQLRC": "/dev/null"},
        input="\\pset pager off\nSELECT current_schema();\nCREATE TABLE mine (n int);\n\\q\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "wikimirror" in done.stdout
    assert "read-only transaction" in done.stdout


def test_the_demo_s_database_says_what_to_do_while_it_is_empty(run: Program, tmp_path: Path) -> None:
    done = run("sql", "SELECT 1", env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.code == 1
    assert "wikimirror demo" in done.err
    assert (tmp_path / "wikimirror" / "demo").is_dir()
