"""Replays: which ranges of a source are read again, how far that is, and who does it.

A replay's positions are rows of `checkpoint` under a source of its own name, so no lane of the daemon's moves. One
process works on a replay: whoever resumes it takes those rows over and becomes its holder in one transaction, and what
the former holder then writes fails (promise P5).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from wikimirror.errors import ConfigurationError, Fenced, Refused
from wikimirror.mirror.checkpoints import Held, take_over_within
from wikimirror.mirror.connect import Limits, Session
from wikimirror.mirror.gaps import close_gap
from wikimirror.mirror.members import GONE
from wikimirror.model import Lane, Position

REPLAY_PREFIX: Final = "replay:"
"""What a replay's source in `checkpoint` begins with. No configured source may be called so."""

_BEGIN = """
INSERT INTO replay (source, asked, state, holder, gap_id, began_at, seen_at)
VALUES ($1, $2::jsonb, 'running', $3, $4, clock_timestamp(), clock_timestamp())
RETURNING replay_id
"""
_BEGIN_LANES = """
INSERT INTO replay_lane (replay_id, topic, partition, from_position, from_time, to_position, to_time)
SELECT $1, u.topic, u.partition, u.from_position,
    timestamptz 'epoch' + nullif(u.from_time, 0) * interval '1 microsecond', u.to_position,
    timestamptz 'epoch' + u.to_time * interval '1 microsecond'
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS u (topic, partition, from_position, from_time, to_position, to_time)
"""
_LANES = """
SELECT topic, partition, from_position, coalesce((extract(epoch FROM from_time) * 1000000)::bigint, 0), to_position,
    (extract(epoch FROM to_time) * 1000000)::bigint, done
FROM replay_lane WHERE replay_id = $1 ORDER BY topic, partition
"""
_FIND = "SELECT source, asked::text FROM replay WHERE replay_id = $1"
_RESUME = """
UPDATE replay SET state = 'running', holder = $2, seen_at = clock_timestamp(), ended_at = NULL
WHERE replay_id = $1 AND state <> 'done'
RETURNING records_read, summary::text, gap_id
"""
_TELL = """
UPDATE replay SET records_read = $3, summary = $4::jsonb, seen_at = clock_timestamp()
WHERE replay_id = $1 AND holder = $2 AND state = 'running' RETURNING true
"""
_DONE = """
UPDATE replay_lane l SET done = true FROM unnest($2::text[], $3::int[]) AS u (topic, partition)
WHERE l.replay_id = $1 AND l.topic = u.topic AND l.partition = u.partition
"""
_SEEN = "UPDATE replay SET seen_at = clock_timestamp() WHERE replay_id = $1 AND holder = $2 AND state = 'running'"
_END = """
UPDATE replay SET state = $3, seen_at = clock_timestamp(), ended_at = clock_timestamp()
WHERE replay_id = $1 AND holder = $2 AND state = 'running' RETURNING true
"""
_READ = """
SELECT replay_id, source, asked::text AS asked, state, holder, records_read, summary::text AS summary, gap_id, began_at,
    seen_at, ended_at, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS unseen
FROM replay ORDER BY replay_id DESC LIMIT $1
"""
_RUNNING = """
SELECT source, count(*) FROM replay
WHERE state = 'running' AND seen_at > clock_timestamp() - $1::float8 * interval '1 second' GROUP BY source
"""
_SHORT: Final = Limits(lock=2.0, statement=5.0, idle=2.0)
"""Seconds. Telling of a replay is not worth waiting for."""


class ReplayState(StrEnum):
    """What became of a replay."""

    RUNNING = "running"
    """It is at work, or its process was killed."""
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Stretch(NamedTuple):
    """What a replay reads of one lane. Times are microseconds since the epoch; 0 is not known."""

    topic: str
    partition: int
    from_position: int
    from_time: int
    to_position: int | None
    to_time: int | None
    done: bool = False
    """Whether it was read to its end."""


class Replay(NamedTuple):
    """A replay in the hands of one process."""

    replay_id: int
    source: str
    holder: str
    stretches: Sequence[Stretch]
    held: Mapping[Lane, Held]
    """By the source's own lane: the epoch and the position of the replay's row for it."""
    asked: Mapping[str, Any]
    records_read: int = 0
    summary: Mapping[str, Any] | None = None
    gap_id: int | None = None


class Noted(NamedTuple):
    """A replay as its row tells of it. Times are the server's."""

    replay_id: int
    source: str
    asked: dict[str, Any]
    state: str
    holder: str
    records_read: int
    summary: dict[str, Any] | None
    gap_id: int | None
    began_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    unseen: float
    """Seconds since `seen_at`."""


def own_lane(replay_id: int, lane: Lane) -> Lane:
    """The lane in `checkpoint` that holds how far a replay is with a lane of its source."""
    return Lane(f"{REPLAY_PREFIX}{replay_id}", lane.topic, lane.partition)


