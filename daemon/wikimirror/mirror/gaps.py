"""Gaps: stretches of a lane that its source no longer gives, kept until they are read by other means (promise P4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wikimirror.mirror.connect import Session
from wikimirror.model import Lost

# A batch that is done again, because nobody knew that it was durable, opens no gap twice.
_OPEN = """
WITH lost AS (
    SELECT u.source, u.topic, u.partition, u.from_position, u.to_position,
        timestamptz 'epoch' + u.from_time * interval '1 microsecond' AS from_time,
        timestamptz 'epoch' + u.to_time * interval '1 microsecond' AS to_time,
        u.reason
    FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
        AS u (source, topic, partition, from_position, to_position, from_time, to_time, reason)
)
INSERT INTO gap (source, topic, partition, from_position, to_position, from_time, to_time, reason)
SELECT source, topic, partition, from_position, to_position, from_time, to_time, reason FROM lost
EXCEPT
SELECT source, topic, partition, from_position, to_position, from_time, to_time, reason FROM gap
"""
_COUNT = "SELECT count(*) FROM gap WHERE closed_at IS NULL"
_FIND = """
SELECT gap_id, source, topic, partition, from_position, to_position,
    (extract(epoch FROM from_time) * 1000000)::bigint, (extract(epoch FROM to_time) * 1000000)::bigint,
    closed_at IS NULL
FROM gap WHERE gap_id = $1
"""
_CLOSE = "UPDATE gap SET closed_at = now(), replay_id = $2 WHERE gap_id = $1 AND closed_at IS NULL RETURNING true"


class Gap(NamedTuple):
    """A stretch that was lost. What is not known of it is None; times are microseconds since the epoch."""

    gap_id: int
    source: str
    topic: str
    partition: int
    from_position: int | None
    to_position: int | None
    from_time: int | None
    to_time: int | None
    open: bool


async def open_gaps(session: Session, lost: Sequence[Lost]) -> None:
    """Within the batch's transaction: one row for each stretch, with null for what is not known of it."""
    if lost:
        await session.execute(_OPEN, *(list(column) for column in zip(*map(_row, lost), strict=True)))


async def count_open(session: Session) -> int:
    """Within a transaction: how many gaps are neither filled nor given up."""
    return int(await session.fetchval(_COUNT))


async def find_gap(session: Session, gap_id: int) -> Gap | None:
    """The gap of that number, in a transaction of its own."""
    async with session.transaction():
        row = await session.fetchrow(_FIND, gap_id)
    return None if row is None else Gap(*row)


async def close_gap(session: Session, gap_id: int, replay_id: int) -> bool:
    """Within a transaction: that replay has filled it. False where it was closed already."""
    return await session.fetchval(_CLOSE, gap_id, replay_id) is not None


def _row(lost: Lost) -> tuple[object, ...]:
    after, until = lost.after, lost.until
    return (
        *lost.lane,
        after.offset if after.offset >= 0 else None,
        until.offset if until.offset >= 0 else None,
        after.time or None,
        until.time or None,
        lost.reason,
    )
