"""Moving positions by hand: where each lane would go, and what that means, before anything is written.

Where a source is resumed by time, its lanes go to an instant. Going back they then have the offset 0, which says that
no offset is expected: what the ledger knows does not tell which record comes first there, since records out of scope
are in no ledger, and a wrong guess would look like a loss. Going forward the offset stays, so that a loss shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from wikimirror.errors import ConfigurationError
from wikimirror.mirror.checkpoints import NOW, Held
from wikimirror.mirror.connect import Session
from wikimirror.mirror.owners import Owner, read_owners
from wikimirror.mirror.positions_set import SKIPPED, Setting, set_positions
from wikimirror.mirror.stretches import Known, Stretch, published_of, read_known
from wikimirror.model import MICROSECONDS, Lane, Lost, Position
from wikimirror.ops.checkpoints.listing import owner_row
from wikimirror.ops.checkpoints.reports import Direction, LaneMove, MoveReport

Resolve = Callable[[Mapping[Lane, int]], Awaitable[Mapping[Lane, Position]]]
"""Asks a source for the position of each lane at a time in microseconds."""

_LANES: Final = """
SELECT source, topic, partition, epoch, position,
    coalesce((extract(epoch FROM position_time) * 1000000)::bigint, 0)
FROM checkpoint
WHERE source = $1 AND ($2::text IS NULL OR topic = $2) AND ($3::int IS NULL OR partition = $3)
ORDER BY source, topic, partition
"""
_MARGIN: Final = 3600 * MICROSECONDS
"""At most so much later than what the source still keeps: until a daemon reads, some of that will be gone."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Target(NamedTuple):
    """Where to. Exactly one is set."""

    offset: int | None = None
    time: int | None = None
    """Microseconds since the epoch."""
    back: int | None = None
    """Microseconds before the instant that a lane is at; before now where that is not known."""


class Wanted(NamedTuple):
    """Which lanes are to be moved, and where to."""

    source: str
    topic: str | None
    partition: int | None
    target: Target
    only_back: bool
    """Lanes that are not after the target stay where they are."""


class Reach(NamedTuple):
    """How a source is resumed."""

    resolve: Resolve | None
    """None: by time."""
    retention: int | None = None
    """How long it keeps its records, in microseconds; None: not known."""


class Planned(NamedTuple):
    """What is to be written, and what is told of it."""

    settings: list[Setting]
    report: MoveReport


async def plan(session: Session, wanted: Wanted, reach: Reach) -> Planned:
    """Look at everything that moving the positions means, and write nothing.

    Raises ConfigurationError where there are no such lanes or they cannot go there, SourceUnavailable, SourceRefused.
    """
    async with session.transaction():
        rows = await session.fetch(_LANES, wanted.source, wanted.topic, wanted.partition)
        held = {Lane(*row[:3]): Held(*row[3:]) for row in rows}
        now = int(await session.fetchval(NOW))
        owners = await read_owners(session, wanted.source)
    _require_lanes(wanted, held)
    targets = await _targets(session, wanted, held, reach, now)
    moves = {lane: _setting(lane, held[lane], targets[lane], by_time=reach.resolve is None) for lane in held}
    ways = {lane: _direction(each, wanted, by_time=reach.resolve is None) for lane, each in moves.items()}
    _require_kept(moves, ways, reach, now)
    going = {lane: each for lane, each in moves.items() if ways[lane] is not Direction.STAYS}
    known = await read_known(session, [_stretch(each) for each in going.values()], by_time=reach.resolve is None)
    lanes = [
        _told(each, ways[lane], None if known is None else known.get(lane, Known(0)), by_time=reach.resolve is None)
        for lane, each in moves.items()
    ]
    settings = [each if ways[lane] is Direction.FORWARD else each._replace(lost=None) for lane, each in going.items()]
    return Planned(settings, _report(wanted, lanes, owners))


async def move(session: Session, planned: Planned) -> MoveReport:
    """Do it. Raises Refused where a process owns lanes of the source, or something is not as it was planned on."""
    await set_positions(session, planned.settings)
    report = planned.report
    return MoveReport(source=report.source, moved=bool(planned.settings), lanes=report.lanes, owners=[])


