"""A retraction that is set aside hides its page: hidden first, and asked after (P3).

What it took away is not known, so all of the page is deleted by the law, at the time when the record was published. A
reconcile row asks to read the page again. An edit that is clearly later shows the page with that revision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

from wikimirror.mirror.connect import Session
from wikimirror.mirror.dead_letters import SetAside
from wikimirror.model import MICROSECONDS, Change, Clock, Coordinates, Entry, Kind, PageKey, Record, hiding_identity

REASON: Final = "set_aside"
"""Why such a page is to be read again."""
_AHEAD: Final = 24 * 3600 * MICROSECONDS
"""So far our own clock may be behind."""
_ASK: Final = """
INSERT INTO reconcile (wiki_id, page_id, rev_id, reason)
SELECT *, 0, $3 FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING
"""

# One that tells no time is dated by its receipt, anew each time that it is read: it would hide what was shown since.
_HIDDEN_BEFORE: Final = """
SELECT source, topic, partition, "offset"
FROM dead_letter d
JOIN unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bytea[])
    AS u (source, topic, partition, "offset", sha256) USING (source, topic, partition, "offset")
WHERE d.hidden AND d.payload_sha256 = u.sha256
"""


def hiding_of(letter: SetAside) -> Entry | None:
    """The deletion that stands for a retraction which could not be read or written; None where its page is not known.

    It names no revision: later revisions of the page are not refused for its sake. The clock is that of receipt, whose
    instants prove least.
    """
    if not letter.retracts or not letter.wiki_id or not letter.page_id:
        return None
    record = letter.record
    time = record.published if _tells_time(record) else record.received
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


def _tells_time(record: Record) -> bool:
    """Whether it tells when it was published. A producer's clock that is years ahead must not hide all that comes."""
    return 0 < record.published <= record.received + _AHEAD


async def hidden_before(session: Session, letters: Iterable[SetAside]) -> set[Coordinates]:
    """Within the batch's transaction: of the records that tell no time those that have hidden their page."""
    undated = [
        (*letter.record.at, hashlib.sha256(letter.record.value or b"").digest())
        for letter in letters
        if letter.retracts and not _tells_time(letter.record)
    ]
    if not undated:
        return set()
    rows = await session.fetch(_HIDDEN_BEFORE, *(list(column) for column in zip(*undated, strict=True)))
    return {Coordinates(*row) for row in rows}


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
