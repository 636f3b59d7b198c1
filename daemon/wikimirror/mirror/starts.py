"""Where lanes begin that nobody ever read: noted once, for all the lanes that a topic then has.

Several processes may come to a topic at the same time, each with some of its lanes. The first of them notes where all
begin. A lane that is not among those came later, and is read from its first record on. So one that came in between,
when another process has noted the topic already, must not be noted as if it had been there from the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from wikimirror.mirror.checkpoints import lane_columns
from wikimirror.mirror.connect import Session
from wikimirror.model import Lane, Position

_KNOWN = "SELECT DISTINCT topic FROM checkpoint WHERE source = $1"
# Rows are written in one order by all, so that two processes that start at once wait and do not deadlock.
_NOTE = """
INSERT INTO checkpoint (source, topic, partition, position, position_time, epoch, writer, updated_at)
SELECT u.source, u.topic, u.partition, u.position,
    timestamptz 'epoch' + nullif(u.time, 0) * interval '1 microsecond', 0, NULL, now()
FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
    AS u (source, topic, partition, position, time)
ORDER BY u.source COLLATE "C", u.topic COLLATE "C", u.partition
ON CONFLICT (source, topic, partition) DO NOTHING
RETURNING topic
"""


class _Late(Exception):
    """Another process was first."""


async def known_topics(session: Session, source: str) -> frozenset[str]:
    """The topics of a source of which some lane has a position."""
    async with session.transaction():
        return frozenset(topic for (topic,) in await session.fetch(_KNOWN, source))


async def note_starts(session: Session, starts: Mapping[Lane, Position], *, together: Collection[str] = ()) -> bool:
    """Note where lanes begin, except for those that have a position already. All of them, or none.

    `together`: topics of which no lane had a position before. False, and nothing is noted, where another process noted
    some lanes of such a topic meanwhile and there are more of them now: these came later.
    """
    lanes = sorted(starts)
    try:
        async with session.transaction():
            rows = await session.fetch(
                _NOTE,
                *lane_columns(lanes),
                [starts[lane].offset for lane in lanes],
                [starts[lane].time for lane in lanes],
            )
            noted, wanted = Counter(topic for (topic,) in rows), Counter(lane.topic for lane in lanes)
            if any(0 < noted[topic] < wanted[topic] for topic in together):
                raise _Late  # noqa: TRY301  # rolls all of it back
    except _Late:
        return False
    return True
