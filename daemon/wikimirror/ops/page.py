"""What the mirror knows of one page, for a person: as it is now, and how it came to be so. Reads only."""

from __future__ import annotations

from typing import Any, Final

from wikimirror.errors import WikimirrorError
from wikimirror.mirror.connect import Session
from wikimirror.model import PageKey
from wikimirror.ops.reports import HistoryReport, LedgerRow, PageReport, RevisionRow, WaitingRow

HISTORY_LIMIT: Final = 1000
"""Rows of each kind that a history shows: the newest."""

_PAGE: Final = """
SELECT wiki_id, page_id, state, title, namespace_id, is_redirect, rev_id, rev_dt, deleted_at, url, wikibase_item_id
FROM page WHERE wiki_id = $1 AND page_id = $2
"""
# A live page bears its title alone; of tombstones that bear it the last deleted is meant.
_BY_TITLE: Final = """
SELECT page_id FROM page WHERE wiki_id = $1 AND title = $2
ORDER BY state = 'live' DESC NULLS LAST, deleted_at DESC NULLS LAST LIMIT 1
"""
_REVISION: Final = """
SELECT rev_id, parent_rev_id, rev_dt, editor_name, comment, is_minor, size, sha1, content_visible, editor_visible,
    comment_visible
FROM revision
"""
_BODIES: Final = (
    "SELECT format, length(text) AS characters FROM body WHERE wiki_id = $1 AND rev_id = $2 ORDER BY format"
)
_WAITING: Final = """
SELECT rev_id, reason, opened_at FROM reconcile WHERE wiki_id = $1 AND page_id = $2 ORDER BY rev_id, reason
"""
_ENTRIES: Final = """
SELECT * FROM (
    SELECT published, applied, kind, rev_id, outcome, source, topic, partition, "offset"
    FROM change WHERE wiki_id = $1 AND page_id = $2 ORDER BY published DESC, "offset" DESC LIMIT $3
) AS newest ORDER BY published, "offset"
"""


async def show(session: Session, wiki_id: str, page: int | str) -> PageReport:
    """A page as it is now, by its number or its title. Raises WikimirrorError when the mirror does not have it."""
    async with session.transaction():
        key = await _find(session, wiki_id, page)
        row = await session.fetchrow(_PAGE, *key)
        if row is None:
            raise _unknown(wiki_id, page)
        current, bodies = None, {}
        if row["rev_id"] is not None:
            found = await session.fetchrow(f"{_REVISION} WHERE wiki_id = $1 AND rev_id = $2", wiki_id, row["rev_id"])
            current = None if found is None else RevisionRow(**dict(found))
            texts = await session.fetch(_BODIES, wiki_id, row["rev_id"])
            bodies = {text["format"]: text["characters"] for text in texts}
        waiting = [WaitingRow(**dict(found)) for found in await session.fetch(_WAITING, *key)]
    return PageReport(**dict(row), current=current, bodies=bodies, waiting=waiting)


async def history(session: Session, wiki_id: str, page: int | str) -> HistoryReport:
    """A page's ledger entries, oldest first, and its revisions, newest first."""
    async with session.transaction():
        key = await _find(session, wiki_id, page)
        row = await session.fetchrow(_PAGE, *key)
        if row is None:
            raise _unknown(wiki_id, page)
        entries = [_entry(found) for found in await session.fetch(_ENTRIES, *key, HISTORY_LIMIT)]
        newest_first = f"{_REVISION} WHERE wiki_id = $1 AND page_id = $2 ORDER BY rev_dt DESC, rev_id DESC LIMIT $3"
        revisions = [RevisionRow(**dict(found)) for found in await session.fetch(newest_first, *key, HISTORY_LIMIT)]
    return HistoryReport(wiki_id, key.page_id, row["title"], entries, revisions)


async def _find(session: Session, wiki_id: str, page: int | str) -> PageKey:
    if isinstance(page, int):
        return PageKey(wiki_id, page)
    title = page.replace("_", " ")
    page_id = await session.fetchval(_BY_TITLE, wiki_id, title)
    if page_id is None:
        raise _unknown(wiki_id, page)
    return PageKey(wiki_id, page_id)


def _entry(row: Any) -> LedgerRow:
    return LedgerRow(**dict(row))


def _unknown(wiki_id: str, page: int | str) -> WikimirrorError:
    what = f"number {page}" if isinstance(page, int) else "that title"
    return WikimirrorError(
        f"the mirror has no page with {what} in {wiki_id}",
        remedy="Titles are prefixed (Talk:Rome) and case-sensitive; the wiki is named as in enwiki. A suppressed page "
        "has no title: look it up by its number.",
    )
