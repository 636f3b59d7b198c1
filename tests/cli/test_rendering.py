"""What reports look like to a person. The commands that make them are tried in the other modules."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from wikimirror.cli import output
from wikimirror.cli.rendering import render_demo, render_history, render_page, render_play
from wikimirror.ops.reports import (
    DemoReport,
    Difference,
    Freshness,
    HistoryReport,
    LedgerRow,
    PageReport,
    PlayReport,
    RevisionRow,
    WaitingRow,
)

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
PLAY = PlayReport(
    read=1000,
    ignored={"canary": 4, "null": 1},
    applied={"edit": 800, "create": 100},
    refused={"superseded": 90},
    set_aside={},
    in_flight=5,
    seconds=2.0,
    files=["a.ndjson"],
)
DEMO = DemoReport(
    play=PLAY,
    freshness=Freshness(0.0421, 1.5),
    upstream={"connections ended": 7},
    situations={"moves": 40, "suppressions": 3},
    compared={"page": 120, "revision": 900, "body": 120},
    differences=[],
    waiting={"unknown_parent": 2},
    withholding=1,
    forbidden_found=0,
    look_inside="wikimirror sql",
    seed=7,
)
REVISION = RevisionRow(
    rev_id=2_550_088_642,
    parent_rev_id=None,
    rev_dt=NOON,
    editor_name=None,
    comment="see [[x]] \x1b[2J",
    is_minor=False,
    size=12,
    sha1="abc",
    content_visible=True,
    editor_visible=False,
    comment_visible=True,
)
PAGE = PageReport(
    wiki_id="enwiki",
    page_id=10_000_001,
    state="live",
    title="Talk:[bold]1984[/bold]",
    namespace_id=1,
    is_redirect=False,
    rev_id=REVISION.rev_id,
    rev_dt=NOON,
    deleted_at=None,
    url=None,
    wikibase_item_id=None,
    current=REVISION,
    bodies={"wikitext": 12},
    waiting=[WaitingRow(0, "undelete_into_existing", NOON)],
)


def told(render: object, report: object) -> str:
    console = Console(file=io.StringIO(), width=140, highlight=False, markup=False, emoji=False)
    assert callable(render)
    render(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_record_of_a_play_is_accounted_for() -> None:
    assert PLAY.unaccounted == 0
    assert replace(PLAY, read=1001).unaccounted == 1
    lines = told(render_play, PLAY).splitlines()
    assert lines[:2] == ["a.ndjson", "  records read     1,000 in 2.0 s, 500 a second"]
    assert "  applied          900  (edit 800, create 100)" in lines
    assert "  set aside        0" in lines
    assert lines[-1] == "  unaccounted for  0"


def test_a_demo_without_differences_says_so_and_where_to_look() -> None:
    text = told(render_demo, DEMO)
    assert "  0 differences\n" in text
    assert "  pages that wait for a reconcile row: unknown_parent 2\n" in text
    assert "  0 removed values still in any table\n" in text
    assert "seed 7" in text
    assert text.endswith("Look inside\n  wikimirror sql\n")
    assert not DEMO.differs
    assert DEMO.missing == []


@pytest.mark.parametrize(
    "report",
    [
        replace(DEMO, differences=[Difference("page", "enwiki 1", "title", "A", None)]),
        replace(DEMO, forbidden_found=1),
        replace(DEMO, play=replace(PLAY, read=2000)),
    ],
)
def test_a_difference_a_removed_value_or_a_lost_record_makes_a_demo_differ(report: DemoReport) -> None:
    assert report.differs


def test_a_situation_that_did_not_come_up_is_missing() -> None:
    report = replace(DEMO, situations={"moves": 40, "suppressions": 0})
    assert report.missing == ["suppressions"]
    assert "none!" in told(render_demo, report)


def test_many_differences_are_cut_short_and_counted() -> None:
    differences = [Difference("page", f"enwiki {number}", "title", "A", None) for number in range(50)]
    text = told(render_demo, replace(DEMO, differences=differences))
    assert "50 differences" in text
    assert "enwiki 19" in text
    assert "enwiki 20" not in text
    assert "and 30 more" in text


def test_a_page_shows_what_is_hidden_as_hidden_and_steers_no_terminal() -> None:
    text = told(render_page, PAGE)
    assert "Talk:[bold]1984[/bold]" in text, "markup of a title is not ours to obey"
    assert "(hidden)" in text
    assert "see [[x]]" in text
    assert "\x1b" not in text
    assert "2550088642" in text, "identifiers can be copied"
    assert "undelete_into_existing" in text
    assert "2026-10-01 12:00:00" in text


def test_a_history_tells_ledger_and_revisions() -> None:
    entry = LedgerRow(NOON, NOON, "edit", 3, "applied", "capture", "a.ndjson", 0, 12)
    text = told(render_history, HistoryReport("enwiki", 1, None, [entry], [REVISION]))
    assert "enwiki 1 (no title)" in text
    assert "capture a.ndjson[0]@12" in text


def test_json_is_one_document_with_times_in_iso_8601(capsys: pytest.CaptureFixture[str]) -> None:
    output.give(PAGE, render_page, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["rev_dt"] == "2026-10-01T12:00:00+00:00"
    assert document["current"]["rev_id"] == 2_550_088_642
    assert document["waiting"][0]["reason"] == "undelete_into_existing"
