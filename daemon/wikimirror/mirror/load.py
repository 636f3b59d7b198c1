"""Reading the registers that a batch touches, locked so that no other writer changes them meanwhile (promise P5).

Page rows are locked in key order before any register is read. A page or revision that does not exist yet cannot be
locked: two writers that create the same one collide on its primary key, and the later one does its batch again.
So does a batch that took a stored revision for a new one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from asyncpg import Record

from wikimirror.merge.law import Law
from wikimirror.merge.workspace import Workspace, pages_of, revisions_of, revisions_to_read
from wikimirror.mirror.connect import Session
from wikimirror.mirror.rows import PAGE_COLUMNS, REVISION_COLUMNS, page_state, revision_state
from wikimirror.model import Change, PageKey, RevKey

_PAGES: Final = f"""
SELECT {", ".join(f"p.{column}" for column in PAGE_COLUMNS)}
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS k (wiki_id, page_id, number)
JOIN page p ON p.wiki_id = k.wiki_id AND p.page_id = k.page_id
ORDER BY k.number
FOR UPDATE OF p
"""  # noqa: S608  # constants only
_REVISION = f"""{", ".join(f"r.{column}" for column in REVISION_COLUMNS)},
    (SELECT array_agg(b.format) FROM body b WHERE b.wiki_id = r.wiki_id AND b.rev_id = r.rev_id)"""  # noqa: S608
_REVISIONS: Final = f"""
SELECT {_REVISION}
FROM unnest($1::text[], $2::bigint[]) AS k (wiki_id, rev_id)
JOIN revision r ON r.wiki_id = k.wiki_id AND r.rev_id = k.rev_id
"""  # noqa: S608
_WITH_REGISTERS: Final = f"""
SELECT {_REVISION}
FROM unnest($1::text[], $2::bigint[]) AS k (wiki_id, page_id)
JOIN revision r ON r.wiki_id = k.wiki_id AND r.page_id = k.page_id AND r.registers IS NOT NULL
UNION ALL
SELECT {_REVISION}
FROM unnest($1::text[], $2::bigint[]) AS k (wiki_id, page_id)
JOIN revision_page n ON n.wiki_id = k.wiki_id AND n.page_id = k.page_id
JOIN revision r ON r.wiki_id = n.wiki_id AND r.rev_id = n.rev_id AND r.page_id <> n.page_id
"""  # noqa: S608
_MERGED: Final = """
SELECT DISTINCT n.wiki_id, n.rev_id
FROM unnest($1::text[], $2::bigint[]) AS k (wiki_id, rev_id)
JOIN revision_page n ON n.wiki_id = k.wiki_id AND n.rev_id = k.rev_id
"""
_EXISTING: Final = """
SELECT r.wiki_id, r.rev_id
FROM unnest($1::text[], $2::bigint[]) AS k (wiki_id, rev_id)
JOIN revision r ON r.wiki_id = k.wiki_id AND r.rev_id = k.rev_id
"""


_HINTS: Final = """
SELECT EXISTS (SELECT FROM revision_page),
    EXISTS (SELECT FROM reconcile WHERE reason = 'unknown_parent'),
    (SELECT true FROM body ORDER BY wiki_id, rev_id, format LIMIT 1) IS NOT NULL
"""
# The last is asked of the index: at the head of the table may lie many that were deleted.


class Hints(NamedTuple):
    """Whether rare rows exist at all: most batches need not look for theirs. Read under the batch's page locks."""

    merged: bool
    unknown_parents: bool
    texts: bool


async def read_hints(session: Session) -> Hints:
    """One cheap look for a whole batch."""
    row = await session.fetchrow(_HINTS)
    assert row is not None  # noqa: S101  # a SELECT without FROM has one row
    return Hints(*row)


async def open_workspace(session: Session, changes: Sequence[Change], law: Law, *, guess: bool) -> Workspace:
    """The registers of all that `changes` name, their pages locked.

    `guess`: revisions that are new as a rule are not looked for; see `revisions_to_read`.
    """
    workspace = Workspace(law, {}, {})
    await _load_pages(session, workspace, pages_of(changes))
    keys = revisions_to_read(changes, workspace.pages) if guess else revisions_of(changes)
    await _load_revisions(session, workspace, keys)
    while await _load_extra_pages(session, workspace):
        # Read before their other pages were locked, they may have been altered by a writer that held those.
        workspace.revisions.clear()
        await _load_revisions(session, workspace, keys)
    return workspace


async def complete_workspace(session: Session, workspace: Workspace, hints: Hints) -> None:
    """After absorbing: whatever else must be settled with the batch."""
    closed = workspace.closed_gates()
    if closed:
        rows = await session.fetch(_WITH_REGISTERS, *_columns(closed))
        _add_revisions(workspace, rows)
    # Where no text is stored none can be superseded but those in hand.
    load, drop = workspace.superseded() if hints.texts else (set[RevKey](), set[RevKey]())
    if drop and hints.merged:
        load |= {RevKey(*row) for row in await session.fetch(_MERGED, *_columns(drop))}
    await _load_revisions(session, workspace, load)
    await _load_extra_pages(session, workspace)


async def missing_revisions(session: Session, keys: Collection[RevKey]) -> set[RevKey]:
    """Those of `keys` that are not in the mirror."""
    if not keys:
        return set()
    return set(keys) - {RevKey(*row) for row in await session.fetch(_EXISTING, *_columns(keys))}


async def _load_pages(session: Session, workspace: Workspace, keys: Iterable[PageKey]) -> None:
    for row in await session.fetch(_PAGES, *_columns(sorted(keys))):
        workspace.add_page(page_state(tuple(row), workspace.law))


async def _load_extra_pages(session: Session, workspace: Workspace) -> bool:
    """Lock the further pages that the revisions in hand were named for. Returns whether there were any."""
    extra = workspace.extra_pages()
    if extra:
        await _load_pages(session, workspace, extra)
        workspace.add_missing_pages(extra)
    return bool(extra)


async def _load_revisions(session: Session, workspace: Workspace, keys: Collection[RevKey]) -> None:
    if keys:
        _add_revisions(workspace, await session.fetch(_REVISIONS, *_columns(sorted(keys))))


def _add_revisions(workspace: Workspace, rows: Sequence[Record]) -> None:
    for row in rows:
        *columns, formats = row
        state = revision_state(columns, formats, workspace.law)
        workspace.revisions.setdefault(state.key, state)


def _columns(keys: Iterable[tuple[str, int]]) -> tuple[list[str], list[int]]:
    pairs = list(keys)
    return [wiki_id for wiki_id, _ in pairs], [number for _, number in pairs]
