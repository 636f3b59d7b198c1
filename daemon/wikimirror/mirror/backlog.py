"""Reading what waits in Postgres for a person or for another part of the program."""

from __future__ import annotations

from typing import Final

from wikimirror.mirror.connect import Limits, Session
from wikimirror.mirror.gaps import count_open
from wikimirror.mirror.replays import count_running
from wikimirror.observe.backlog import Backlog

_DEAD_LETTERS = "SELECT reason, count(*) FROM dead_letter GROUP BY reason ORDER BY reason"
_RETRACTIONS = "SELECT count(*) FROM dead_letter WHERE retracts"
_RECONCILE = "SELECT reason, count(*) FROM reconcile GROUP BY reason ORDER BY reason"
_SHORT: Final = Limits(lock=1.0, statement=5.0, idle=5.0)
"""Seconds. A look must not hold anything up, and another follows soon."""


async def read_backlog(session: Session) -> Backlog:
    """Count it, in one transaction that only reads. Raises DatabaseUnavailable when that takes too long."""
    async with session.transaction(limits=_SHORT):
        await session.execute("SET TRANSACTION READ ONLY")
        dead_letters = await _by_reason(session, _DEAD_LETTERS)
        return Backlog(
            dead_letters,
            await count_open(session),
            await _by_reason(session, _RECONCILE),
            int(await session.fetchval(_RETRACTIONS)),
            await count_running(session),
        )


async def _by_reason(session: Session, query: str) -> dict[str, int]:
    return {row["reason"]: row["count"] for row in await session.fetch(query)}
