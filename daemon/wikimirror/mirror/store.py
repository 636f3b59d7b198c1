"""Writing what a batch settled: a few set-based statements, whatever the batch's size.

New rows go by COPY straight into their tables; changed rows by one UPDATE from an array of rows. Revisions that obey a
page's closed gate and were not loaded are updated where they lie, so that a page of a million of them is no burden.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from wikimirror.merge.gate import NO_TIMES
from wikimirror.merge.page import PageState
from wikimirror.merge.revision import RevisionState
from wikimirror.merge.workspace import Reconcile, Settled
from wikimirror.mirror.connect import Session
from wikimirror.mirror.rows import PAGE_COLUMNS, REVISION_COLUMNS, page_row, revision_row
from wikimirror.model import PageKey, RevKey


def _update(table: str, key: tuple[str, str], columns: Sequence[str]) -> str:
    """UPDATE … FROM unnest(an array of rows): one statement for all of them.

    One array of a composite type costs the driver half of what an array for each column does.
    """
    sets = ", ".join(f"{column} = u.{column}" for column in columns if column not in key)
    where = " AND ".join(f"t.{column} = u.{column}" for column in key)
    return f"UPDATE {table} t SET {sets} FROM unnest($1::{table}_values[]) AS u WHERE {where}"  # noqa: S608  # constants


_UPDATE_PAGES: Final = _update("page", ("wiki_id", "page_id"), PAGE_COLUMNS)
_UPDATE_REVISIONS: Final = _update("revision", ("wiki_id", "rev_id"), REVISION_COLUMNS)
_NAME_PAGES: Final = """
INSERT INTO revision_page (wiki_id, rev_id, page_id)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) ON CONFLICT DO NOTHING
"""
_DROP_FORMATS: Final = """
DELETE FROM body b USING unnest($1::text[], $2::bigint[], $3::text[]) AS k (wiki_id, rev_id, format)
WHERE b.wiki_id = k.wiki_id AND b.rev_id = k.rev_id AND b.format = k.format
"""
_DROP_TEXTS: Final = """
DELETE FROM body b USING unnest($1::text[], $2::bigint[]) AS k (wiki_id, rev_id)
WHERE b.wiki_id = k.wiki_id AND b.rev_id = k.rev_id
"""
_REPLACE_TEXTS: Final = """
INSERT INTO body (wiki_id, rev_id, format, text)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])
ON CONFLICT (wiki_id, rev_id, format) DO UPDATE SET text = excluded.text
"""
_GATES: Final = """
unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
AS g (wiki_id, page_id, action, receipt, processing, rev_id)
"""
_BELOW: Final = "r.stamp_time < CASE r.stamp_clock WHEN 0 THEN g.action WHEN 1 THEN g.receipt ELSE g.processing END"
_CLOSE: Final = f"""
WITH gone AS (
    UPDATE revision r SET editor_name = NULL, editor_id = NULL, comment = NULL, sha1 = NULL, size = NULL,
        content_model = NULL, content_visible = false, editor_visible = false, comment_visible = false
    FROM {_GATES}
    WHERE r.wiki_id = g.wiki_id AND r.page_id = g.page_id AND r.registers IS NULL AND r.content_visible
        AND ({_BELOW} OR r.rev_id <= g.rev_id)
    RETURNING r.wiki_id, r.rev_id, r.page_id, NOT ({_BELOW}) AS unproved
), texts AS (
    DELETE FROM body b USING gone WHERE b.wiki_id = gone.wiki_id AND b.rev_id = gone.rev_id
)
SELECT wiki_id, page_id, count(*), array_remove(array_agg(CASE WHEN unproved THEN rev_id END), NULL)
FROM gone GROUP BY wiki_id, page_id
"""  # noqa: S608
_CLOSE_TEXTS: Final = f"""
WITH gone AS (
    UPDATE revision r SET sha1 = NULL, size = NULL, content_model = NULL
    FROM {_GATES}
    WHERE r.wiki_id = g.wiki_id AND r.page_id = g.page_id AND r.registers IS NULL AND r.content_visible
        AND ({_BELOW} OR r.rev_id < g.rev_id)
    RETURNING r.wiki_id, r.rev_id, r.page_id
), texts AS (
    DELETE FROM body b USING gone WHERE b.wiki_id = gone.wiki_id AND b.rev_id = gone.rev_id
)
SELECT wiki_id, page_id, count(*) FROM gone GROUP BY wiki_id, page_id
"""  # noqa: S608


async def store(session: Session, settled: Settled) -> dict[PageKey, int]:
    """Write it all. Returns, for pages whose gate closed, how many stored revisions lost something."""
    await _store_pages(session, settled.pages)
    await _store_revisions(session, settled.revisions)
    # After the revisions that were settled one by one: those bear registers now, and are not closed over again.
    touched = await _close_gates(session, settled)
    for revision in settled.revisions:
        if revision.took_something and not revision.is_new:
            key = PageKey(revision.key.wiki_id, revision.page_id)
            touched[key] = touched.get(key, 0) + 1
    await _store_texts(session, settled)
    return touched


async def _close_gates(session: Session, settled: Settled) -> dict[PageKey, int]:
    touched: dict[PageKey, int] = {}
    closed = [(*key, *gate.after, gate.beyond) for key, gate in settled.gates.items()]
    if closed:
        for wiki_id, page_id, count, unproved in await session.fetch(_CLOSE, *_arrays(closed)):
            touched[PageKey(wiki_id, page_id)] = count
            settled.wanted.update(Reconcile(wiki_id, page_id, rev_id, "restored_revision") for rev_id in unproved)
    vacated = [
        (*key, *gate.text_after, gate.text_from)
        for key, gate in settled.gates.items()
        if gate.text_after != NO_TIMES or gate.text_from
    ]
    if vacated:
        for wiki_id, page_id, count in await session.fetch(_CLOSE_TEXTS, *_arrays(vacated)):
            touched[PageKey(wiki_id, page_id)] = touched.get(PageKey(wiki_id, page_id), 0) + count
    return touched


async def _store_pages(session: Session, pages: Iterable[PageState]) -> None:
    new: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for page in pages:
        (new if page.is_new else changed).append(page_row(page))
    if new:
        # In key order, as rows are locked: two writers that create the same pages wait for each other in one order.
        new.sort(key=_key)
        await session.connection.copy_records_to_table("page", records=new, columns=PAGE_COLUMNS)
    if changed:
        await session.execute(_UPDATE_PAGES, changed)


async def _store_revisions(session: Session, revisions: Iterable[RevisionState]) -> None:
    new: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    names: list[tuple[object, ...]] = []
    for revision in revisions:
        (new if revision.is_new else changed).append(revision_row(revision))
        if len(revision.pages) > 1:
            names += [(*revision.key, page_id) for page_id in revision.pages]
    if new:
        new.sort(key=_key)
        await session.connection.copy_records_to_table("revision", records=new, columns=REVISION_COLUMNS)
    if changed:
        await session.execute(_UPDATE_REVISIONS, changed)
    if names:
        await session.execute(_NAME_PAGES, *_arrays(names))


async def _store_texts(session: Session, settled: Settled) -> None:
    dropped: list[tuple[str, int, str]] = []
    new: list[tuple[str, int, str, str]] = []
    replaced: list[tuple[str, int, str, str]] = []
    for revision in settled.revisions:
        if revision.change is not None and not revision.change.bodies:
            continue
        target = new if revision.is_new else replaced
        target += [(*revision.key, format_, text) for format_, text in revision.new_texts()]
        dropped += [(*revision.key, format_) for format_ in revision.dropped]
    if dropped:
        await session.execute(_DROP_FORMATS, *_arrays(dropped))
    if settled.superseded:
        await session.execute(_DROP_TEXTS, *_arrays(settled.superseded))
    if new:
        await session.connection.copy_records_to_table(
            "body", records=new, columns=("wiki_id", "rev_id", "format", "text")
        )
    if replaced:
        await session.execute(_REPLACE_TEXTS, *_arrays(replaced))


def _arrays(rows: Sequence[tuple[object, ...] | PageKey | RevKey]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


_key: Final = itemgetter(0, 1)
