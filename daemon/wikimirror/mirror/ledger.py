"""The ledger's partitions, and the hash chain of corrections.

A correction's hash is sha256(previous hash || canonical text in UTF-8); the first row's previous hash is `GENESIS`.
The canonical text joins with `|`, in this order: number, wiki_id, page_id, rev_id, kind, removed (joined by commas, in
the stored order), revisions_touched, change_id (lower-case hex), published, received, applied, seconds (these four in
whole microseconds), source, topic, partition, offset. Null is nothing. A backslash or `|` inside wiki_id, kind, source
or topic is preceded by a backslash. `correction_text(correction)` in SQL is the same; a test holds them together.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from wikimirror.mirror.connect import Session
from wikimirror.model import MICROSECONDS

GENESIS: Final = bytes(32)
"""The previous hash of correction number 1."""


class Correction(NamedTuple):
    """What a row of `correction` says, without its hashes. Times are microseconds since the epoch."""

    number: int
    wiki_id: str
    page_id: int | None
    rev_id: int | None
    kind: str
    removed: tuple[str, ...]
    revisions_touched: int
    change_id: bytes
    published: int
    received: int
    applied: int
    seconds: float
    source: str
    topic: str
    partition: int
    offset: int


class Pruned(NamedTuple):
    """What `prune` removed of one partition."""

    partition: str
    rows: int


def correction_text(row: Correction) -> str:
    """The canonical text of a correction, as the SQL function of that name makes it."""
    parts = (
        row.number,
        _escaped(row.wiki_id),
        row.page_id,
        row.rev_id,
        _escaped(row.kind),
        ",".join(row.removed),
        row.revisions_touched,
        row.change_id.hex(),
        row.published,
        row.received,
        row.applied,
        # Both languages round a half to the even neighbour.
        round(row.seconds * MICROSECONDS),
        _escaped(row.source),
        _escaped(row.topic),
        row.partition,
        row.offset,
    )
    return "|".join("" if part is None else str(part) for part in parts)


def correction_hash(previous: bytes, row: Correction) -> bytes:
    """The hash that `row` must bear when it follows a row whose hash is `previous` (`GENESIS` for the first)."""
    return hashlib.sha256(previous + correction_text(row).encode("utf-8")).digest()


async def ensure_partitions(session: Session, first: date, last: date) -> int:
    """Make the ledger's partitions for the months (UTC) from `first` to `last`; returns how many were new.

    Takes a transaction of its own: it locks the default partition, which a transaction that holds page rows must not
    wait for.
    """
    async with session.transaction():
        made = await session.fetchval("SELECT ensure_change_partitions($1, $2)", first, last)
    return int(made)


async def prune(session: Session, keep: timedelta) -> list[Pruned]:
    """Drop what the ledger has held for longer than `keep`, counted from the newest `applied` of a partition."""
    async with session.transaction():
        rows = await session.fetch("SELECT partition_name, rows_removed FROM prune_change($1)", keep)
    return [Pruned(row["partition_name"], row["rows_removed"]) for row in rows]


def month_of(microseconds: int) -> date:
    """The first day of the month (UTC) that a time in microseconds lies in: the name of its partition."""
    return datetime.fromtimestamp(microseconds // MICROSECONDS, tz=UTC).date().replace(day=1)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")
