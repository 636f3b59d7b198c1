"""The reports of the live mirror: what a daemon did, what a source brought, how far the mirror is. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wikimirror.ops.reports import PlayReport


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane. `behind`: seconds from publication to the mirror when its position last moved; None: never told.
    `quiet`: seconds since then. The rest is what its process told of it, None where that was never told.
    """

    source: str
    topic: str
    partition: int
    position: int
    position_time: datetime | None
    epoch: int
    writer: str | None
    updated_at: datetime
    behind: float | None
    quiet: float
    state: str | None = None
    """As observe.lanes.LaneState, or `stopped` where its process told nothing for a minute."""
    told_ago: float | None = None
    """Seconds since its process told of it: so old are the following."""
    seconds_behind: float | None = None
    records_behind: int | None = None
    catch_up_seconds: float | None = None
    """Until it is current at its present rate; None where it is, where `never`, and while that is not known."""
    never: bool = False
    """At its present rate it never becomes current."""
    headroom_seconds: float | None = None
    """Until the source deletes what is to be read next."""
    headroom_records: int | None = None


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """Who reads a source that one process at a time reads."""

    source: str
    holder: str
    epoch: int
    held: bool
    """False: it has run out or was given back, and nobody reads this source."""
    acquired_at: datetime
    renewed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A process that follows a source, as it last told of itself."""

    source: str
    holder: str
    member_id: str | None
    role: str
    state: str
    lanes: int
    seconds_behind: float | None
    records_behind: int | None
    """None: its source does not tell its end."""
    in_flight: int
    version: str
    started_at: datetime
    seen_at: datetime
    unseen: float
    """Seconds since then."""
    why: str | None
    """The state in words."""
    gone: bool
    """Nothing was heard of it for so long that it follows the source no more, or has no way to Postgres."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The mirror's state."""

    lanes: list[LaneStatus]
    leases: list[LeaseStatus]
    members: list[MemberStatus]
    records_behind: dict[str, int]
    """By source, of those that tell their end on all lanes that are read."""
    dead_letters: dict[str, int]
    gaps_open: int
    reconcile_open: dict[str, int]
    pages: int | None
    """About as many, as Postgres estimates; None: not known, for somebody has locked the table."""


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What one topic brought. `newest`: seconds from the publication of its newest record to the end of the check."""

    topic: str
    records: int
    canaries: int
    newest: float | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a source brought. Counts are of records, by reason or name."""

    source: str
    seconds: float
    connections: int
    failures: dict[str, int]
    """Why it could not be read for a while, in words, and how often."""
    records: int
    size: int
    """Bytes."""
    topics: list[TopicReport]
    schemas: dict[str, int]
    kinds: dict[str, int]
    """Of changes, those out of scope included."""
    ignored: dict[str, int]
    out_of_scope: int
    unreadable: dict[str, int]
    """These would be set aside."""
    behind_median: float | None
    """Seconds from publication to receipt, of records published while the check ran; None: there were none."""
    behind_most: float | None
    ahead: int
    """Records published later than this machine's clock says it is."""

    @property
    def usable(self) -> bool:
        """Whether the daemon could follow it as it is."""
        return self.records > 0 and not self.unreadable


@dataclass(frozen=True, slots=True)
class SourceRun:
    """What became of one source's records while the daemon ran."""

    name: str
    records: PlayReport


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a daemon did until it was stopped."""

    sources: list[SourceRun]
