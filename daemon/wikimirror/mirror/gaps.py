"""Gaps: stretches of a lane that its source no longer gives, kept until they are read by other means (promise P4)."""

from __future__ import annotations

from collections.abc import Sequence

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


async def open_gaps(session: Session, lost: Sequence[Lost]) -> None:
    """Within the batch's transaction: one row for each stretch, with null for what is not known of it."""
    if lost:
        await session.execute(_OPEN, *(list(column) for column in zip(*map(_row, lost), strict=True)))


async def count_open(session: Session) -> int:
    """Within a transaction: how many gaps are neither filled nor given up."""
    return int(await session.fetchval(_COUNT))


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