async def _targets(
    session: Session, wanted: Wanted, held: Mapping[Lane, Held], reach: Reach, now: int
) -> Mapping[Lane, Position]:
    target = wanted.target
    if target.offset is not None:
        return {lane: Position(target.offset, await _time_of(session, lane, target.offset, reach)) for lane in held}
    back = target.back or 0
    # What is still to come cannot be skipped.
    times = {
        lane: min(max(now, each.time), max(1, (each.time or now) - back if target.time is None else target.time))
        for lane, each in held.items()
    }
    if reach.resolve is not None:
        return await reach.resolve(times)
    kept = 0 if reach.retention is None else now - reach.retention + min(reach.retention // 20, _MARGIN)
    return {lane: _by_time(held[lane], time, kept) for lane, time in times.items()}


def _by_time(held: Held, time: int, kept: int) -> Position:
    """Going back ends at `kept`: before that there is nothing to read again, and a gap would be told that is none."""
    if time < held.time:
        time = min(held.time, max(time, kept))
    return Position(held.position if time > held.time else 0, time)


async def _time_of(session: Session, lane: Lane, offset: int, reach: Reach) -> int:
    time = await published_of(session, lane, offset)
    if time is None and reach.resolve is None:
        raise ConfigurationError(
            f"{lane} is resumed by time, and the ledger knows no record of it with the offset {offset}",
            remedy="Name an instant instead: --to 2026-11-21T03:00:00Z.",
        )
    return time or 0


def _require_lanes(wanted: Wanted, held: Mapping[Lane, Held]) -> None:
    place = " ".join(str(part) for part in (wanted.source, wanted.topic, wanted.partition) if part is not None)
    if not held:
        raise ConfigurationError(
            f"no lane of {place} has a position yet",
            remedy="`wikimirror checkpoints list` shows those that have. Others begin by the setting start.",
        )
    if wanted.target.offset is not None and len(held) > 1:
        raise ConfigurationError(
            f"{place} is {len(held)} lanes, and an offset belongs to one",
            remedy="Name the topic and the partition too, or an instant.",
        )


def _require_kept(moves: Mapping[Lane, Setting], ways: Mapping[Lane, Direction], reach: Reach, now: int) -> None:
    """Going on from where the source keeps nothing would only be found to be a loss."""
    if reach.retention is None:
        return
    oldest = now - reach.retention
    for lane, each in moves.items():
        if each.after.time < oldest and ways[lane] is not Direction.STAYS:
            raise ConfigurationError(
                f"{lane}: the source keeps nothing from so long ago, as its setting retention says",
                remedy=f"Name an instant after {_EPOCH + timedelta(microseconds=oldest):%Y-%m-%dT%H:%M:%SZ}.",
            )


def _setting(lane: Lane, held: Held, after: Position, *, by_time: bool) -> Setting:
    before = Position(held.position, held.time)
    # By time, an offset of 0 says that none is known, and so does -1 in a gap.
    since, until = (Position(held.position or -1, held.time), Position(-1, after.time)) if by_time else (before, after)
    return Setting(lane, held.epoch, before, after, Lost(lane, since, until, SKIPPED))


def _direction(each: Setting, wanted: Wanted, *, by_time: bool) -> Direction:
    before, after = each.before, each.after
    by = after.time - before.time if by_time else after.offset - before.offset
    if by < 0:
        return Direction.BACK
    return Direction.FORWARD if by > 0 and not wanted.only_back else Direction.STAYS


def _stretch(each: Setting) -> Stretch:
    first, last = sorted((each.before, each.after), key=lambda position: position.offset)
    since, until = sorted((each.before.time, each.after.time))
    return Stretch(each.lane, first.offset, last.offset, since, until)


def _told(each: Setting, way: Direction, known: Known | None, *, by_time: bool) -> LaneMove:
    stays = way is Direction.STAYS
    after = each.before if stays else each.after
    return LaneMove(
        *each.lane,
        epoch=each.epoch,
        direction=way,
        by_time=by_time,
        from_position=each.before.offset,
        from_time=_instant(each.before.time),
        to_position=after.offset,
        to_time=_instant(after.time),
        records=0 if stays else None if known is None else known.records,
        oldest=None if known is None else known.oldest,
        newest=None if known is None else known.newest,
    )


def _report(wanted: Wanted, lanes: list[LaneMove], owners: list[Owner]) -> MoveReport:
    return MoveReport(source=wanted.source, moved=False, lanes=lanes, owners=[owner_row(owner) for owner in owners])


def _instant(time: int) -> datetime | None:
    """Microseconds since the epoch as an instant; 0 is none."""
    return _EPOCH + timedelta(microseconds=time) if time else None
