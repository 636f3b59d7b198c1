"""Moving lanes' positions by hand, while no process owns them.

Raising the epoch is what makes it safe: a writer that was overlooked, frozen perhaps, is fenced at its next
transaction (promise P5). A position that moves forward opens a gap in the same transaction (promise P4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from wikimirror.errors import Refused
from wikimirror.mirror.checkpoints import lane_columns
from wikimirror.mirror.connect import Session
from wikimirror.mirror.gaps import open_gaps
from wikimirror.mirror.owners import Owner, read_owners
from wikimirror.model import Lane, Lost, Position

SKIPPED: Final = "skipped"
"""The reason of a gap that a person opened by moving a position forward."""

# Rows are locked before any is moved, in the order in which all lock them.
_SET: Final = """
WITH step AS (
    SELECT c.source, c.topic, c.partition, u.next_position, u.next_time
    FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS u (source, topic, partition, epoch, position, next_position, next_time)
    JOIN checkpoint c USING (source, topic, partition)
    WHERE c.epoch = u.epoch AND c.position = u.position
    ORDER BY c.source, c.topic, c.partition
    FOR UPDATE OF c
)
UPDATE checkpoint c SET position = s.next_position, epoch = c.epoch + 1, updated_at = now(),
    position_time = timestamptz 'epoch' + nullif(s.next_time, 0) * interval '1 microsecond'
FROM step s
WHERE c.source = s.source AND c.topic = s.topic AND c.partition = s.partition
RETURNING c.source, c.topic, c.partition
"""


class Setting(NamedTuple):
    """A lane whose position is to be moved, as it was looked at, and where to."""

    lane: Lane
    epoch: int
    before: Position
    after: Position
    lost: Lost | None = None
    """What a move forward leaves out: it becomes a gap."""


async def set_positions(session: Session, steps: Sequence[Setting]) -> None:
    """Move them all or none, in one transaction, each with a new epoch. All are lanes of one source.

    Raises Refused where a process owns lanes of the source, or where a lane is not as it was looked at.
    """
    wanted = sorted(steps, key=lambda each: each.lane)
    async with session.transaction():
        rows = await session.fetch(
            _SET,
            *lane_columns(each.lane for each in wanted),
            [each.epoch for each in wanted],
            [each.before.offset for each in wanted],
            [each.after.offset for each in wanted],
            [each.after.time for each in wanted],
        )
        # Looked at under the locks: whoever takes the lanes over from now on waits, and finds the new positions.
        for source in {each.lane.source for each in wanted}:
            refuse_owned(source, await read_owners(session, source))
        moved = {Lane(*row) for row in rows}
        if still := [str(each.lane) for each in wanted if each.lane not in moved]:
            raise Refused(
                f"{', '.join(still)}: the position was moved or taken over since it was looked at; nothing was changed",
                remedy="Look at `wikimirror checkpoints list`, and give the command again.",
            )
        await open_gaps(session, [each.lost for each in wanted if each.lost is not None])


def refuse_owned(source: str, owners: Sequence[Owner]) -> None:
    """Raise Refused if there are any, with who they are and how to stop them."""
    if not owners:
        return
    told = ", ".join(f"{owner.holder} ({_how(owner)})" for owner in owners)
    raise Refused(
        f"lanes of {source} are owned by {told}; nothing was changed",
        remedy=(
            "Stop each of these processes (SIGTERM, or scale the deployment to 0) and its standbys, wait until"
            " `wikimirror checkpoints list` shows no owner, and give the command again. To read a range again while the"
            " daemon runs, use `wikimirror replay`."
        ),
    )


def _how(owner: Owner) -> str:
    lease = "holds the lease" if owner.lease else owner.role or "reads"
    return f"{lease}, last seen {owner.unseen:.0f} s ago"
