"""Corrections: the append-only, hash-chained record of what was taken away, given back or reverted, and how soon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from wikimirror.merge.workspace import Retraction
from wikimirror.mirror.connect import Session
from wikimirror.mirror.ledger import GENESIS, Correction, correction_hash
from wikimirror.model import MICROSECONDS, Record

COLUMNS: Final = (*Correction._fields, "previous_hash", "hash")
# Taken last in a transaction and held to its end, so that numbers and hashes follow each other without a hole.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('wikimirror correction ' || current_schema(), 0))"
_TAIL: Final = "SELECT number, hash FROM correction ORDER BY number DESC LIMIT 1"


class Corrected(NamedTuple):
    """A retraction that was applied: what it was, where it was read, and how many stored revisions lost something."""

    retraction: Retraction
    record: Record
    revisions_touched: int


async def record_corrections(session: Session, corrected: Sequence[Corrected], applied: int) -> None:
    """Append one row each, within the batch's transaction. `applied`: microseconds since the epoch."""
    if not corrected:
        return
    await session.execute(_LOCK)
    tail = await session.fetchrow(_TAIL)
    number, previous = (0, GENESIS) if tail is None else (tail["number"], tail["hash"])
    rows = []
    for item in corrected:
        number += 1
        change, at = item.retraction.change, item.record.at
        row = Correction(
            number, *change.page, change.rev_id or None, item.retraction.kind, item.retraction.removed,
            item.revisions_touched, change.identity, change.published, item.record.received, applied,
            (applied - change.published) / MICROSECONDS, at.source, at.topic, at.partition, at.offset,
        )  # fmt: skip
        digest = correction_hash(previous, row)
        rows.append((*row, previous, digest))
        previous = digest
    await session.connection.copy_records_to_table("correction", records=rows, columns=COLUMNS)
