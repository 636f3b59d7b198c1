"""Changes said briefly, and what is held after them: by the law's definition and by the registers, in any order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

from tests.merge.histories import START
from tests.merge.memory import Tables
from wikimirror.merge.fold import Mirror, fold
from wikimirror.merge.law import Law, PageRow, RevisionRow
from wikimirror.model import MICROSECONDS, Body, Change, Clock, Field, Format, Hidden, Kind, PageKey, RevKey

WIKI = "xxwiki"
_numbers = itertools.count(1)
_ORDERS = 120
KEEP_ALL = Law(bodies="all")

SHOWN = (True, True, True)
HIDDEN = (False, False, False)
UNSTATED = (None, None, None)


def at(seconds: float) -> int:
    """Seconds from the beginning of a test's time, as a change says it."""
    return START + round(seconds * MICROSECONDS)


def say(kind: Kind, rev_id: int, seconds: float, *, clock: Clock = Clock.ACTION, page: int = 1, **said: Any) -> Change:
    """A change that states flags as given and nothing else unless told. Its identity is greater than all before."""
    text, editor, comment = said.pop("flags", UNSTATED)
    time = at(seconds)
    fields = {
        "identity": next(_numbers).to_bytes(16, "big"),
        "published": time,
        "rev_dt": at(0) + rev_id * MICROSECONDS,
        "text_visible": text,
        "editor_visible": editor,
        "comment_visible": comment,
        **said,
    }
    return Change(kind=kind, clock=clock, time=time, page=PageKey(WIKI, page), rev_id=rev_id, **fields)


def content(rev_id: int) -> dict[str, Any]:
    """Everything that can be taken away from a revision."""
    return {
        "editor_name": f"Editor {rev_id}",
        "editor_id": rev_id,
        "comment": f"comment {rev_id}",
        "sha1": f"sha1 {rev_id}",
        "size": rev_id,
        "content_model": "wikitext",
        "bodies": (Body(Format.WIKITEXT, f"text {rev_id}"),),
    }


def state(kind: Kind, rev_id: int, seconds: float, **said: Any) -> Change:
    """A change that states the whole page and its revision, everything visible."""
    page = {"title": "A title", "namespace_id": 0, "is_redirect": False, "url": "https://xx.example/A_title"}
    return say(kind, rev_id, seconds, **{**page, "flags": SHOWN, **content(rev_id), **said})


def edit(rev_id: int, seconds: float | None = None, **said: Any) -> Change:
    """An edit, by default told at the revision's own time."""
    return state(Kind.EDIT, rev_id, rev_id if seconds is None else seconds, **said)


def undelete(rev_id: int, seconds: float, **said: Any) -> Change:
    return state(Kind.UNDELETE, rev_id, seconds, **said)


def update(rev_id: int, seconds: float, **said: Any) -> Change:
    """A restatement without flags, on the processing clock."""
    return state(Kind.UPDATE, rev_id, seconds, **{"clock": Clock.PROCESSING, "flags": UNSTATED, **said})


def delete(rev_id: int, seconds: float, **said: Any) -> Change:
    return say(Kind.DELETE, rev_id, seconds, **{"title": "A title", "namespace_id": 0, "is_redirect": False, **said})


def suppress(rev_id: int, seconds: float, **said: Any) -> Change:
    return say(Kind.DELETE, rev_id, seconds, **{"suppresses": True, "flags": HIDDEN, "namespace_id": 0, **said})


def visibility(rev_id: int, seconds: float, flags: tuple[bool, bool, bool], **said: Any) -> Change:
    """A stub that hides and shows, on the receipt clock."""
    return say(Kind.REVISION_VISIBILITY, rev_id, seconds, **{"clock": Clock.RECEIPT, "flags": flags, **said})


def hides(rev_id: int, *fields: Field) -> dict[str, Any]:
    """What a change says of a neighbour that is hidden."""
    return {"neighbours": (Hidden(rev_id, fields or tuple(Field)),)}


class Held:
    """What is held after some changes: one answer, of the definition and of the registers in every order tried."""

    def __init__(self, *changes: Change, law: Law = KEEP_ALL) -> None:
        self.mirror = fold(changes, law)
        for order in _orders(changes):
            for size in (1, len(order)):
                assert registers_of(order, law, size=size) == self.mirror, [change.kind for change in order]

    def page(self, page_id: int = 1) -> PageRow:
        return self.mirror.pages[PageKey(WIKI, page_id)]

    def revision(self, rev_id: int) -> RevisionRow:
        return self.mirror.revisions[RevKey(WIKI, rev_id)]

    def text(self, rev_id: int) -> str | None:
        return self.mirror.bodies.get((WIKI, rev_id, "wikitext"))

    def fields(self, rev_id: int) -> tuple[bool, bool, bool]:
        """Whether text, editor and comment of a revision are both held and visible; they must agree."""
        row = self.revision(rev_id)
        held = (row.sha1 is not None, row.editor_name is not None, row.comment is not None)
        assert held[0] == (self.text(rev_id) is not None), "sha1 and size go with the text"
        assert held == (row.content_visible, row.editor_visible, row.comment_visible)
        return held


def registers_of(changes: Sequence[Change], law: Law, *, size: int) -> Mirror:
    """The rows that the registers give, batch by batch."""
    tables = Tables(law)
    for start in range(0, len(changes), size):
        tables.apply(changes[start : start + size])
    return tables.mirror()


def _orders(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Every order of a few changes, many of more; each with one change told twice."""
    rng = random.Random(len(changes))
    shuffled = (rng.sample(changes, len(changes)) for _ in range(_ORDERS))
    orders: Iterator[Sequence[Change]] = itertools.permutations(changes) if len(changes) < 6 else shuffled
    for order in orders:
        yield [*order, rng.choice(order)]
