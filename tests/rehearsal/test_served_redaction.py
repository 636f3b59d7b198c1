"""The edge leaves editors out, and the redacted truth is what the mirror's law makes of what is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.rehearsal.served import Json, eventually, serving
from wikimirror.merge.fold import fold
from wikimirror.merge.law import Law
from wikimirror.model import Change, Coordinates, PageKey, Record, RevKey
from wikimirror.rehearsal import Day, Faults, Log, TrueRevision, pages_to_redact, publish, redacted_truth
from wikimirror.rehearsal.redaction import page_of, without_editors
from wikimirror.rehearsal.streams import STREAMS, VISIBILITY
from wikimirror.wire import decode

Page = tuple[str, int]


def values(day: Day) -> Iterator[bytes]:
    return (arrival.value for arrival in day.arrivals if arrival.value is not None)


def page(record: Json) -> Page:
    if "page" in record:
        return record["wiki_id"], record["page"]["page_id"]
    return record["database"], record["page_id"]


def kept(record: Json) -> Json:
    """A record without what the edge may leave out."""
    rest: Json = json.loads(json.dumps(record))
    rest.pop("performer", None)
    for revision in (rest.get("revision", {}), rest.get("prior_state", {}).get("revision", {})):
        revision.pop("editor", None)
    for name in ("topic", "partition", "offset"):
        rest["meta"].pop(name, None)
    return rest


async def served(day: Day, pages: frozenset[Page]) -> tuple[list[Json], int]:
    """All records of a day as a server sends them that redacts these pages, and how many it says it redacted."""
    log = Log()
    await publish(day, log)
    count = sum(1 for _ in values(day))
    async with serving(log, Faults(redacted=pages)) as client, client.stream(",".join(STREAMS)) as stream:
        records = [(await stream.frame()).record for _ in range(count)]
        await eventually(lambda: client.server.counts.records == count)
        return records, client.server.counts.redacted


@pytest.fixture(scope="module")
def pages(day: Day) -> frozenset[Page]:
    return pages_to_redact(day)


async def test_records_of_redacted_pages_lose_their_editors_and_nothing_else(day: Day, pages: frozenset[Page]) -> None:
    records, redacted = await served(day, pages)
    told = Counter[str]()
    for record, value in zip(records, values(day), strict=True):
        was = json.loads(value)
        assert kept(record) == kept(was)
        if page(record) not in pages:
            assert record["meta"].pop("offset") >= 0
            assert {**record, "meta": was["meta"]} == was
            continue
        told[record["page_change_kind"]] += 1
        assert record["performer"] == {}
        assert "editor" not in record["revision"]
        assert record["revision"]["is_editor_visible"] is True
        assert "editor" not in record.get("prior_state", {}).get("revision", {})
        assert "editor" in was["revision"]
    assert redacted == told.total() > 50
    assert told["edit"] > told["create"] > 0


async def test_any_page_can_be_redacted_and_its_visibility_changes_lose_who_made_them(day: Day) -> None:
    every = frozenset(day.truth.pages)
    records, redacted = await served(day, every)
    shown = [record for record in records if record["meta"]["domain"] != "canary"]
    assert redacted == len(shown)
    changes = [record for record in shown if "visibility" in record]
    assert changes
    assert not any("performer" in record for record in changes)
    assert not any("editor" in record["revision"] for record in shown if "revision" in record)


def test_a_suppression_gets_an_empty_performer_as_the_edge_gives_it(day: Day) -> None:
    found = [value for value in values(day) if b'"page_change_kind":"delete"' in value and b'"performer"' not in value]
    assert found
    for value in found:
        record = json.loads(without_editors(value))
        assert record.pop("performer") == {}
        assert record == json.loads(value)
        assert list(json.loads(without_editors(value)))[-1] == "meta"


def test_a_record_of_either_schema_tells_its_page(day: Day) -> None:
    tried = Counter[bool]()
    for value in values(day):
        record = json.loads(value)
        assert page_of(value) == page(record)
        tried[VISIBILITY in record["meta"]["stream"]] += 1
    assert min(tried.values()) > 20
    assert page_of(b'{"meta":{}}') == ("", 0)


# The truth.


def test_in_the_redacted_truth_revisions_of_the_pages_have_no_editor_and_nothing_else_differs(
    day: Day, pages: frozenset[Page]
) -> None:
    truth = redacted_truth(day.truth, pages)
    assert (truth.pages, truth.bodies, truth.forbidden) == (day.truth.pages, day.truth.bodies, day.truth.forbidden)
    assert truth.revisions.keys() == day.truth.revisions.keys()
    changed = 0
    for key, row in truth.revisions.items():
        was = day.truth.revisions[key]
        if (row.wiki_id, row.page_id) in pages:
            assert (row.editor_name, row.editor_id, row.editor_visible) == (None, None, False)
            assert row == was._replace(editor_name=None, editor_id=None, editor_visible=False)
            assert was.editor_visible
            changed += 1
        else:
            assert row == was
    assert changed > 50
    assert redacted_truth(day.truth, frozenset()) == day.truth


@pytest.mark.parametrize("seed", range(1, 6))
def test_pages_to_redact_have_many_revisions_and_were_never_deleted_nor_changed_in_visibility(
    day_of: Callable[[int], Day], seed: int
) -> None:
    day = day_of(seed)
    chosen = pages_to_redact(day)
    assert chosen == pages_to_redact(day)
    assert len(chosen) == 5
    assert pages_to_redact(day, 3) < chosen
    for value in values(day):
        record = json.loads(value)
        if record["meta"]["domain"] != "canary" and page(record) in chosen:
            assert record["page_change_kind"] in {"create", "edit", "move"}
    for each in chosen:
        own = [row for row in day.truth.revisions.values() if (row.wiki_id, row.page_id) == each]
        assert day.truth.pages[each].state == "live"
        assert len(own) >= 5
        assert all(row.editor_visible for row in own)


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_law_makes_the_redacted_truth_of_the_redacted_records(day_of: Callable[[int], Day], seed: int) -> None:
    day = day_of(seed)
    # As many as can be: what holds for all candidates holds for those chosen.
    chosen = pages_to_redact(day, 10_000)
    truth = redacted_truth(day.truth, chosen)
    by_page: dict[Page, list[Change]] = {}
    for offset, value in enumerate(values(day)):
        of = page(json.loads(value))
        if of in chosen:
            change = decode(Record(Coordinates("test", "topic", 0, offset), without_editors(value), 0))
            assert isinstance(change, Change)
            by_page.setdefault(of, []).append(change)
    assert by_page.keys() == chosen
    assert len(chosen) > 40
    for of, changes in by_page.items():
        if len(changes) > 60:
            continue  # the fold is the law's definition, and slow
        mirror = fold(changes, Law(bodies="all"))
        assert mirror.pages[PageKey(*of)].rev_id == truth.pages[of].rev_id
        for key, row in truth.revisions.items():
            if (row.wiki_id, row.page_id) == of:
                assert columns(mirror.revisions[RevKey(*key)]) == columns(row)


def columns(row: TrueRevision | Any) -> tuple[Any, ...]:
    return (
        row.page_id, row.parent_rev_id, row.rev_dt, row.editor_name, row.editor_id, row.comment, row.is_minor, row.sha1,
        row.size, row.content_model, row.content_visible, row.editor_visible, row.comment_visible,
    )  # fmt: skip
