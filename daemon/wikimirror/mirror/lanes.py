"""How each lane fares, as the process that holds it tells every few seconds. For people; nothing is decided by it.

A row stays when its process is killed: who reads the table sees by `seen_at` that nobody tells of the lane any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from wikimirror.mirror.connect import Limits, Session
from wikimirror.mirror.members import GONE
from wikimirror.model import Lane
from wikimirror.observe.lanes import STOPPED, LaneReport

# Rows are taken in one order by all, and those that somebody else is taking over are left to that one.
_NOTE = """
WITH told AS (
    INSERT INTO lane AS l (source, topic, partition, holder, state, position, seconds_behind, records_behind,
        catch_up_seconds, headroom_seconds, headroom_records, evidence, seen_at)
    SELECT u.source, u.topic, u.partition, $1, u.state, u.position, u.seconds_behind, u.records_behind,
        u.catch_up_seconds, u.headroom_seconds, u.headroom_records, u.evidence::jsonb, clock_timestamp()
    FROM unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::bigint[], $7::float8[], $8::bigint[], $9::float8[],
        $10::float8[], $11::bigint[], $12::text[])
        AS u (source, topic, partition, state, position, seconds_behind, records_behind, catch_up_seconds,
            headroom_seconds, headroom_records, evidence)
    ORDER BY u.source COLLATE "C", u.topic COLLATE "C", u.partition
    ON CONFLICT (source, topic, partition) DO UPDATE SET
        holder = excluded.holder,
        state = excluded.state,
        position = excluded.position,
        seconds_behind = excluded.seconds_behind,
        records_behind = excluded.records_behind,
        catch_up_seconds = excluded.catch_up_seconds,
        headroom_seconds = excluded.headroom_seconds,
        headroom_records = excluded.headroom_records,
        evidence = excluded.evidence,
        seen_at = excluded.seen_at
)
DELETE FROM lane WHERE (source, topic, partition) IN (
    SELECT l.source, l.topic, l.partition FROM lane l
    WHERE l.holder = $1 AND NOT EXISTS (
        SELECT FROM unnest($2::text[], $3::text[], $4::int[]) AS u (source, topic, partition)
        WHERE u.source = l.source AND u.topic = l.topic AND u.partition = l.partition)
    FOR UPDATE SKIP LOCKED)
"""
_READ = """
SELECT source, topic, partition, holder, state, position, seconds_behind, records_behind, catch_up_seconds,
    headroom_seconds, headroom_records, evidence::text AS evidence, seen_at,
    extract(epoch FROM clock_timestamp() - seen_at)::float8 AS unseen
FROM lane ORDER BY source, topic, partition
"""
_COLUMNS: Final = 11
_SHORT: Final = Limits(lock=2.0, statement=5.0, idle=2.0)
"""Seconds. None of this is worth waiting for."""


class NotedLane(NamedTuple):
    """What was last told of a lane, and when. `evidence` has the keys of observe.lanes.Evidence."""

    lane: Lane
    holder: str
    told_state: str
    position: int | None
    seconds_behind: float | None
    records_behind: int | None
    catch_up_seconds: float | None
    """Infinite: never."""
    headroom_seconds: float | None
    headroom_records: int | None
    evidence: dict[str, Any]
    seen_at: datetime
    unseen: float
    """Seconds since `seen_at`, by the server's clock."""

    @property
    def state(self) -> str:
        """As told, or STOPPED where that is too old to be true."""
        return STOPPED if self.unseen > GONE else self.told_state


async def note_lanes(session: Session, holder: str, reports: Sequence[LaneReport]) -> None:
    """Tell of the lanes that this process holds. Rows of others that it once told of are deleted."""
    rows = [
        (
            *lane,
            verdict.state.value,
            verdict.position,
            verdict.seconds_behind,
            verdict.records_behind,
            verdict.catch_up_seconds,
            verdict.headroom_seconds,
            verdict.headroom_records,
            msgspec.json.encode(asdict(verdict.evidence)).decode(),
        )
        for lane, verdict in reports
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(_COLUMNS)]
    async with session.transaction(limits=_SHORT):
        await session.execute(_NOTE, holder, *columns)


async def forget_lanes(session: Session, holder: str) -> None:
    """This process holds no lane any more."""
    await note_lanes(session, holder, ())


async def read_lanes(session: Session) -> list[NotedLane]:
    """Within a transaction: what was last told of every lane, by lane."""
    return [_noted(**dict(row)) for row in await session.fetch(_READ)]


def _noted(*, source: str, topic: str, partition: int, state: str, evidence: str, **columns: Any) -> NotedLane:
    lane = Lane(source, topic, partition)
    return NotedLane(lane=lane, told_state=state, evidence=msgspec.json.decode(evidence), **columns)
