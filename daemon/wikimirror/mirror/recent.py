"""The newest of what people look after: a few rows of each table, for `/details`. Bounded, and nothing is held up."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from wikimirror.mirror.connect import Limits, Session
from wikimirror.mirror.members import Noted, read_members
from wikimirror.mirror.operations import Operation, read_operations

ROWS: Final = 20
"""Of each table."""
_LETTERS: Final = """
SELECT dead_letter_id, source, topic, partition, "offset", reason, sqlstate, constraint_name, wiki_id, page_id, rev_id,
    retracts, hidden, first_seen, last_seen, seen
FROM dead_letter ORDER BY retracts DESC, dead_letter_id DESC LIMIT $1
"""
_GAPS: Final = """
SELECT gap_id, source, topic, partition, from_position, to_position, from_time, to_time, reason, opened_at
FROM gap WHERE closed_at IS NULL ORDER BY opened_at, gap_id LIMIT $1
"""
_RECONCILE: Final = """
SELECT wiki_id, page_id, nullif(rev_id, 0) AS rev_id, reason, opened_at
FROM reconcile ORDER BY opened_at, wiki_id, page_id, reason LIMIT $1
"""
_LEASES: Final = """
SELECT source, holder, epoch, acquired_at, renewed_at, expires_at > clock_timestamp() AS held
FROM lease ORDER BY source LIMIT $1
"""
_REPLAYS: Final = """
SELECT replay_id, source, state, holder, records_read, gap_id, began_at, seen_at, ended_at
FROM replay ORDER BY (state = 'running') DESC, replay_id DESC LIMIT $1
"""
_SHORT: Final = Limits(lock=1.0, statement=2.0, idle=2.0)
"""Seconds. Whoever asks, asks again."""


class Letter(NamedTuple):
    """A record that was set aside: where it is in its source and why, as far as Postgres and wire tell."""

    dead_letter_id: int
    source: str
    topic: str
    partition: int
    offset: int
    reason: str
    sqlstate: str | None
    constraint: str | None
    wiki_id: str | None
    page_id: int | None
    rev_id: int | None
    retracts: bool
    """It takes something away."""
    hidden: bool
    """Its page was hidden as it was set aside."""
    first_seen: datetime
    last_seen: datetime
    seen: int


class OpenGap(NamedTuple):
    """A stretch that is missing. Positions and times are None where they are not known."""

    gap_id: int
    source: str
    topic: str
    partition: int
    from_position: int | None
    to_position: int | None
    from_time: datetime | None
    to_time: datetime | None
    reason: str
    opened_at: datetime


class ToReconcile(NamedTuple):
    """A page or revision that is to be read again."""

    wiki_id: str
    page_id: int
    rev_id: int | None
    reason: str
    opened_at: datetime


class LeaseHeld(NamedTuple):
    """Who reads a source that one process at a time reads. `held`: the lease has not run out."""

    source: str
    holder: str
    epoch: int
    acquired_at: datetime
    renewed_at: datetime
    held: bool


class ReplaySeen(NamedTuple):
    """A replay as it last told of itself."""

    replay_id: int
    source: str
    state: str
    holder: str
    records_read: int
    gap_id: int | None
    began_at: datetime
    seen_at: datetime
    ended_at: datetime | None


class Recent(NamedTuple):
    """All of it, at one instant of the server's clock."""

    at: datetime
    letters: list[Letter]
    """Those that retract first, then the newest."""
    gaps: list[OpenGap]
    """Open ones, the oldest first."""
    reconcile: list[ToReconcile]
    """The oldest first."""
    members: list[Noted]
    leases: list[LeaseHeld]
    replays: list[ReplaySeen]
    """Running ones first, then the newest."""
    operations: list[Operation]
    """The newest first."""


async def read_recent(session: Session, *, rows: int = ROWS) -> Recent:
    """At most so many rows of each table, in one short transaction. The session may be read-only.

    Raises DatabaseUnavailable when it takes too long.
    """
    async with session.transaction(limits=_SHORT):
        await session.execute("SET TRANSACTION READ ONLY")
        return Recent(
            at=await session.fetchval("SELECT clock_timestamp()"),
            letters=[Letter(*row) for row in await session.fetch(_LETTERS, rows)],
            gaps=[OpenGap(*row) for row in await session.fetch(_GAPS, rows)],
            reconcile=[ToReconcile(*row) for row in await session.fetch(_RECONCILE, rows)],
            members=(await read_members(session))[:rows],
            leases=[LeaseHeld(*row) for row in await session.fetch(_LEASES, rows)],
            replays=[ReplaySeen(*row) for row in await session.fetch(_REPLAYS, rows)],
            operations=await read_operations(session, limit=rows),
        )
