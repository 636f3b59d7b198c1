"""The edge that leaves out who edited certain pages, and the truth that a reader behind it can know.

The public service does so for pages on a list, by ES:lib/eventstreams-util.js: a page_change record gets an empty
`performer` and loses `revision.editor` and `prior_state.revision.editor`, while `is_editor_visible` stays true; records
of other streams lose `performer`. There titles are listed; here pages are, so that a move does not end it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

import msgspec

from wikimirror.rehearsal.faults import Page
from wikimirror.rehearsal.simulation import Day
from wikimirror.rehearsal.truth import Truth

_HANDFUL: Final = 5


class _NamedPage(msgspec.Struct, frozen=True, gc=False):
    page_id: int = 0


class _Names(msgspec.Struct, frozen=True, gc=False):
    """What names the page, in records of either schema."""

    wiki_id: str = ""
    page: _NamedPage = _NamedPage()
    database: str = ""
    page_id: int = 0


_NAMES: Final = msgspec.json.Decoder(_Names)


def page_of(value: bytes) -> Page:
    """The page that a record names; ("", 0) if none."""
    named = _NAMES.decode(value)
    return (named.wiki_id, named.page.page_id) if named.wiki_id else (named.database, named.page_id)


def without_editors(value: bytes) -> bytes:
    """A record as the edge sends it for a page on its list. `meta` stays the last field."""
    record: dict[str, Any] = msgspec.json.decode(value)
    meta = record.pop("meta")
    if "page_change_kind" in record:
        # Set even where a suppression has none: the edge's code does not look.
        record["performer"] = {}
        for revision in (record["revision"], record.get("prior_state", {}).get("revision", {})):
            revision.pop("editor", None)
    else:
        record.pop("performer", None)
    return msgspec.json.encode({**record, "meta": meta})


def redacted_truth(truth: Truth, pages: AbstractSet[Page]) -> Truth:
    """What a reader behind the edge can know: revisions of these pages have no editor, nothing else differs."""
    revisions = {
        key: row._replace(editor_name=None, editor_id=None, editor_visible=False)
        if (row.wiki_id, row.page_id) in pages
        else row
        for key, row in truth.revisions.items()
    }
    return replace(truth, revisions=revisions)


def pages_to_redact(day: Day, count: int = _HANDFUL) -> frozenset[Page]:
    """Some pages of a day whose redacted truth is beyond doubt: of those eligible the ones with most revisions.

    Not one of a visibility change, whatever it hid: its record in the visibility stream still says that the editor is
    visible, on another clock than the records that lack the editor. Which of the two stands is then a matter of their
    times (the mirror's law L1), so a truth that knows no times cannot tell. Nor one that was ever deleted: what came
    back of it is withheld until it is read again, so that the comparison would show less.
    """
    unfit = {
        page_of(arrival.value)
        for arrival in day.arrivals
        if arrival.value is not None
        and (b'"visibility"' in arrival.value or b'"changelog_kind":"delete"' in arrival.value)
    }
    revisions = Counter((row.wiki_id, row.page_id) for row in day.truth.revisions.values())
    eligible = revisions.keys() - unfit
    return frozenset(sorted(eligible, key=lambda page: (-revisions[page], page))[:count])