async def begin_replay(
    session: Session,
    source: str,
    stretches: Sequence[Stretch],
    *,
    asked: Mapping[str, object],
    holder: str,
    gap_id: int | None,
) -> Replay:
    """Note a new replay and hold its lanes, in one transaction."""
    async with session.transaction():
        replay_id = await session.fetchval(_BEGIN, source, _json(asked), holder, gap_id)
        columns = (list(column) for column in zip(*(each[:6] for each in stretches), strict=True))
        await session.execute(_BEGIN_LANES, replay_id, *columns)
        held = await _hold(session, replay_id, source, stretches, holder)
    return Replay(replay_id, source, holder, stretches, held, asked, gap_id=gap_id)


async def find_replay(session: Session, replay_id: int) -> tuple[str, dict[str, Any]]:
    """The source of a replay and what was asked for, in a transaction of its own. Raises ConfigurationError."""
    async with session.transaction():
        return await _find(session, replay_id)


async def resume_replay(session: Session, replay_id: int, holder: str) -> Replay:
    """Become the only process that works on a replay, in one transaction; whoever did before is fenced.

    Raises ConfigurationError where there is none of that number, Refused where it is done.
    """
    async with session.transaction():
        source, asked = await _find(session, replay_id)
        stretches = [Stretch(*lane) for lane in await session.fetch(_LANES, replay_id)]
        # In the order in which a batch takes these rows, lest the two lock each other out.
        held = await _hold(session, replay_id, source, stretches, holder)
        row = await session.fetchrow(_RESUME, replay_id, holder)
        if row is None:
            raise Refused(f"replay {replay_id} is done", remedy="To read the range again, give the command anew.")
        # What the former holder's last batch marked is known only now.
        stretches = [Stretch(*lane) for lane in await session.fetch(_LANES, replay_id)]
    records_read, summary, gap_id = row
    told = None if summary is None else json.loads(summary)
    return Replay(replay_id, source, holder, stretches, held, asked, records_read, told, gap_id)


async def tell_replay(
    session: Session, replay: Replay, records_read: int, summary: Mapping[str, object], done: Collection[Lane]
) -> None:
    """Within a batch's transaction: how far it is, and which lanes are done. Raises Fenced for another's replay."""
    if not await session.fetchval(_TELL, replay.replay_id, replay.holder, records_read, _json(summary)):
        raise _fenced(replay)
    if done:
        topics, partitions = [lane.topic for lane in done], [lane.partition for lane in done]
        await session.execute(_DONE, replay.replay_id, topics, partitions)


async def see_replay(session: Session, replay: Replay) -> None:
    """Tell that it is at work, in a transaction of its own."""
    async with session.transaction(limits=_SHORT):
        await session.execute(_SEEN, replay.replay_id, replay.holder)


async def finish_replay(session: Session, replay: Replay, *, close: bool) -> bool:
    """It is done; `close` closes its gap in the same transaction. Whether a gap was closed. Raises Fenced."""
    async with session.transaction():
        if not await session.fetchval(_END, replay.replay_id, replay.holder, ReplayState.DONE):
            raise _fenced(replay)
        return close and replay.gap_id is not None and await close_gap(session, replay.gap_id, replay.replay_id)


async def leave_replay(session: Session, replay: Replay, state: ReplayState) -> None:
    """It ends before it is done. One that another process has taken over is left as it is."""
    async with session.transaction(limits=_SHORT):
        await session.fetchval(_END, replay.replay_id, replay.holder, state)


async def read_replays(session: Session, limit: int) -> list[Noted]:
    """Within a transaction: the newest first."""
    return [_noted(row) for row in await session.fetch(_READ, limit)]


async def count_running(session: Session) -> dict[str, int]:
    """Within a transaction: by source, how many replays are at work now."""
    return {row[0]: row[1] for row in await session.fetch(_RUNNING, GONE)}


async def _find(session: Session, replay_id: int) -> tuple[str, dict[str, Any]]:
    row = await session.fetchrow(_FIND, replay_id)
    if row is None:
        raise ConfigurationError(f"there is no replay {replay_id}", remedy="`wikimirror replays` lists them.")
    return row[0], json.loads(row[1])


async def _hold(
    session: Session, replay_id: int, source: str, stretches: Sequence[Stretch], holder: str
) -> dict[Lane, Held]:
    lanes = {
        Lane(source, each.topic, each.partition): Position(each.from_position, each.from_time) for each in stretches
    }
    own = {own_lane(replay_id, lane): position for lane, position in lanes.items()}
    held = await take_over_within(session, own, holder)
    return {lane: held[own_lane(replay_id, lane)] for lane in lanes}


def _noted(row: Any) -> Noted:
    told = dict(row)
    told["asked"] = json.loads(told["asked"])
    told["summary"] = None if told["summary"] is None else json.loads(told["summary"])
    return Noted(**told)


def _fenced(replay: Replay) -> Fenced:
    return Fenced(
        f"another process works on replay {replay.replay_id}",
        remedy="Nothing to do: it goes on where this one was stopped. `wikimirror replays` tells who has it.",
    )


def _json(told: Mapping[str, object]) -> str:
    return json.dumps(dict(told), default=str)
