"""What the ledger knows of a stretch of a lane.

No index serves this, so that writing pays nothing for it: it is asked by a person, and given up after a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror.checkpoints import lane_columns
from wikimirror.mirror.connect import Limits, Session
from wikimirror.mirror.splitting import statement_timed_out
from wikimirror.model import Lane

_PATIENCE: Final = Limits(lock=2.0, statement=10.0, idle=10.0)
"""Seconds. Who waits is a person who decides something."""
_SELECT: Final = """
SELECT u.source, u.topic, u.partition, count(*), min(c.published), max(c.published)
FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS u (source, topic, partition, first, last)
JOIN change c ON c.source = u.source AND c.topic = u.topic AND c.partition = u.partition
"""
_BY_OFFSET: Final = f"""{_SELECT}
    AND c."offset" >= u.first AND c."offset" < u.last
GROUP BY u.source, u.topic, u.partition
"""
_BY_TIME: Final = f"""{_SELECT}
    AND c.published >= timestamptz 'epoch' + u.first * interval '1 microsecond'
    AND c.published <= timestamptz 'epoch' + u.last * interval '1 microsecond'
WHERE c.published >= timestamptz 'epoch' + $6::bigint * interval '1 microsecond'
GROUP BY u.source, u.topic, u.partition
"""
_PUBLISHED: Final = """
SELECT (extract(epoch FROM published) * 1000000)::bigint FROM change
WHERE source = $1 AND topic = $2 AND partition = $3 AND "offset" = $4 LIMIT 1
"""


class Stretch(NamedTuple):
    """A part of a lane: from an offset to before another, or from an instant to another, in microseconds."""

    lane: Lane
    first_offset: int
    end_offset: int
    since: int
    until: int


class Known(NamedTuple):
    """How many records of a stretch are in the ledger, and when the first and the last of them were published."""

    records: int
    oldest: datetime | None = None
    newest: datetime | None = None


async def read_known(session: Session, stretches: Sequence[Stretch], *, by_time: bool) -> dict[Lane, Known] | None:
    """What the ledger knows of each; lanes of which it knows nothing are left out. None: it took too long.

    In a transaction of its own.
    """
    if not stretches:
        return {}
    lanes = lane_columns(each.lane for each in stretches)
    try:
        async with session.transaction(limits=_PATIENCE):
            if by_time:
                since, until = [each.since for each in stretches], [each.until for each in stretches]
                rows = await session.fetch(_BY_TIME, *lanes, since, until, min(since))
            else:
                first, end = [each.first_offset for each in stretches], [each.end_offset for each in stretches]
                rows = await session.fetch(_BY_OFFSET, *lanes, first, end)
    except DatabaseUnavailable as error:
        if statement_timed_out(error):
            return None
        raise
    return {Lane(*row[:3]): Known(*row[3:]) for row in rows}


async def published_of(session: Session, lane: Lane, offset: int) -> int | None:
    """When the record with this offset was published, in microseconds, as the ledger knows it; None: it does not.

    In a transaction of its own.
    """
    try:
        async with session.transaction(limits=_PATIENCE):
            found = await session.fetchval(_PUBLISHED, *lane, offset)
    except DatabaseUnavailable as error:
        if statement_timed_out(error):
            return None
        raise
    return None if found is None else int(found)
