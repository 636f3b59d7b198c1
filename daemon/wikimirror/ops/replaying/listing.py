"""Reports of replays: of one that was read to its end, and of all that there were."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from wikimirror.mirror.checkpoints import Held
from wikimirror.mirror.connect import Session
from wikimirror.mirror.members import GONE
from wikimirror.mirror.replays import Noted, ReplayState, Stretch, read_replays
from wikimirror.model import Lane, Lost, Position
from wikimirror.ops.replaying.reports import LostStretch, ReplayLane, ReplayReport, ReplayRow, ReplaysReport
from wikimirror.ops.replaying.work import Outcome

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def replays(session: Session, limit: int) -> ReplaysReport:
    """The newest of them. The session may be read-only."""
    async with session.transaction():
        return ReplaysReport([_row(noted) for noted in await read_replays(session, limit)])


def report_of(
    source: str,
    stretches: Sequence[Stretch],
    outcome: Outcome,
    *,
    replay_id: int | None = None,
    gap_id: int | None = None,
    difference: dict[str, dict[str, int]] | None = None,
) -> ReplayReport:
    """What became of ranges that were read to their ends."""
    tally, held = outcome.tally, outcome.held
    return ReplayReport(
        replay_id=replay_id,
        source=source,
        lanes=[_lane(each, held[Lane(source, each.topic, each.partition)]) for each in stretches],
        read=tally.read,
        ignored=dict(tally.ignored),
        applied=dict(tally.applied),
        refused=dict(tally.refused),
        set_aside=dict(tally.set_aside),
        lost=[_lost(each) for each in tally.lost],
        seconds=outcome.seconds,
        gap_id=gap_id,
        gap_closed=outcome.gap_closed,
        difference=difference,
    )


def _lane(stretch: Stretch, held: Held) -> ReplayLane:
    return ReplayLane(
        topic=stretch.topic,
        partition=stretch.partition,
        from_position=stretch.from_position,
        from_time=_instant(stretch.from_time),
        to_position=stretch.to_position,
        to_time=_instant(stretch.to_time),
        position=held.position,
    )


def _lost(lost: Lost) -> LostStretch:
    return LostStretch(
        lost.lane.topic, lost.lane.partition, *_place(lost.after), *_place(lost.until), reason=lost.reason
    )


def _place(position: Position) -> tuple[int | None, datetime | None]:
    return None if position.offset < 0 else position.offset, _instant(position.time)


def _instant(microseconds: int | None) -> datetime | None:
    return _EPOCH + timedelta(microseconds=microseconds) if microseconds else None


def _row(noted: Noted) -> ReplayRow:
    killed = noted.state == ReplayState.RUNNING and noted.unseen > GONE
    told = noted._asdict()
    del told["unseen"]
    resumable = killed or noted.state in {ReplayState.FAILED, ReplayState.INTERRUPTED}
    return ReplayRow(**told, killed=killed, resumable=resumable)
