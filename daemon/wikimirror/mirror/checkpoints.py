"""Checkpoints: the next position of each lane, kept in Postgres beside what was read up to it (promises P1 and P5).

A position is an offset and, for sources that are resumed by time, the time of the newest record before it. Offsets may
go down while the time goes up: a source that was set up anew numbers anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from wikimirror.errors import Fenced
from wikimirror.mirror.connect import Session
from wikimirror.model import Advance, Batch, Lane, Position

# Rows are taken in one order by all, so that two programs that start at once wait and do not deadlock.
_TAKE_OVER = """
INSERT INTO checkpoint AS c (source, topic, partition, position, position_time, epoch, writer, updated_at)
SELECT u.source, u.topic, u.partition, u.position,
    timestamptz 'epoch' + nullif(u.time, 0) * interval '1 microsecond', 1, $6, now()
FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
    AS u (source, topic, partition, position, time)
ORDER BY u.source COLLATE "C", u.topic COLLATE "C", u.partition
ON CONFLICT (source, topic, partition) DO UPDATE SET
    epoch = c.epoch + 1,
    writer = excluded.writer,
    position = CASE WHEN $7 THEN excluded.position ELSE c.position END,
    position_time = CASE WHEN $7 THEN excluded.position_time ELSE c.position_time END,
    updated_at = CASE WHEN $7 THEN now() ELSE c.updated_at END
RETURNING source, topic, partition, epoch, position,
    coalesce((extract(epoch FROM position_time) * 1000000)::bigint, 0)
"""
# One statement for all lanes. Their rows are locked before any is moved, in the order in which all take them.
_ADVANCE = """
WITH step AS (
    SELECT c.source, c.topic, c.partition, u.next_position, u.next_time
    FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS u (source, topic, partition, epoch, position, next_position, next_time)
    JOIN checkpoint c USING (source, topic, partition)
    WHERE c.epoch = u.epoch AND c.position = u.position
    ORDER BY c.source, c.topic, c.partition
    FOR UPDATE OF c
)
UPDATE checkpoint c SET position = s.next_position,
    position_time = coalesce(timestamptz 'epoch' + nullif(s.next_time, 0) * interval '1 microsecond', c.position_time),
    updated_at = CASE WHEN c.position = s.next_position AND s.next_time = 0 THEN c.updated_at ELSE now() END
FROM step s
WHERE c.source = s.source AND c.topic = s.topic AND c.partition = s.partition
RETURNING c.source, c.topic, c.partition, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
"""
NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The server's time in microseconds."""
_READ = """
SELECT c.source, c.topic, c.partition, c.epoch, c.position,
    coalesce((extract(epoch FROM c.position_time) * 1000000)::bigint, 0)
FROM checkpoint c
JOIN unnest($1::text[], $2::text[], $3::int[]) AS u (source, topic, partition) USING (source, topic, partition)
ORDER BY c.source, c.topic, c.partition
"""
_READ_LOCKED = f"{_READ}FOR UPDATE OF c"

_BEGINNING: Final = Position(0)


class Held(NamedTuple):
    """A lane that this writer has taken over: its epoch and the next position to read."""

    epoch: int
    position: int
    time: int = 0
    """`Position.time` of it."""


async def take_over(
    session: Session, lane: Lane, writer: str, *, start: Position = _BEGINNING, restart_at: Position | None = None
) -> Held:
    """Become the lane's only writer: whoever held it before fails at its next transaction (P5).

    `start` is the first position of a lane never read before. `restart_at` sets the position of a known lane, for
    reading it again from there.
    """
    starts = {lane: start if restart_at is None else restart_at}
    async with session.transaction():
        return (await take_over_within(session, starts, writer, restart=restart_at is not None))[lane]


async def take_over_all(session: Session, starts: Mapping[Lane, Position], writer: str) -> dict[Lane, Held]:
    """Become the only writer of all these lanes, in one transaction: all of them, or none.

    `starts` names the first position of each lane, for those never read before.
    """
    async with session.transaction():
        return await take_over_within(session, starts, writer)


async def take_over_within(
    session: Session, starts: Mapping[Lane, Position], writer: str, *, restart: bool = False
) -> dict[Lane, Held]:
    """The same within a transaction. `restart`: known lanes go on at `starts` too."""
    lanes = sorted(starts)
    positions = [starts[lane].offset for lane in lanes]
    times = [starts[lane].time for lane in lanes]
    rows = await session.fetch(_TAKE_OVER, *lane_columns(lanes), positions, times, writer, restart)
    return {Lane(*row[:3]): Held(*row[3:]) for row in rows}


async def read_positions(session: Session, lanes: Iterable[Lane], *, lock: bool = False) -> dict[Lane, Held]:
    """What Postgres holds of these lanes, in a transaction of its own; lanes that nobody ever took over are left out.

    `lock` waits for transactions in flight that move them. So the answer is definite even where a COMMIT was sent and
    its reply lost: its transaction has taken place or never will. Raises DatabaseUnavailable when that takes longer
    than `Limits.lock`.
    """
    async with session.transaction():
        rows = await session.fetch(_READ_LOCKED if lock else _READ, *lane_columns(sorted(lanes)))
    return {Lane(*row[:3]): Held(*row[3:]) for row in rows}


async def took_place(session: Session, batch: Batch) -> bool:
    """Whether a batch whose COMMIT was sent and never answered is durable. To be asked over another connection.

    Raises Fenced when another writer has taken a lane over since. A batch that moves no offset cannot be told from one
    that never was: False then, and doing it again is harmless, for what it holds was read again on purpose (P2).
    """
    found = await read_positions(session, [step.lane for step in batch.advances], lock=True)
    for step in batch.advances:
        held = found.get(step.lane)
        if held is None or held.epoch != step.epoch or held.position not in {step.position, step.next_position}:
            raise _fenced(step)
    moving = [step for step in batch.advances if step.next_position != step.position]
    return bool(moving) and all(found[step.lane].position == step.next_position for step in moving)


async def advance(session: Session, steps: Iterable[Advance]) -> int:
    """Within a transaction: move the lanes' positions by compare-and-set. Returns the server's time in microseconds.

    A step to its own position, without a time, only proves who owns the lane. Raises Fenced when a lane has another
    epoch or position than this writer knows: the transaction must not go on.
    """
    wanted = sorted(steps)
    if not wanted:
        return int(await session.fetchval(NOW))
    lanes, *columns = zip(*wanted, strict=True)
    rows = await session.fetch(_ADVANCE, *lane_columns(lanes), *map(list, columns))
    moved = {row[:3] for row in rows}
    for step in wanted:
        if step.lane not in moved:
            raise _fenced(step)
    return max(int(row[3]) for row in rows)


def lane_columns(lanes: Iterable[Lane]) -> tuple[list[str], list[str], list[int]]:
    """Lanes as the arrays that statements take them in: sources, topics, partitions."""
    listed = list(lanes)
    return [lane.source for lane in listed], [lane.topic for lane in listed], [lane.partition for lane in listed]


def _fenced(step: Advance) -> Fenced:
    return Fenced(
        f"{step.lane} is no longer at position {step.position} with epoch {step.epoch}: another writer has it"
    )
