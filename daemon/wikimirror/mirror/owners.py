"""Who owns the lanes of a source now: the holder of its lease, and whoever says of itself that it reads them.

Asked before a person moves positions. Whoever says that it starts counts too: it may have lanes before it tells of
itself again. A process that took lanes over a moment ago and has told nothing yet may be overlooked: what keeps that
one from writing is the epoch in `checkpoint` (promise P5).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from wikimirror.mirror.connect import Session
from wikimirror.mirror.members import GONE

_READ: Final = """
SELECT coalesce(l.source, m.source) AS source, coalesce(l.holder, m.holder) AS holder, l.holder IS NOT NULL AS lease,
    m.role, coalesce(m.lanes, 0) AS lanes,
    least(l.acquired_at, m.started_at) AS since, greatest(l.renewed_at, m.seen_at) AS seen_at,
    extract(epoch FROM clock_timestamp() - greatest(l.renewed_at, m.seen_at))::float8 AS unseen
FROM (SELECT * FROM lease WHERE expires_at > clock_timestamp()) l
FULL JOIN (
    SELECT * FROM member WHERE seen_at > clock_timestamp() - $1::float8 * interval '1 second'
) m ON m.source = l.source AND m.holder = l.holder
WHERE l.holder IS NOT NULL OR m.role IN ('starting', 'active', 'draining') OR m.lanes > 0
ORDER BY 1, 2
"""


class Owner(NamedTuple):
    """A process that owns lanes of a source. Times are the server's."""

    source: str
    holder: str
    lease: bool
    """Whether it holds the source's lease."""
    role: str | None
    """What it last said of itself; None: it said nothing, and only its lease is known."""
    lanes: int
    """How many it said that it holds."""
    since: datetime
    seen_at: datetime
    """When it last renewed its lease or told of itself."""
    unseen: float
    """Seconds since then."""

    def wrote(self, writer: str | None) -> bool:
        """Whether this is the name of a writer of this process: its own, or that of one of its assignments."""
        return writer is not None and (writer == self.holder or writer.startswith(f"{self.holder}/"))


async def read_owners(session: Session, source: str | None = None) -> list[Owner]:
    """Within a transaction: all owners now, or those of one source."""
    owners = [Owner(*row) for row in await session.fetch(_READ, GONE)]
    return [owner for owner in owners if source is None or owner.source == source]
