"""`dead-letters`, as a person gives it: on letters that a real capture left, which a rule of the test's own refused."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cli.conftest import Finished, Program
from tests.ops.letters import NO_PAGES, RULE, said
from tests.statements import run as run_sql
from tests.wire.records import revision
from wikimirror.cli.dead_letter_rendering import question, render_discard, render_letter, render_letters, render_redrive
from wikimirror.mirror.letters import Letter
from wikimirror.ops.letters.reports import (
    DiscardReport,
    LetterReport,
    LettersReport,
    Outcome,
    Redriven,
    RedriveReport,
)

FORBID = f"ALTER TABLE wikimirror.page ADD CONSTRAINT {RULE} CHECK ({NO_PAGES}) NOT VALID"
MEND = f"ALTER TABLE wikimirror.page DROP CONSTRAINT {RULE}"
STEERING = "title \x1b[31m \u202e steering"


class Mirror:
    """A mirror with letters: 0 an edit whose payload is kept, 1 not JSON, 2 a deletion that hid nothing."""

    def __init__(self, run: Program, url: str, capture: Path) -> None:
        self.url, self.capture = url, capture
        self._run = run

    def __call__(self, *arguments: str, stdin: str = "") -> Finished:
        env = {"WIKIMIRROR_POSTGRES__URL": self.url, "WIKIMIRROR_OPERATOR": "ada@night"}
        return self._run("dead-letters", *arguments, env=env, stdin=stdin)

    def json(self, *arguments: str) -> Any:
        return self(*arguments, "--json").document

    def sql(self, statement: str) -> Any:
        done = self._run("sql", statement, "--json", env={"WIKIMIRROR_POSTGRES__URL": self.url})
        return done.document["rows"]

    async def mend(self) -> None:
        await run_sql(self.url, MEND)

    def offsets(self) -> list[int]:
        return sorted(letter["offset"] for letter in self.json("list")["letters"])


@pytest.fixture
async def mirror(run: Program, make_database: Callable[..., Awaitable[str]], tmp_path: Path) -> Mirror:
    url = await make_database()
    await run_sql(url, FORBID)
    capture = tmp_path / "night.ndjson"
    records = [said(900, revision=revision(comment=STEERING)), b"{broken", said(901, kind="delete"), said(1000)]
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
    capture.write_bytes(b"\n".join(lines) + b"\n")
    assert run("play", str(capture), "--postgres", url).code == 0
    return Mirror(run, url, capture)


def number(mirror: Mirror, offset: int) -> str:
    (found,) = (each["dead_letter_id"] for each in mirror.json("list")["letters"] if each["offset"] == offset)
    return str(found)


def test_list_tells_of_each_letter_why_where_and_what_it_is_about(mirror: Mirror) -> None:
    report = mirror.json("list")
    assert report["more"] == 0
    by_offset = {letter["offset"]: letter for letter in report["letters"]}
    assert by_offset.keys() == {0, 1, 2}
    assert by_offset[0]["constraint_name"] == RULE
    assert by_offset[1]["reason"] == "not_json"
    told = mirror("list")
    assert told.code == 0
    for part in ("capture night.ndjson[0]@0", f"SQLSTATE 23514, constraint {RULE}", "xxwiki page 900 revision 5001"):
        assert part in told.out
    assert "NOT hidden" in told.out
    assert [letter["offset"] for letter in mirror.json("list", "--retractions")["letters"]] == [2]
    assert "older ones are not shown" in mirror("list", "--limit", "1").out


def test_show_gives_the_record_on_standard_output_alone_and_without_what_steers_a_terminal(mirror: Mirror) -> None:
    told = mirror("show", number(mirror, 0))
    assert (told.code, told.err) == (0, "")
    _, _, payload = told.out.partition("\n\n")
    assert json.loads(payload)["page"]["page_title"] == "Talk:Page_900"
    assert "\x1b" not in told.out
    assert "\u202e" not in told.out
    assert mirror.json("show", number(mirror, 0))["payload"]["revision"]["comment"] == STEERING
    without = mirror("show", number(mirror, 1))
    assert "--file FILE" in without.out
    assert mirror("show", "77").code == 1


async def test_a_dry_run_tells_of_each_what_redrive_then_does(mirror: Mirror) -> None:
    await mirror.mend()
    again = ("redrive", "--all", "--file", str(mirror.capture))
    tried = mirror(*again, "--dry-run", "--json")
    assert tried.code == 3
    assert mirror.offsets() == [0, 1, 2]
    done = mirror(*again, "--json")
    assert done.code == 3
    assert [each["outcome"] for each in done.document["letters"]] == ["applied", "still_fails", "applied"]
    assert tried.document["letters"] == done.document["letters"]
    assert mirror.offsets() == [1]
    assert mirror.sql("SELECT count(*) FROM page WHERE page_id IN (900, 901)") == [[2]]


async def test_what_cannot_be_had_fails_and_says_how_it_can(mirror: Mirror) -> None:
    done = mirror("redrive", number(mirror, 1))
    assert done.code == 1
    assert "not to be had: no capture is named. Name the files to read: --file CAPTURE." in done.out
    missing = mirror("redrive", number(mirror, 1), "--file", "/nowhere.ndjson", "--json")
    assert missing.document["counts"] == {"unavailable": 1}
    assert "no such file" in missing.document["letters"][0]["why"]


@pytest.mark.parametrize("command", ["redrive", "discard"])
def test_nothing_is_done_to_all_letters_unless_somebody_says_so(mirror: Mirror, command: str) -> None:
    refused = mirror(command, "--json")
    assert refused.code == 1
    assert refused.document["error"]["kind"] == "Refused"
    assert "filter" in refused.document["error"]["remedy"]
    assert mirror.offsets() == [0, 1, 2]


def test_a_discard_shows_what_would_go_and_asks_before(mirror: Mirror) -> None:
    letter = number(mirror, 1)
    assert "1 letter would go" in mirror("discard", letter, "--dry-run").out
    unasked = mirror("discard", letter)
    assert unasked.code == 1
    assert "not_json" in unasked.err
    assert "--yes" in unasked.err
    assert mirror.offsets() == [0, 1, 2]
    done = mirror("discard", letter, "--yes", "--json")
    assert done.code == 0
    assert [each["offset"] for each in done.document["letters"]] == [1]
    assert mirror.offsets() == [0, 2]


def test_a_discard_by_filter_leaves_what_takes_something_away(mirror: Mirror) -> None:
    done = mirror("discard", "--source", "capture", "--yes")
    assert "takes something away stay" in done.out
    assert mirror.offsets() == [2]
    assert mirror("discard", "--source", "capture", "--yes").out.startswith("No letter goes.")
    assert mirror("discard", number(mirror, 2), "--yes").code == 0
    assert mirror.offsets() == []


async def test_who_did_what_is_noted_with_the_trace_of_each_letter_discarded(mirror: Mirror) -> None:
    letter = number(mirror, 1)
    mirror("discard", letter, "--dry-run")
    mirror("discard", letter, "--yes")
    await mirror.mend()
    mirror("redrive", "--wiki", "xxwiki", "--file", str(mirror.capture))
    rows = mirror.sql(
        "SELECT who, command, dry_run, result, arguments, summary FROM operation"
        " WHERE command LIKE 'dead-letters %' ORDER BY operation_id"
    )
    tried, discarded, redriven = rows
    assert {row[0] for row in rows} == {"ada@night"}
    assert [row[1:4] for row in rows] == [
        ["dead-letters discard", True, "done"],
        ["dead-letters discard", False, "done"],
        ["dead-letters redrive", False, "done"],
    ]
    for row in (tried, discarded):
        (trace,) = _parsed(row[5])["letters"]
        assert (trace["id"], trace["at"], trace["reason"]) == (int(letter), "capture night.ndjson[0]@1", "not_json")
        assert len(trace["sha256"]) == 64
    assert _parsed(discarded[4])["letters"] == [int(letter)]
    assert _parsed(redriven[4]) == {"wiki": "xxwiki", "files": [str(mirror.capture)]}
    assert _parsed(redriven[5])["outcomes"] == {"applied": 2}


def _parsed(told: Any) -> Any:
    return json.loads(told) if isinstance(told, str) else told


@pytest.mark.parametrize(
    "arguments",
    [("show", "0x7"), ("show", str(2**63)), ("list", "--limit", "0"), ("redrive", "--page", "-1"), ("discard", "-7")],
)
def test_numbers_that_nothing_has_are_wrong_usage(run: Program, arguments: tuple[str, ...]) -> None:
    assert run("dead-letters", *arguments).code == 2


# How it looks

NIGHT = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)


def letter(letter_id: int = 7, **fields: Any) -> Letter:
    told: dict[str, Any] = {
        "dead_letter_id": letter_id, "source": "wiki", "topic": "eqiad.mediawiki.page_change.v1", "partition": 3,
        "offset": 123456789, "reason": "sqlstate_23514", "sqlstate": "23514", "constraint_name": "page_title",
        "wiki_id": "enwiki", "page_id": 9, "rev_id": 11, "published": NIGHT, "first_seen": NIGHT, "last_seen": NIGHT,
        "seen": 2, "payload_sha256": "ab" * 32, "retracts": False, "hidden": False, "payload_kept": True, **fields,
    }  # fmt: skip
    return Letter(**told)


def drawn(render: Callable[[Any, Console], None], report: Any, width: int = 80) -> str:
    file = io.StringIO()
    render(report, Console(file=file, width=width, highlight=False, markup=False, emoji=False))
    return file.getvalue()


def test_a_letter_fits_a_terminal_of_80_columns() -> None:
    told = drawn(render_letters, LettersReport([letter(), letter(retracts=True, hidden=True)], more=3))
    assert max(map(len, told.splitlines())) <= 80
    assert "wiki eqiad.mediawiki.page_change.v1[3]@123456789" in told
    assert "seen 2 times, 2026-11-21 03:04:05 to 2026-11-21 03:04:05" in told
    assert "takes something away; its page is hidden" in told
    assert "3 older ones are not shown" in told


def test_what_a_role_may_not_know_is_told_as_such() -> None:
    assert "payload not told" in drawn(render_letters, LettersReport([letter(payload_kept=None)], more=0))
    assert "may not read" in drawn(render_letter, LetterReport(letter(), None, "this role may not read it"))


def test_a_dry_run_is_told_in_other_words_than_a_redrive() -> None:
    redriven = [Redriven(7, "wiki t[0]@1", Outcome.APPLIED, "edit")]
    tried = drawn(render_redrive, RedriveReport(dry_run=True, counts={"applied": 1}, letters=redriven, more=0))
    done = drawn(render_redrive, RedriveReport(dry_run=False, counts={"applied": 1}, letters=redriven, more=0))
    assert "would apply 1" in tried
    assert "nothing was written" in tried
    assert "would" not in done
    assert "No such dead letter" in drawn(render_redrive, RedriveReport(dry_run=False, counts={}, letters=[], more=0))
    many = RedriveReport(dry_run=False, counts={"stale": 1500}, letters=redriven * 1200, more=300)
    assert "and 500 more" in drawn(render_redrive, many)


def test_whoever_discards_a_retraction_is_told_what_that_means() -> None:
    plan = DiscardReport(dry_run=False, letters=[letter(), letter(8, retracts=True)], more=4, retracting=2, busy=[5])
    assert question(plan) == (
        "1 of them takes something away, and that will not come again by itself. Discard 2 letters?"
    )
    told = drawn(render_discard, plan)
    for part in ("2 letters discarded", "2 letters that take something away stay", "4 more fit", "being worked on: 5"):
        assert part in told
