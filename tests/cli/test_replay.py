"""`replay` and `replays` from the command line: captures into a real Postgres, by a process of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Program
from wikimirror.rehearsal import day_to_ndjson, simulate_day

MIRROR = """
SELECT (SELECT md5(string_agg(p::text, ',' ORDER BY wiki_id, page_id)) FROM page p),
       (SELECT md5(string_agg(r::text, ',' ORDER BY wiki_id, rev_id)) FROM revision r),
       (SELECT md5(string_agg(b::text, ',' ORDER BY wiki_id, rev_id, format)) FROM body b)
"""
COUNTS = {
    "page": "SELECT count(*) FROM page",
    "revision": "SELECT count(*) FROM revision",
    "body": "SELECT count(*) FROM body",
    "change": "SELECT count(*) FROM change",
    "correction": "SELECT count(*) FROM correction",
}
Query = Callable[[str], Any]


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captures") / "day.ndjson"
    path.write_bytes(b"".join(day_to_ndjson(simulate_day(3, 300))))
    return path


@pytest.fixture
def query(run: Program, database_url: str) -> Query:
    def ask(statement: str) -> Any:
        return run("sql", statement, "--json", "--postgres", database_url).document["rows"]

    return ask


def records(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def test_a_capture_is_replayed_whole_told_and_noted(run: Program, day: Path, database_url: str, query: Query) -> None:
    done = run("replay", "--file", str(day), "--rate", "0", "--json", "--postgres", database_url)
    assert done.code == 0, done.err
    report = done.document
    assert (report["source"], report["read"]) == ("capture", records(day))
    told = sum(sum(report[name].values()) for name in ("ignored", "applied", "refused", "set_aside"))
    assert told == report["read"]
    assert report["lanes"][0]["position"] == records(day)
    assert f"wikimirror replay --resume {report['replay_id']}" in done.err

    assert query("SELECT command, dry_run, result, summary ->> 'records' FROM operation") == [
        ["replay", False, "done", str(records(day))]
    ]
    listed = run("replays", "--json", "--postgres", database_url).document["replays"]
    assert [(each["replay_id"], each["state"], each["resumable"]) for each in listed] == [
        (report["replay_id"], "done", False)
    ]
    assert query("SELECT source, position FROM checkpoint") == [[f"replay:{report['replay_id']}", records(day)]]


def test_replaying_again_changes_nothing(run: Program, day: Path, database_url: str, query: Query) -> None:
    assert run("play", str(day), "--postgres", database_url).code == 0
    before = query(MIRROR)
    positions = query("SELECT topic, position, epoch, writer FROM checkpoint WHERE source = 'capture'")
    for start, end in ((0, 100), (50, 200), (50, 200)):
        arguments = ("--file", str(day), "--from", str(start), "--to", str(end), "--rate", "0")
        done = run("replay", *arguments, "--json", "--postgres", database_url)
        assert (done.code, done.document["read"]) == (0, end - start), done.err
        assert done.document["applied"] == {}
    assert query(MIRROR) == before
    assert query("SELECT topic, position, epoch, writer FROM checkpoint WHERE source = 'capture'") == positions


def test_a_dry_run_writes_nothing_and_tells_what_the_replay_then_does(
    run: Program, day: Path, database_url: str, query: Query
) -> None:
    half = str(records(day) // 2)
    first = run("replay", "--file", str(day), "--to", half, "--rate", "0", "--json", "--postgres", database_url)
    assert first.code == 0, first.err
    tables = ("page", "revision", "revision_page", "body", "change", "correction", "reconcile", "dead_letter", "gap",
              "checkpoint", "replay", "replay_lane")  # fmt: skip
    whole = " UNION ALL ".join(
        f"SELECT '{each}', md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {each} t"
        for each in tables
    )
    before, counted = query(whole), {table: query(sql)[0][0] for table, sql in COUNTS.items()}
    arguments = ("--file", str(day), "--from", half, "--rate", "0", "--json", "--postgres", database_url)
    rehearsed = run("replay", *arguments, "--dry-run")
    assert rehearsed.code == 3, "it would change something"
    assert query(whole) == before, "nothing is written"
    assert rehearsed.document["replay_id"] is None
    assert query("SELECT dry_run, result FROM operation ORDER BY operation_id DESC LIMIT 1") == [[True, "done"]]

    real = run("replay", *arguments)
    assert real.code == 0, real.err
    for name in ("read", "ignored", "applied", "refused", "set_aside"):
        assert real.document[name] == rehearsed.document[name]
    told = rehearsed.document["difference"]
    found = {table: query(sql)[0][0] - counted[table] for table, sql in COUNTS.items()}
    assert found == {table: told[table]["inserted"] - told[table]["deleted"] for table in COUNTS}
    assert told["page"]["updated"] > 0

    again = run("replay", *arguments, "--dry-run")
    assert (again.code, again.document["difference"]["page"]) == (0, {"inserted": 0, "updated": 0, "deleted": 0})


def test_it_is_narrowed_by_wiki_page_and_kind(run: Program, day: Path, database_url: str, query: Query) -> None:
    def replayed(*arguments: str) -> Any:
        given = ("--file", str(day), "--rate", "0", *arguments, "--json", "--postgres", database_url)
        done = run("replay", *given)
        assert done.code == 0, done.err
        return done.document

    deletions = replayed("--kind", "delete")
    assert set(deletions["applied"]) == {"delete"}
    assert deletions["ignored"]["filtered"] > 0
    wiki = query("SELECT wiki_id FROM page ORDER BY 1 LIMIT 1")[0][0]
    one = replayed("--wiki", wiki)
    assert set(one["applied"]) >= {"edit"}
    assert query("SELECT DISTINCT wiki_id FROM page WHERE state = 'live'") == [[wiki]]
    everything = "".join(day.read_text().splitlines(keepends=True))
    other = next(
        row["page"]["page_id"]
        for row in map(json.loads, everything.splitlines())
        if row.get("wiki_id") not in {None, wiki} and row.get("page_change_kind") == "create"
    )
    replayed("--page", str(other))
    assert query(f"SELECT DISTINCT page_id FROM page WHERE state = 'live' AND wiki_id <> '{wiki}'") == [[other]]


def test_a_range_is_said_by_instants_too(run: Program, day: Path, database_url: str) -> None:
    lines = [json.loads(line) for line in day.read_text().splitlines()]
    instants = sorted(line["meta"]["dt"] for line in lines if line.get("meta"))
    middle = instants[len(instants) // 2]
    read = 0
    for arguments in (("--from", "0", "--to", middle), ("--from", middle)):
        given = ("--file", str(day), *arguments, "--rate", "0", "--json", "--postgres", database_url)
        done = run("replay", *given)
        assert done.code == 0, done.err
        assert 0 < done.document["read"] < len(lines)
        read += done.document["read"]
    assert read >= len(lines) * 0.9, "what begins at an instant and what ends there are the whole, but for disorder"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--source", "nobody", "--from", "1h"), "there is no source nobody"),
        (("--from", "1h"), "no source is named"),
        (("--source", "wiki"), "where to begin"),
        (("--resume", "7"), "there is no replay 7"),
        (("--resume", "7", "--from", "1"), "--resume"),
        (("--resume", "7", "--dry-run"), "--resume"),
        (("--gap", "7"), "there is no gap 7"),
        (("--file", "no-such-file.ndjson"), "no such file"),
        (("--source", "capture", "--from", "yesterday", "--file", "x"), "neither an offset"),
        (("--source", "capture", "--kind", "deletes", "--file", "x"), "deletes"),
    ],
)
def test_what_cannot_be_replayed_is_told_before_anything_is_done(
    run: Program, database_url: str, query: Query, arguments: tuple[str, ...], said: str
) -> None:
    done = run("replay", *arguments, "--json", "--postgres", database_url)
    assert done.code == 2, done.out
    assert said in done.document["error"]["message"]
    assert query("SELECT count(*) FROM replay") == [[0]]


def test_a_person_reads_what_became_of_it(run: Program, day: Path, database_url: str) -> None:
    assert "There was no replay yet." in run("replays", "--postgres", database_url).out
    rehearsed = run("replay", "--file", str(day), "--rate", "0", "--dry-run", "--postgres", database_url)
    assert "Nothing was written. The replay would change rows:" in rehearsed.out
    done = run("replay", "--file", str(day), "--rate", "0", "--postgres", database_url)
    assert done.code == 0, done.err
    assert f"records read     {records(day):,}" in done.out
    assert "unaccounted for  0\n" in done.out
    listed = run("replays", "--postgres", database_url).out
    assert "capture" in listed
    assert "done" in listed
