"""What `explain` looks like to a person at 3 a.m., and its exit codes."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.cli.conftest import Program
from wikimirror.cli import output
from wikimirror.cli.explain import render_explain
from wikimirror.cli.program import program
from wikimirror.mirror.connect import Session
from wikimirror.observe.runbooks import Runbook
from wikimirror.ops.explaining.reports import Cause, ExplainReport, Explanation, WaitsForPerson

NARROW = 80
LOCKS = Explanation(
    source="kafka",
    cause=Cause.LOCKS,
    headline="waits for a lock",
    words="Its writer has waited for a lock in the table page for 42 s. psql (process 1234, role alice, idle in"
    " transaction) holds it, in a transaction open for 5 min.",
    numbers={
        "seconds_behind": 340.0, "records_behind": 12345, "apply_share": 0.92, "inflow_per_second": 10.0,
        "blocked_seconds": 42.0, "blocker_pid": 123456.0, "told_seconds_ago": 3.0, "catch_up_seconds": 7200.0,
    },
    lanes=tuple(f"a.topic[{partition}]" for partition in range(6)),
    lanes_known=12,
    runbook=Runbook.LANE_STALLED,
    next='wikimirror sql "SELECT pid, usename, application_name, client_addr, state, xact_start FROM pg_stat_activity'
    ' WHERE pid = 123456"',
)  # fmt: skip
WELL = Explanation(
    source="live",
    cause=Cause.NONE,
    headline="nothing holds it back",
    words="It is 0.4 s behind its source.",
    numbers={"seconds_behind": 0.4},
    lanes=("a.topic[0]",),
    lanes_known=1,
)
RETRACTIONS = WaitsForPerson(
    what="retractions set aside, 1 of which may still be served",
    count=2,
    by={"kafka": 2},
    oldest=9000.0,
    runbook=Runbook.RETRACTION_SET_ASIDE,
    next="wikimirror dead-letters list --retractions",
)
REPORT = ExplainReport([LOCKS, WELL], [RETRACTIONS], ["95 of 97 connections are in use."])


def told(report: ExplainReport, width: int = NARROW) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    render_explain(report, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_source_is_a_block_of_headline_why_numbers_runbook_and_command() -> None:
    lines = told(REPORT, 140)
    assert lines[: lines.index("")] == [
        "kafka: waits for a lock",
        "  6 of 12 lanes: a.topic[0], a.topic[1], a.topic[2], a.topic[3] and 2 more",
        f"  {LOCKS.words.partition(' transaction open')[0]}",
        "  transaction open for 5 min.",
        "  seconds behind  6 min",
        "  records behind  12,345",
        "  apply           92% of the time",
        "  inflow          10.0 records a second",
        "  blocked         42.0 s",
        "  blocker pid     123456",
        "  told, ago       3.0 s",
        "  catch up        2 h",
        "  Runbook: docs/runbooks/WikimirrorLaneStalled.md",
        f"  Next: {LOCKS.next}",
    ]


def test_then_come_those_that_are_well_then_what_waits_for_a_person_then_notes() -> None:
    lines = told(REPORT)
    assert [line for line in lines if line and not line.startswith("  ")] == [
        "kafka: waits for a lock", "live: nothing holds it back", "Waits for a person",
    ]  # fmt: skip
    start = lines.index("Waits for a person")
    assert lines[start + 1 :] == [
        "  2 retractions set aside, 1 of which may still be served (kafka 2); the oldest",
        "  for 2 h",
        "    Runbook: docs/runbooks/WikimirrorRetractionSetAside.md",
        "    Next: wikimirror dead-letters list --retractions",
        "",
        "  Note: 95 of 97 connections are in use.",
    ]


def test_on_a_narrow_terminal_only_what_is_to_be_copied_is_longer_than_a_line() -> None:
    assert [line for line in told(REPORT) if len(line) > NARROW] == [f"  Next: {LOCKS.next}"]


def test_where_all_is_well_it_says_so() -> None:
    assert told(ExplainReport([WELL]))[-1] == "Nothing is wrong."
    assert "Nothing is wrong." not in told(ExplainReport([WELL], [RETRACTIONS]))
    assert told(ExplainReport([]))[0] == "No source has been read into this mirror yet."


def test_lanes_are_named_where_it_is_about_all_of_them_too() -> None:
    whole = replace(LOCKS, lanes=LOCKS.lanes[:2], lanes_known=2)
    assert told(ExplainReport([whole]))[1] == "  2 lanes, all of them: a.topic[0], a.topic[1]"


def test_what_would_steer_a_terminal_is_not_printed() -> None:
    staged = replace(
        LOCKS, source="ka\x1bfka", headline="\x1b[2J", words="\x1b]0;x\x07", next="\x1b[1m", lanes=("\x1b",)
    )
    waiting = replace(RETRACTIONS, what="\x1b", by={"\x1b": 1}, next="\x1b")
    assert "\x1b" not in "".join(told(ExplainReport([staged], [waiting], ["\x1b"])))


def test_as_json_it_is_all_there(capsys: pytest.CaptureFixture[str]) -> None:
    output.give(REPORT, render_explain, as_json=True)
    document = json.loads(capsys.readouterr().out)
    first = document["explanations"][0]
    assert (first["cause"], first["runbook"]) == ("locks", "WikimirrorLaneStalled")
    assert first["numbers"]["apply_share"] == 0.92
    assert document["waiting"][0]["next"] == "wikimirror dead-letters list --retractions"
    assert document["remarks"] == REPORT.remarks


async def test_the_exit_code_is_0_where_nothing_is_wrong_and_3_where_something_is(
    session: Session, database_url: str, run: Program
) -> None:
    empty = run("explain", "--postgres", database_url)
    assert (empty.code, empty.err) == (0, "")
    async with session.transaction():
        await session.execute("INSERT INTO lease VALUES ('live', 'host/1/aa', 1, now(), now(), now())")
    done = run("explain", "live", "--postgres", database_url)
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("live: nobody reads it\n")
    assert "Runbook: docs/runbooks/WikimirrorOwnerFrozen.md" in done.out
    assert run("explain", "--postgres", database_url, "--json").document["explanations"][0]["cause"] == "nobody"
    assert run("explain", "other", "--postgres", database_url).code == 2


def test_without_postgres_it_explains_that_and_does_not_fail(run: Program) -> None:
    done = run("explain", "--postgres", "postgresql://someone:secret@127.0.0.1:1/nowhere")
    assert (done.code, done.err) == (3, "")
    assert done.out.startswith("all sources: Postgres cannot be read\n")
    assert "Runbook: docs/runbooks/WikimirrorPostgresUnavailable.md" in done.out
    assert "secret" not in done.out


def test_it_is_a_command() -> None:
    assert "explain" in {each.name for each in program.registered_commands}
