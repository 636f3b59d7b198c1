"""What the tables tell of how the sources fare: for `explain`, which puts it into words. Times are the server's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import asyncpg

from wikimirror.mirror.activity import Server
from wikimirror.mirror.connect import Limits, Session
from wikimirror.mirror.replays import REPLAY_PREFIX
from wikimirror.wire import CAPTURE

# Positions of captures that were played, and of replays, are no lane that anybody follows.
_FOLLOWED: Final = f"source <> '{CAPTURE}' AND source NOT LIKE '{REPLAY_PREFIX}%'"
_LANES: Final = """
SELECT l.source, l.topic, l.partition, l.holder, c.writer, l.state, l.position, l.seconds_behind, l.records_behind,
    l.catch_up_seconds, l.headroom_seconds, l.headroom_records, l.evidence,
    extract(epoch FROM clock_timestamp() - l.seen_at)::float8
FROM lane l LEFT JOIN checkpoint c USING (source, topic, partition)
ORDER BY l.source, l.topic, l.partition
"""
_POSITIONED: Final = f"""
SELECT source, count(*), min(extract(epoch FROM clock_timestamp() - updated_at))::float8
FROM checkpoint WHERE {_FOLLOWED} GROUP BY source ORDER BY source
"""  # noqa: S608  # a constant
_LEASES: Final = """
SELECT source, holder, expires_at > clock_timestamp(), extract(epoch FROM expires_at - clock_timestamp())::float8
FROM lease ORDER BY source
"""
_MEMBERS: Final = """
SELECT source, holder, role, state, why, lanes, seconds_behind, in_flight,
    extract(epoch FROM clock_timestamp() - seen_at)::float8
FROM member ORDER BY source, started_at, holder
"""
_LETTERS: Final = """
SELECT source, reason, count(*), count(*) FILTER (WHERE retracts), count(*) FILTER (WHERE retracts AND NOT hidden),
    max(extract(epoch FROM clock_timestamp() - first_seen))::float8
FROM dead_letter GROUP BY source, reason ORDER BY source, reason
"""
_GAPS: Final = """
SELECT source, count(*), max(extract(epoch FROM clock_timestamp() - opened_at))::float8
FROM gap WHERE closed_at IS NULL GROUP BY source ORDER BY source
"""
_RECONCILE: Final = """
SELECT reason, count(*), max(extract(epoch FROM clock_timestamp() - opened_at))::float8
FROM reconcile GROUP BY reason ORDER BY reason
"""
_REPLAYS: Final = """
SELECT replay_id, source, records_read, extract(epoch FROM clock_timestamp() - seen_at)::float8
FROM replay WHERE state = 'running' ORDER BY replay_id
"""
_SHORT: Final = Limits(lock=1.0, statement=5.0, idle=5.0)
"""Seconds. A person waits, and a look must not hold anything up."""


class LaneTold(NamedTuple):
    """How a lane fares, as its holder last told."""

    source: str
    topic: str
    partition: int
    holder: str
    writer: str | None
    """By whom its position is written; None: it has none yet."""
    state: str
    position: int | None
    seconds_behind: float | None
    records_behind: int | None
    catch_up_seconds: float | None
    """Infinity: never."""
    headroom_seconds: float | None
    headroom_records: int | None
    evidence: Mapping[str, Any]
    """Numbers, words or None by name, as in the table's comment."""
    unseen: float
    """Seconds since this was told."""


class Positioned(NamedTuple):
    """A source of which positions are kept."""

    source: str
    lanes: int
    quiet: float
    """Seconds since one of them moved."""


class LeaseTold(NamedTuple):
    """Whose turn it is to read a source that one process at a time reads."""

    source: str
    holder: str
    held: bool
    left: float
    """Seconds until it ends; below 0: since it ended."""


class MemberTold(NamedTuple):
    """A process that follows a source, as it last told of itself."""

    source: str
    holder: str
    role: str
    state: str
    why: str | None
    lanes: int
    seconds_behind: float | None
    in_flight: int
    unseen: float
    """Seconds since this was told."""


class Letters(NamedTuple):
    """Records of a source that were set aside for one reason."""

    source: str
    reason: str
    total: int
    retracting: int
    """Of these, how many take something away."""
    shown: int
    """Of those, how many whose page is not hidden."""
    oldest: float
    """Seconds."""


class Gaps(NamedTuple):
    """Stretches of a source that are lost and still to be read by other means."""

    source: str
    total: int
    oldest: float
    """Seconds."""


class Reconcile(NamedTuple):
    """Pages to be read again, for one reason."""

    reason: str
    total: int
    oldest: float
    """Seconds."""


class ReplayTold(NamedTuple):
    """A replay that is said to run."""

    replay_id: int
    source: str
    records_read: int
    unseen: float
    """Seconds since it last told of itself."""


class Facts(NamedTuple):
    """All of it. `server` is None where Postgres does not tell of itself in time."""

    lanes: list[LaneTold]
    positioned: list[Positioned]
    leases: list[LeaseTold]
    members: list[MemberTold]
    letters: list[Letters]
    gaps: list[Gaps]
    reconcile: list[Reconcile]
    replays: list[ReplayTold]
    server: Server | None = None


async def read_facts(session: Session) -> Facts:
    """Read it, in one short transaction; `server` is left out. Raises DatabaseUnavailable when that takes too long."""
    async with session.transaction(limits=_SHORT):
        return Facts(
            lanes=[_lane(row) for row in await session.fetch(_LANES)],
            positioned=[Positioned(*row) for row in await session.fetch(_POSITIONED)],
            leases=[LeaseTold(*row) for row in await session.fetch(_LEASES)],
            members=[MemberTold(*row) for row in await session.fetch(_MEMBERS)],
            letters=[Letters(*row) for row in await session.fetch(_LETTERS)],
            gaps=[Gaps(*row) for row in await session.fetch(_GAPS)],
            reconcile=[Reconcile(*row) for row in await session.fetch(_RECONCILE)],
            replays=[ReplayTold(*row) for row in await session.fetch(_REPLAYS)],
        )


def _lane(row: asyncpg.Record) -> LaneTold:
    told = LaneTold(*row)
    return told._replace(evidence=json.loads(row[-2]))
