"""The reports of the commands about positions and gaps. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Direction(StrEnum):
    """Which way a position is moved."""

    BACK = "back"
    """Records are read again."""
    FORWARD = "forward"
    """Records are left out, and a gap tells of them."""
    STAYS = "stays"
    """It is where it was asked to be, or before it where only going back was asked for."""


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """A process that owns lanes of a source now. `unseen`: seconds since it last told of itself."""

    source: str
    holder: str
    lease: bool
    role: str | None
    since: datetime
    seen_at: datetime
    unseen: float


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One lane's position, and who owns it now. `owner` None: nobody does."""

    source: str
    topic: str
    partition: int
    position: int
    position_time: datetime | None
    epoch: int
    writer: str | None
    updated_at: datetime
    owner: OwnerRow | None


@dataclass(frozen=True, slots=True)
class ReplayPosition:
    """How far a replay got with one lane. `of`: the source that it reads again."""

    replay_id: int
    of: str
    state: str
    topic: str
    partition: int
    position: int
    position_time: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CheckpointsReport:
    """Every position, those of replays apart."""

    lanes: list[CheckpointRow]
    owners: list[OwnerRow]
    replays: list[ReplayPosition]


@dataclass(frozen=True, slots=True)
class LaneMove:
    """How one lane's position is or would be moved."""

    source: str
    topic: str
    partition: int
    epoch: int
    direction: Direction
    by_time: bool
    """Whether the source is resumed by time: then the time counts, and offsets only check."""
    from_position: int
    from_time: datetime | None
    to_position: int
    to_time: datetime | None
    records: int | None
    """About how many records of the stretch the ledger knows; None: it could not be counted in time."""
    oldest: datetime | None
    """When the first of these was published."""
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class MoveReport:
    """What moving positions did, or would do."""

    source: str
    moved: bool
    """False: nothing was written."""
    lanes: list[LaneMove]
    owners: list[OwnerRow]
    """As long as there are any, it is refused."""

    def going(self, direction: Direction) -> list[LaneMove]:
        """The lanes that go that way."""
        return [lane for lane in self.lanes if lane.direction is direction]


@dataclass(frozen=True, slots=True)
class GapRow:
    """A stretch of a lane that was lost. `replay_id`: the replay that closed it."""

    gap_id: int
    source: str
    topic: str
    partition: int
    from_position: int | None
    to_position: int | None
    from_time: datetime | None
    to_time: datetime | None
    reason: str
    opened_at: datetime
    closed_at: datetime | None
    replay_id: int | None


@dataclass(frozen=True, slots=True)
class GapsReport:
    """Gaps, open ones first, of each the oldest first."""

    gaps: list[GapRow]
    closed_left_out: int
    """Closed gaps that were not asked for."""
