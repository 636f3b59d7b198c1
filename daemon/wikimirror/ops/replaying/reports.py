"""What replays did, and which there were. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class ReplayLane:
    """What was read of one lane."""

    topic: str
    partition: int
    from_position: int
    from_time: datetime | None
    to_position: int | None
    to_time: datetime | None
    """Without any end the range goes on to what the source held when it was read."""
    position: int
    """The next that would be read."""


@dataclass(frozen=True, slots=True)
class LostStretch:
    """A stretch of the range that the source no longer gives. None: not known."""

    topic: str
    partition: int
    from_position: int | None
    from_time: datetime | None
    to_position: int | None
    to_time: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """A replay that was read to its end. Counts as of records, over all its runs (promise P4)."""

    replay_id: int | None
    """None: a dry run, which is none."""
    source: str
    lanes: list[ReplayLane]
    read: int
    ignored: dict[str, int]
    applied: dict[str, int]
    """By kind of change."""
    refused: dict[str, int]
    set_aside: dict[str, int]
    lost: list[LostStretch]
    seconds: float
    """Of this run."""
    gap_id: int | None
    """The gap that it was to fill."""
    gap_closed: bool
    difference: dict[str, dict[str, int]] | None
    """Of a dry run: by table how many rows would be inserted, updated and deleted."""

    @property
    def unaccounted(self) -> int:
        """Records read of which nothing is told. 0, or promise P4 is broken."""
        return self.read - sum(
            sum(told.values()) for told in (self.ignored, self.applied, self.refused, self.set_aside)
        )

    @property
    def would_change(self) -> bool:
        """Whether it is a dry run of a replay that would change something."""
        return any(any(counts.values()) for counts in (self.difference or {}).values())

    @property
    def differs(self) -> bool:
        """Whether a person has to look: something is missing, unaccounted for, or would be other than it is."""
        unfilled = self.gap_id is not None and not self.gap_closed and self.difference is None
        return bool(self.lost or self.unaccounted or self.would_change or unfilled)


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """A replay as Postgres knows it."""

    replay_id: int
    source: str
    state: str
    """As in the table."""
    killed: bool
    """It is said to run, and its process has told nothing for a minute."""
    asked: dict[str, Any]
    holder: str
    records_read: int
    summary: dict[str, Any] | None
    gap_id: int | None
    began_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    resumable: bool
    """Whether `replay --resume` would go on with it and take it from nobody."""


@dataclass(frozen=True, slots=True)
class ReplaysReport:
    """The newest first."""

    replays: list[ReplayRow]
