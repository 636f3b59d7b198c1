"""Every lane's position, and who owns it: as Postgres knows it, without asking any daemon."""

from __future__ import annotations

from typing import Any, Final

from wikimirror.mirror.connect import Session
from wikimirror.mirror.owners import Owner, read_owners
from wikimirror.mirror.replays import REPLAY_PREFIX
from wikimirror.ops.checkpoints.reports import CheckpointRow, CheckpointsReport, OwnerRow, ReplayPosition

# Replays keep their positions in the same table, under a name of their own.
_LANES: Final = f"""
SELECT source, topic, partition, position, position_time, epoch, writer, updated_at
FROM checkpoint
WHERE NOT starts_with(source, '{REPLAY_PREFIX}') AND ($1::text IS NULL OR source = $1)
ORDER BY source, topic, partition
"""  # noqa: S608  # a constant
_REPLAYS: Final = f"""
SELECT r.replay_id, r.source AS of, r.state, c.topic, c.partition, c.position, c.position_time, c.updated_at
FROM checkpoint c JOIN replay r ON c.source = '{REPLAY_PREFIX}' || r.replay_id
WHERE $1::text IS NULL OR r.source = $1
ORDER BY r.replay_id, c.topic, c.partition
"""  # noqa: S608  # a constant


async def checkpoints(session: Session, source: str | None) -> CheckpointsReport:
    """Read them all, or those of one source and of its replays. The session may be read-only."""
    async with session.transaction():
        rows = await session.fetch(_LANES, source)
        replays = [ReplayPosition(**dict(row)) for row in await session.fetch(_REPLAYS, source)]
        owners = await read_owners(session, source)
    return CheckpointsReport([_lane(row, owners) for row in rows], [owner_row(owner) for owner in owners], replays)


def owner_row(owner: Owner) -> OwnerRow:
    """An owner for a report."""
    return OwnerRow(
        owner.source, owner.holder, owner.lease, owner.role, owner.since, owner.seen_at, round(owner.unseen, 3)
    )


def _lane(row: Any, owners: list[Owner]) -> CheckpointRow:
    owning = [owner for owner in owners if owner.source == row["source"] and owner.wrote(row["writer"])]
    return CheckpointRow(**dict(row), owner=owner_row(owning[0]) if owning else None)
