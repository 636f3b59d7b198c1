"""How far the mirror is and who keeps it, as Postgres knows it: without asking any daemon."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror.backlog import read_backlog
from wikimirror.mirror.connect import Session
from wikimirror.mirror.lanes import NotedLane, read_lanes
from wikimirror.mirror.members import GONE, Noted, read_members
from wikimirror.mirror.replays import REPLAY_PREFIX
from wikimirror.model import Lane
from wikimirror.ops.live_reports import LaneStatus, LeaseStatus, MemberStatus, StatusReport

_LANES: Final = """
SELECT source, topic, partition, position, position_time, epoch, writer, updated_at,
    extract(epoch FROM updated_at - position_time)::float8 AS behind,
    extract(epoch FROM now() - updated_at)::float8 AS quiet
FROM checkpoint WHERE NOT starts_with(source, $1) ORDER BY source, topic, partition
"""
_LEASES: Final = """
SELECT source, holder, epoch, acquired_at, renewed_at, expires_at, expires_at > now() AS held
FROM lease ORDER BY source
"""
_ESTIMATE: Final = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('page')"
_COUNT: Final = "SELECT count(*) FROM (SELECT FROM page LIMIT 100000) p"


async def status(session: Session) -> StatusReport:
    """Read it all. The session may be read-only."""
    async with session.transaction():
        rows = [dict(row) for row in await session.fetch(_LANES, REPLAY_PREFIX)]
        told = {noted.lane: noted for noted in await read_lanes(session)}
        leases = [LeaseStatus(**dict(row)) for row in await session.fetch(_LEASES)]
        members = [_member(noted) for noted in await read_members(session)]
    pages = await _pages(session)
    backlog = await read_backlog(session)
    return StatusReport(
        lanes=[_lane(row, told.get(Lane(row["source"], row["topic"], row["partition"]))) for row in rows],
        leases=leases,
        members=members,
        records_behind=_records_behind(members),
        dead_letters=dict(backlog.dead_letters),
        gaps_open=backlog.gaps_open,
        reconcile_open=dict(backlog.reconcile_open),
        pages=pages,
    )


async def _pages(session: Session) -> int | None:
    """As many as Postgres estimates; a table that it never looked at is new, and is counted as far as that is quick.

    None: somebody has locked it, which must not keep the rest from being told.
    """
    async with session.transaction():
        estimate: int = await session.fetchval(_ESTIMATE)
    if estimate >= 0:
        return estimate
    try:
        async with session.transaction():
            counted: int = await session.fetchval(_COUNT)
    except DatabaseUnavailable:
        return None
    return counted


def _lane(row: dict[str, Any], noted: NotedLane | None) -> LaneStatus:
    if noted is None:
        return LaneStatus(**row)
    never = noted.catch_up_seconds == math.inf
    return LaneStatus(
        **row,
        state=noted.state,
        told_ago=noted.unseen,
        seconds_behind=noted.seconds_behind,
        records_behind=noted.records_behind,
        # JSON has no infinity.
        catch_up_seconds=None if never else noted.catch_up_seconds,
        never=never,
        headroom_seconds=noted.headroom_seconds,
        headroom_records=noted.headroom_records,
    )


def _member(noted: Noted) -> MemberStatus:
    return MemberStatus(
        **noted.member._asdict(),
        started_at=noted.started_at,
        seen_at=noted.seen_at,
        unseen=noted.unseen,
        gone=noted.unseen > GONE,
    )


def _records_behind(members: Iterable[MemberStatus]) -> dict[str, int]:
    told: defaultdict[str, list[int | None]] = defaultdict(list)
    for member in members:
        if member.lanes and not member.gone:
            told[member.source].append(member.records_behind)
    # A sum that leaves a lane out would look like less than it is.
    return {
        source: sum(count for count in counts if count is not None)
        for source, counts in told.items()
        if None not in counts
    }
