"""Checkpoints: the next position of each lane, kept in Postgres beside what was read up to it (promises P1 and P5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wikimirror.errors import Fenced
from wikimirror.mirror.connect import Session
from wikimirror.model import Advance, Lane

_TAKE_OVER = """
INSERT INTO checkpoint AS c (source, topic, partition, position, epoch, writer, updated_at)
VALUES ($1, $2, $3, $4, 1, $5, now())
ON CONFLICT (source, topic, partition)
DO UPDATE SET epoch = c.epoch + 1, writer = excluded.writer, position = coalesce($6, c.position), updated_at = now()
RETURNING epoch, position
"""
_ADVANCE = """
UPDATE checkpoint SET position = $5, updated_at = now()
WHERE source = $1 AND topic = $2 AND partition = $3 AND epoch = $4 AND position = $6
RETURNING (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
"""
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class Held(NamedTuple):
    """A lane that this writer has taken over: its epoch and the next position to read."""

    epoch: int
    position: int
    time: int = 0
    """`Position.time` of it."""


async def take_over(
    session: Session, lane: Lane, writer: str, *, start: int = 0, restart_at: int | None = None
) -> Held:
    """Become the lane's only writer: whoever held it before fails at its next transaction (P5).

    `start` is the first position of a lane never read before. `restart_at` sets the position of a known lane, for
    reading it again from there.
    """
    async with session.transaction():
        row = await session.fetchrow(
            _TAKE_OVER, *lane, restart_at if restart_at is not None else start, writer, restart_at
        )
    assert row is not None  # noqa: S101  # INSERT … DO UPDATE … RETURNING always returns its row
    return Held(row["epoch"], row["position"])


async def advance(session: Session, steps: Iterable[Advance]) -> int:
    """Within a transaction: move the lanes' positions by compare-and-set. Returns the server's time in microseconds.

    Raises Fenced when a lane has another epoch or position than this writer knows: the transaction must not go on.
    """
    now: int | None = None
    for step in sorted(steps, key=lambda step: step.lane):
        now = await session.fetchval(_ADVANCE, *step.lane, step.epoch, step.next_position, step.position)
        if now is None:
            raise Fenced(
                f"{step.lane} is no longer at position {step.position} with epoch {step.epoch}: another writer has it"
            )
    return int(await session.fetchval(_NOW)) if now is None else now
