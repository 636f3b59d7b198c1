"""Gaps: what was lost, and what became of it."""

from __future__ import annotations

from typing import Final

from wikimirror.mirror.connect import Session
from wikimirror.mirror.gaps import count_open
from wikimirror.ops.checkpoints.reports import GapRow, GapsReport

_GAPS: Final = """
SELECT gap_id, source, topic, partition, from_position, to_position, from_time, to_time, reason, opened_at, closed_at,
    replay_id
FROM gap WHERE $1 OR closed_at IS NULL
ORDER BY closed_at IS NOT NULL, opened_at, gap_id
"""
_COUNT: Final = "SELECT count(*) FROM gap"


async def gaps(session: Session, *, closed: bool) -> GapsReport:
    """The open gaps; with `closed` the others too. The session may be read-only."""
    async with session.transaction():
        rows = [GapRow(**dict(row)) for row in await session.fetch(_GAPS, closed)]
        left_out = 0 if closed else await session.fetchval(_COUNT) - await count_open(session)
    return GapsReport(rows, left_out)
