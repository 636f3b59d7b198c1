"""The truth agrees with the log of what the wikis announced, and keeps no secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from wikimirror.rehearsal import Day, TruePage, TrueRevision, Truth
from wikimirror.rehearsal.day import SITES, RunningDay
from wikimirror.rehearsal.streams import instant
from wikimirror.rehearsal.wiki import Bits, PageChanged

Json = dict[str, Any]
Key = tuple[str, int]


class Replayed:
    """What follows from the log alone: each page's last announcement, what is restored, what is hidden."""

    def __init__(self, running: RunningDay) -> None:
        self.last: dict[Key, PageChanged] = {}
        self.readable: dict[Key, set[int]] = {}
        self.hidden: dict[Key, Bits] = {}
        suppressed: set[Key] = set()
        for _, said in running.log:
            page, rev_id = (said.wiki_id, said.page.page_id), said.seen.revision.rev_id
            if not isinstance(said, PageChanged):
                self.hidden[said.wiki_id, rev_id] = said.seen.hidden
                continue
            self.last[page] = said
            if said.kind == "delete":
                self.readable[page] = set()
            elif said.kind == "undelete":
                self.readable[page] = set(said.restored)
                for restored in said.restored if page in suppressed else ():
                    self.hidden.pop((said.wiki_id, restored), None)
            else:
                self.readable.setdefault(page, set()).add(rev_id)
            (suppressed.add if said.suppressed else suppressed.discard)(page)


@pytest.fixture(scope="module")
def replayed(running: RunningDay) -> Replayed:
    return Replayed(running)


def test_each_page_is_as_its_last_announcement_says(day: Day, replayed: Replayed) -> None:
    expected = {}
    for (wiki_id, page_id), said in replayed.last.items():
        is_live = said.kind != "delete"
        expected[wiki_id, page_id] = TruePage(
            wiki_id,
            page_id,
            "live" if is_live else "deleted",
            None if said.suppressed else said.page.title,
            said.page.namespace_id,
            said.page.is_redirect,
            said.seen.revision.rev_id if is_live else None,
            said.seen.revision.at * 1_000_000 if is_live else None,
            None if is_live else said.at * 1_000_000,
            day.truth.pages[wiki_id, page_id].url if is_live else None,
            None,
        )
    assert day.truth.pages == expected


def test_each_revision_is_as_its_last_announcements_say(day: Day, running: RunningDay, replayed: Replayed) -> None:
    expected = {}
    for wiki_id, wiki in running.wikis.items():
        for rev_id, it in wiki.revisions.items():
            hidden = replayed.hidden.get((wiki_id, rev_id), Bits.NONE)
            if rev_id not in replayed.readable[wiki_id, it.page_id]:
                hidden = Bits.EVERYTHING
            text, editor, comment = (not hidden & bit for bit in (Bits.TEXT, Bits.EDITOR, Bits.COMMENT))
            expected[wiki_id, rev_id] = TrueRevision(
                wiki_id,
                rev_id,
                it.page_id,
                it.parent_id,
                it.at * 1_000_000,
                it.editor.name if editor else None,
                it.editor.user_id if editor else None,
                it.comment if comment else None,
                it.is_minor,
                it.content.sha1 if text else None,
                it.content.size if text else None,
                it.content.model if text else None,
                text,
                editor,
                comment,
            )
    assert day.truth.revisions == expected


