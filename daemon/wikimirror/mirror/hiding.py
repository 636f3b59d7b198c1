"""A retraction that is set aside hides its page: hidden first, and asked after (P3).

What it took away is not known, so all of the page is deleted by the law, at the time when the record was published. A
reconcile row asks to read the page again. An edit that is clearly later shows the page with that revision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from wikimirror.mirror.connect import Session
from wikimirror.mirror.dead_letters import SetAside
from wikimirror.model import Change, Clock, Entry, Kind, PageKey, hiding_identity

REASON: Final = "set_aside"
"""Why such a page is to be read again."""
_ASK: Final = """
INSERT INTO reconcile (wiki_id, page_id, rev_id, reason)
SELECT *, 0, $3 FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING
"""


def hiding_of(letter: SetAside) -> Entry | None:
    """The deletion that stands for a retraction which could not be read or written; None where its page is not known.

    It names no revision: later revisions of the page are not refused for its sake. The clock is that of receipt, whose
    instants prove least.
    """
    if not letter.retracts or not letter.wiki_id or not letter.page_id:
        return None
    record = letter.record
    time = record.published or record.received
    change = Change(
        identity=hiding_identity(record.at),
        kind=Kind.DELETE,
        clock=Clock.RECEIPT,
        time=time,
        published=time,
        page=PageKey(letter.wiki_id, letter.page_id),
        rev_id=0,
        rev_dt=time,
        suppresses=True,
        text_visible=False,
        editor_visible=False,
        comment_visible=False,
    )
    return Entry(record, change)


async def ask_for(session: Session, pages: Iterable[PageKey]) -> None:
    """Within the batch's transaction: the pages that were hidden so are to be read again."""
    if keys := sorted(set(pages)):
        await session.execute(_ASK, *(list(column) for column in zip(*keys, strict=True)), REASON)


def marked(letters: Iterable[SetAside], hidden: Collection[PageKey]) -> list[SetAside]:
    """The letters, told which of them had their page hidden."""
    return [
        letter._replace(
            hidden=letter.retracts
            and letter.wiki_id is not None
            and letter.page_id is not None
            and PageKey(letter.wiki_id, letter.page_id) in hidden
        )
        for letter in letters
    ]
