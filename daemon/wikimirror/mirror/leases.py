"""Leases: which process reads a source. One row a source, by the server's clock alone.

A lease only decides who works. It cannot keep a former holder from writing: one that was frozen believes in its lease
until it looks. What keeps it from writing is the epoch in `checkpoint`, which the next holder raises by taking the
lanes over and which each transaction compares (promise P5). So a lease may err, where the server's clock steps or
another server takes its place, and that costs time but no row.
"""

from __future__ import annotations

import os
import secrets
import socket
from typing import Final, NamedTuple

from wikimirror.mirror.connect import Limits, Session

# Whoever only looks locks and writes nothing. `seen` is as old as the statement: a lease that changes hands at this
# very moment may be in neither part, and is looked at again.
_ACQUIRE = """
WITH seen AS (
    SELECT holder, epoch FROM lease WHERE source = $1 AND holder <> $2 AND expires_at > clock_timestamp()
), taken AS (
    INSERT INTO lease AS l (source, holder, epoch, acquired_at, renewed_at, expires_at)
    SELECT $1, $2, 1, clock_timestamp(), clock_timestamp(), clock_timestamp() + $3::float8 * interval '1 second'
    WHERE NOT EXISTS (SELECT FROM seen)
    ON CONFLICT (source) DO UPDATE SET
        holder = excluded.holder,
        epoch = l.epoch + (l.holder <> excluded.holder)::int,
        acquired_at = CASE WHEN l.holder = excluded.holder THEN l.acquired_at ELSE clock_timestamp() END,
        renewed_at = clock_timestamp(),
        expires_at = clock_timestamp() + $3::float8 * interval '1 second'
    WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
    RETURNING holder, epoch
)
SELECT holder, epoch, true FROM taken UNION ALL SELECT holder, epoch, false FROM seen
"""
_RENEW = """
UPDATE lease SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $3::float8 * interval '1 second'
WHERE source = $1 AND holder = $2
RETURNING true
"""
_RELEASE = """
UPDATE lease SET expires_at = clock_timestamp()
WHERE source = $1 AND holder = $2 AND expires_at > clock_timestamp()
"""
_SHORT: Final = Limits(lock=2.0, statement=5.0, idle=2.0)
"""Seconds. A process that freezes within a transaction on a lease must not hold up the others for longer than that."""


class Lease(NamedTuple):
    """Who has a source's lease: `held` tells whether it is the one who asked."""

    holder: str
    epoch: int
    """Raised each time another process takes the lease. For people: the epoch that fences is the checkpoint's."""
    held: bool


def new_holder() -> str:
    """A name for this process unlike any other's, its own after a restart included."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


async def acquire(session: Session, source: str, holder: str, seconds: float) -> Lease:
    """Take the lease if it is free or has run out, or renew it if `holder` has it already; else tell who has it.

    It then lasts `seconds`. Of several who ask at once exactly one gets it.
    """
    async with session.transaction(limits=_SHORT):
        while (row := await session.fetchrow(_ACQUIRE, source, holder, seconds)) is None:
            pass
    return Lease(*row)


async def renew(session: Session, source: str, holder: str, seconds: float) -> bool:
    """Make the lease last `seconds` from now. False: another process has taken it.

    One that has run out is renewed too, as long as nobody took it.
    """
    async with session.transaction(limits=_SHORT):
        return await session.fetchval(_RENEW, source, holder, seconds) is not None


async def release(session: Session, source: str, holder: str) -> None:
    """Give the lease back, so that another process need not wait for its end. Another's lease is left as it is."""
    async with session.transaction(limits=_SHORT):
        await session.execute(_RELEASE, source, holder)