def test_each_page_is_as_its_last_record_says(day: Day, records: list[Json]) -> None:
    last: dict[Key, Json] = {}
    for record in records:
        if "page_change_kind" in record:
            last[record["wiki_id"], record["page"]["page_id"]] = record
    assert last.keys() == day.truth.pages.keys()
    for key, record in last.items():
        page = day.truth.pages[key]
        is_live = record["changelog_kind"] != "delete"
        is_secret = not is_live and "performer" not in record
        assert page.state == ("live" if is_live else "deleted")
        assert page.title == (None if is_secret else record["page"]["page_title"].replace("_", " "))
        assert page.namespace_id == record["page"]["namespace_id"]
        assert page.is_redirect == record["page"]["is_redirect"]
        assert page.url == (record["meta"]["uri"] if is_live else None)
        assert page.rev_id == (record["revision"]["rev_id"] if is_live else None)
        moment = page.rev_dt if is_live else page.deleted_at
        assert moment is not None
        assert instant(moment // 1_000_000) == (record["revision"]["rev_dt"] if is_live else record["dt"])


def test_parents_are_revisions_of_the_same_wiki_or_none(day: Day) -> None:
    for (wiki_id, rev_id), revision in day.truth.revisions.items():
        assert revision.parent_rev_id is not None
        if revision.parent_rev_id:
            assert revision.parent_rev_id < rev_id
            assert day.truth.revisions[wiki_id, revision.parent_rev_id].page_id == revision.page_id


def test_bodies_are_the_permitted_texts_of_wikis_that_stream_text(day: Day, running: RunningDay) -> None:
    expected = {key for key, it in day.truth.revisions.items() if it.content_visible and SITES[it.wiki_id].has_text}
    assert {(wiki_id, rev_id) for wiki_id, rev_id, _ in day.truth.bodies} == expected
    for (wiki_id, rev_id, form), body in day.truth.bodies.items():
        assert body.text == running.wikis[wiki_id].revisions[rev_id].content.text
        assert len(body.text.encode()) == day.truth.revisions[wiki_id, rev_id].size
        assert form == body.format == ("json" if body.text.startswith("{") else "wikitext")


def test_texts_have_the_sizes_of_real_ones(day: Day) -> None:
    sizes = sorted(len(body.text.encode()) for body in day.truth.bodies.values())
    assert sizes[0] < 400
    assert 300 < sizes[len(sizes) // 2] < 4000
    assert sizes[-1] >= 100_000


def strings_of(truth: Truth) -> Iterator[str]:
    for page in truth.pages.values():
        yield page.title or ""
        yield page.url or ""
        yield unquote(page.url or "")
    for revision in truth.revisions.values():
        yield revision.editor_name or ""
        yield revision.comment or ""
        yield revision.sha1 or ""
    for body in truth.bodies.values():
        yield body.text


@pytest.mark.parametrize("seed", range(1, 6))
def test_no_secret_is_in_any_permitted_value(day_of: Callable[[int], Day], seed: int) -> None:
    truth = day_of(seed).truth
    everything = "\n".join(strings_of(truth))
    assert "" not in truth.forbidden
    assert [secret for secret in truth.forbidden if secret in everything] == []


def test_what_was_removed_is_secret_unless_it_is_permitted_elsewhere(day: Day, running: RunningDay) -> None:
    permitted = {r.editor_name for r in day.truth.revisions.values()} | {
        r.comment for r in day.truth.revisions.values()
    }
    texts = {body.text for body in day.truth.bodies.values()}
    found = {"text": 0, "editor": 0, "comment": 0}
    for (wiki_id, rev_id), revision in day.truth.revisions.items():
        it = running.wikis[wiki_id].revisions[rev_id]
        if not revision.editor_visible and it.editor.name not in permitted:
            assert it.editor.name in day.truth.forbidden
            found["editor"] += 1
        if not revision.comment_visible and it.comment not in {*permitted, ""}:
            assert it.comment in day.truth.forbidden
            found["comment"] += 1
        if not revision.content_visible and it.content.text not in texts and SITES[wiki_id].has_text:
            assert {it.content.text, it.content.token} <= day.truth.forbidden
            found["text"] += 1
    assert min(found.values()) > 10


def test_the_title_of_a_suppressed_page_is_secret(day: Day, running: RunningDay) -> None:
    suppressed = [page for page in day.truth.pages.values() if page.state == "deleted" and page.title is None]
    titles = {running.wikis[page.wiki_id].pages[page.page_id].title for page in suppressed}
    assert titles & day.truth.forbidden
    assert all(page.namespace_id is not None and page.is_redirect is not None for page in suppressed)


def test_every_secret_was_announced(day: Day) -> None:
    arrived = b"\n".join(arrival.value for arrival in day.arrivals if arrival.value is not None).decode()
    marks = [secret for secret in day.truth.forbidden if '"' not in secret and "\n" not in secret]
    announced = [secret for secret in marks if secret in arrived or secret.replace(" ", "_") in arrived]
    assert sorted(announced) == sorted(marks)
