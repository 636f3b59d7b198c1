"""The ledger of changes and the list of what to read again, written with each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from wikimirror.merge.refusals import Refusal
from wikimirror.merge.workspace import Reconcile, Settled, Workspace
from wikimirror.mirror.connect import Session
from wikimirror.mirror.load import Hints, missing_revisions
from wikimirror.model import Change, Entry, Kind, PageKey, RevKey

LEDGER_COLUMNS: Final = (
    "change_id", "wiki_id", "page_id", "rev_id", "kind", "clock", "time", "published", "received", "applied",
    "source", "topic", "partition", "offset", "outcome",
)  # fmt: skip
_KNOWN: Final = """
SELECT change_id FROM change
WHERE change_id = ANY($1) AND published BETWEEN
    timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
    AND timestamptz 'epoch' + $3::bigint * interval '1 microsecond'
"""
_DECIDED: Final = ("refused_after_deletion", "vacated", "restored", "merged", "withheld")
"""Reasons that the registers decide at any time: their rows come and go with each batch."""
_CLOSE_PAGES: Final = """
DELETE FROM reconcile r USING unnest($1::text[], $2::bigint[]) AS k (wiki_id, page_id)
WHERE r.wiki_id = k.wiki_id AND r.page_id = k.page_id AND r.rev_id = 0 AND r.reason = ANY($3)
    AND NOT EXISTS (
        SELECT FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::text[]) AS w (wiki_id, page_id, rev_id, reason)
        WHERE w.wiki_id = r.wiki_id AND w.page_id = r.page_id AND w.rev_id = r.rev_id AND w.reason = r.reason)
"""
_CLOSE_REVISIONS: Final = """
DELETE FROM reconcile r USING unnest($1::text[], $2::bigint[]) AS k (wiki_id, rev_id)
WHERE r.wiki_id = k.wiki_id AND r.rev_id = k.rev_id AND r.rev_id <> 0 AND r.reason = ANY($3)
    AND NOT EXISTS (
        SELECT FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::text[]) AS w (wiki_id, page_id, rev_id, reason)
        WHERE w.wiki_id = r.wiki_id AND w.page_id = r.page_id AND w.rev_id = r.rev_id AND w.reason = r.reason)
"""
_OPEN: Final = """
INSERT INTO reconcile (wiki_id, page_id, rev_id, reason)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) ON CONFLICT DO NOTHING
"""
_ARRIVED: Final = """
DELETE FROM reconcile r USING unnest($1::text[], $2::bigint[]) AS k (wiki_id, rev_id)
WHERE r.reason = 'unknown_parent' AND r.wiki_id = k.wiki_id AND r.rev_id = k.rev_id
"""
_MAKES_A_REVISION: Final = frozenset({Kind.EDIT, Kind.MOVE})


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one change of a batch. A struct, not a tuple: there is one for each change."""

    entry: Entry
    refusal: Refusal | None


async def write_ledger(session: Session, verdicts: list[Verdict], applied: int) -> list[Verdict]:
    """Append each change once. Returns the verdicts, those of changes accepted before as `duplicate`.

    A change that altered something is new: by the law a copy alters nothing. So only refused ones are looked up.
    """
    refused = [v.entry.change for v in verdicts if v.refusal is not None and v.refusal is not Refusal.DUPLICATE]
    known: set[bytes] = set()
    if refused:
        published = [change.published for change in refused]
        found = await session.fetch(_KNOWN, [change.identity for change in refused], min(published), max(published))
        known = {row[0] for row in found}
    final = verdicts
    if known:
        final = [
            Verdict(v.entry, Refusal.DUPLICATE) if v.refusal is not None and v.entry.change.identity in known else v
            for v in verdicts
        ]
    rows = [_ledger_row(v, applied) for v in final if v.refusal is not Refusal.DUPLICATE]
    if rows:
        await session.connection.copy_records_to_table("change", records=rows, columns=LEDGER_COLUMNS)
    return final


async def write_reconcile(
    session: Session, workspace: Workspace, settled: Settled, applied: Sequence[Change], hints: Hints
) -> None:
    """Open the rows that the batch calls for, and close those it answers."""
    wanted = settled.wanted | await _unknown_parents(session, workspace, applied)
    columns = _reconcile_arrays(wanted)
    if settled.settled_pages:
        keys = zip(*settled.settled_pages, strict=True)
        await session.execute(_CLOSE_PAGES, *(list(key) for key in keys), list(_DECIDED), *columns)
    if settled.settled_revisions:
        keys = zip(*settled.settled_revisions, strict=True)
        await session.execute(_CLOSE_REVISIONS, *(list(key) for key in keys), list(_DECIDED), *columns)
    if hints.unknown_parents:
        new = [revision.key for revision in settled.revisions if revision.is_new]
        await session.execute(_ARRIVED, [key.wiki_id for key in new], [key.rev_id for key in new])
    if wanted:
        await session.execute(_OPEN, *columns)


async def _unknown_parents(session: Session, workspace: Workspace, applied: Sequence[Change]) -> set[Reconcile]:
    """Edits of a page that is mirrored already, whose parent never came: a revision was missed between them.

    The first change of a page seen says nothing: a mirror that began in the middle has no older revisions.
    """
    parents: dict[RevKey, PageKey] = {}
    for change in applied:
        if change.parent_rev_id and change.kind in _MAKES_A_REVISION:
            page = workspace.pages[change.page]
            if not page.is_new and not page.knew(change.parent_rev_id):
                key = RevKey(change.page.wiki_id, change.parent_rev_id)
                if key not in workspace.revisions:
                    parents[key] = change.page
    missing = await missing_revisions(session, parents)
    return {Reconcile(*parents[key], key.rev_id, "unknown_parent") for key in missing}


def _reconcile_arrays(rows: set[Reconcile]) -> tuple[list[str], list[int], list[int], list[str]]:
    ordered = sorted(rows)
    return (
        [row.wiki_id for row in ordered],
        [row.page_id for row in ordered],
        [row.rev_id for row in ordered],
        [row.reason for row in ordered],
    )


def _ledger_row(verdict: Verdict, applied: int) -> tuple[object, ...]:
    record, change = verdict.entry
    outcome = "applied" if verdict.refusal is None else verdict.refusal.value
    page, at = change.page, record.at
    return (
        change.identity, page.wiki_id, page.page_id, change.rev_id or None, change.kind, change.clock, change.time,
        change.published, record.received, applied, at.source, at.topic, at.partition, at.offset, outcome,
    )  # fmt: skip
