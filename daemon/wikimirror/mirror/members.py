"""Members: which processes follow a source now, as each tells of itself. For people; nothing is decided by it.

All times are the server's, so that what is said of one process can be held against what is said of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from wikimirror.mirror.connect import Limits, Session

GONE: Final = 60.0
"""Seconds. Whoever told nothing of itself for longer is not there any more: a dozen tellings failed."""

_NOTE = """
INSERT INTO member AS m (source, holder, member_id, role, state, lanes, seconds_behind, records_behind, in_flight,
    version, why, started_at, seen_at)
SELECT u.*, clock_timestamp(), clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::float8[], $8::bigint[],
    $9::bigint[], $10::text[], $11::text[]) AS u
ON CONFLICT (source, holder) DO UPDATE SET
    member_id = excluded.member_id,
    role = excluded.role,
    state = excluded.state,
    lanes = excluded.lanes,
    seconds_behind = excluded.seconds_behind,
    records_behind = excluded.records_behind,
    in_flight = excluded.in_flight,
    version = excluded.version,
    why = excluded.why,
    seen_at = excluded.seen_at
"""
# Several processes tidy at once: each leaves to another what that one has begun to delete.
_FORGET = """
DELETE FROM member WHERE (source, holder) IN (
    SELECT source, holder FROM member WHERE seen_at < clock_timestamp() - interval '1 day' FOR UPDATE SKIP LOCKED)
"""
_LEAVE = "DELETE FROM member WHERE holder = $1"
_READ = """
SELECT source, holder, member_id, role, state, lanes, seconds_behind, records_behind, in_flight, version, why,
    started_at, seen_at, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS unseen
FROM member ORDER BY source, started_at, holder
"""
_SHORT: Final = Limits(lock=2.0, statement=5.0, idle=2.0)
"""Seconds. None of this is worth waiting for."""


class Member(NamedTuple):
    """What a process tells of itself and one source."""

    source: str
    holder: str
    """Names the process, unlike any other."""
    member_id: str | None
    """What the source's group knows it by across restarts, where it is told to."""
    role: str
    state: str
    lanes: int
    """How many it holds."""
    seconds_behind: float | None
    records_behind: int | None
    """None: its source does not tell its end."""
    in_flight: int
    version: str
    why: str | None = None
    """The state in words. None: told by a program that does not say."""


class Noted(NamedTuple):
    """What a process last told of itself, and when."""

    member: Member
    started_at: datetime
    """When it first told."""
    seen_at: datetime
    """When it last told."""
    unseen: float
    """Seconds since `seen_at`, by the server's clock."""


async def note_members(session: Session, rows: Sequence[Member]) -> None:
    """Tell of this process: a row for each source that it follows. Rows that nobody told of for a day are deleted."""
    async with session.transaction(limits=_SHORT):
        if rows:
            await session.execute(_NOTE, *(list(column) for column in zip(*rows, strict=True)))
        await session.execute(_FORGET)


async def leave(session: Session, holder: str) -> None:
    """This process follows nothing any more."""
    async with session.transaction(limits=_SHORT):
        await session.execute(_LEAVE, holder)


async def read_members(session: Session) -> list[Noted]:
    """Within a transaction: everyone, by source and by who came first; those included that are gone without a word."""
    told = len(Member._fields)
    return [Noted(Member(*row[:told]), *row[told:]) for row in await session.fetch(_READ)]
