"""What one source's pipeline is doing, as plain numbers.

Written by the pipeline, judged by `observe.health`, exported by `observe.metrics`. Everything is changed in the event
loop's own thread and between two awaits, so that whoever reads in that thread finds sums that add up (promise P4).

Times of day are seconds since the epoch (freshness, lag); durations come from a monotonic clock, which never steps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wikimirror.model import MICROSECONDS, Lane, Position
from wikimirror.observe.effort import Effort
from wikimirror.observe.moves import goes_back


class Role(StrEnum):
    """What this process is for a source."""

    STARTING = "starting"
    STANDBY = "standby"
    """Others read: another process holds the lease, or the group has given its partitions to other members."""
    ACTIVE = "active"
    DRAINING = "draining"
    HALTED = "halted"
    """Too much would have been set aside: it reads no more until it is started again."""
    STOPPED = "stopped"


class Stage(StrEnum):
    """A loop that must make progress (promise P7)."""

    READ = "read"
    ASSEMBLE = "assemble"
    APPLY = "apply"
    LEASE = "lease"


class Waiting(StrEnum):
    """What of the environment a pipeline may wait for, without limit."""

    SOURCE = "source"
    DATABASE = "database"
    """The connection that applies."""
    LEASE = "lease"
    """The connection that keeps the lease."""


@dataclass(slots=True)
class Accounts:
    """What became of the records read (promise P4). Counts of records by reason, `applied` by kind of change."""

    read: int = 0
    in_flight: int = 0
    given_back: int = 0
    """Read, but not applied by this process: its lane was lost or it stopped, and the next owner reads them again."""
    ignored: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)

    def take(self, records: int = 1) -> None:
        """Records were read."""
        self.read += records
        self.in_flight += records

    def settle(
        self,
        records: int,
        *,
        ignored: Mapping[str, int],
        applied: Mapping[str, int],
        refused: Mapping[str, int],
        set_aside: Mapping[str, int],
    ) -> None:
        """A batch that `records` were read for is durable, and this became of them."""
        self.in_flight -= records
        self.ignored.update(ignored)
        self.applied.update(applied)
        self.refused.update(refused)
        self.set_aside.update(set_aside)

    def give_back(self) -> None:
        """Nothing in flight will be applied by this process."""
        self.given_back += self.in_flight
        self.in_flight = 0

    @property
    def unaccounted(self) -> int:
        """Records of which nothing is told. 0, or promise P4 is broken."""
        told = sum(sum(counts.values()) for counts in (self.ignored, self.applied, self.refused, self.set_aside))
        return self.read - self.in_flight - self.given_back - told


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait for the environment: since when (monotonic), for what reason, how many attempts failed."""

    since: float
    reason: str
    attempts: int


@dataclass(slots=True)
class Beat:
    """Whether a stage has work in hand, and when it last made progress with it (monotonic)."""

    at: float
    busy: bool


@dataclass(slots=True)
class Newest:
    """The newest record read of one lane, canaries included."""

    published: float
    """Time of day that the source published it."""
    received: float
    """Monotonic."""
    lag: float
    """Seconds from the one to the other, by the time of day of this machine; never below 0."""


@dataclass(slots=True)
class Vitals:
    """One source's pipeline."""

    source: str
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    shared: bool = False
    """Several processes read this source at a time, each some of its lanes, as members of a group."""
    member_id: str | None = None
    """What the group knows this process by across restarts, where it is told to."""
    role: Role = Role.STARTING
    halted: str | None = None
    """Why it reads no more, where it halted."""
    positioned: bool = False
    """The positions to read from are known."""
    connected: bool = False
    connects: int = 0
    disconnects: Counter[str] = field(default_factory=Counter)
    """By a reason of a closed set."""
    lane_losses: int = 0
    """How often another writer took the lanes over."""
    retries: Counter[str] = field(default_factory=Counter)
    """Attempts that failed for the environment, by what was waited for."""
    waits: dict[Waiting, Wait] = field(default_factory=dict)
    beats: dict[Stage, Beat] = field(default_factory=dict)
    held: frozenset[Lane] = frozenset()
    """The lanes of this process."""
    holds: int = 0
    """How often lanes were taken or given up: what was seen of them before another hold says nothing of them now."""
    durable: dict[Lane, Position] = field(default_factory=dict)
    """The next position of each lane held, as durable."""
    went_back: dict[Lane, float] = field(default_factory=dict)
    """Monotonic: when the durable position of a lane held last went back."""
    reached: Mapping[Lane, Position] = field(default_factory=dict)
    """The next position to read of each lane held. The reader's own, so that it costs nothing to tell."""
    log_starts: dict[Lane, int] = field(default_factory=dict)
    """The offset of the oldest record that the source holds. Only of lanes held whose source tells it."""
    ends: dict[Lane, int] = field(default_factory=dict)
    """The offset that the next record will get. Only of lanes held whose source tells it."""
    retention: float | None = None
    """Seconds for which the source keeps what it published, as the settings say it; None: they do not."""
    effort: Effort = field(default_factory=Effort)
    newest: dict[Lane, Newest] = field(default_factory=dict)
    """Of the lanes held that brought a record which tells when it was published."""
    records_behind: dict[Lane, int] = field(default_factory=dict)
    """Records that are not durable yet, to the lane's end. Only of lanes held whose source tells their end."""
    behind_since: dict[Lane, float] = field(default_factory=dict)
    """Monotonic: since when a lane has not been read to its end."""
    rebalances: int = 0
    """How often the group gave its lanes out anew."""
    missing_topics: tuple[str, ...] = ()
    """Topics of the settings that the source does not have."""
    topics_found: int = 0
    """How many topics of the settings the source has, where `missing_topics` is told."""
    accounts: Accounts = field(default_factory=Accounts)
    first_joined: float | None = None
    """Monotonic: the first connection. Silence is measured from here until a record comes."""
    last_received: float | None = None
    """Monotonic: the last record, canaries included."""
    last_applied: float | None = None
    """Time of day of the last batch that became durable."""
    applied_lag: float | None = None
    """Seconds from publication to durable of the newest record of the last batch."""
    oldest_in_flight: float | None = None
    """Time of day that the oldest record in flight was published; None: nothing is in flight, or it is not told."""
    bytes_waiting: int = 0
    """Held between reading and applying."""
    batches: int = 0

    def joined(self) -> None:
        """The source answered and sends."""
        if self.first_joined is None:
            self.first_joined = self.monotonic()
        self.connected = True
        self.connects += 1
        self.resume(Waiting.SOURCE)

    def left(self, reason: str) -> None:
        """The connection to the source is over, for a reason of a closed set."""
        self.connected = False
        self.disconnects[reason] += 1

    def busy(self, stage: Stage) -> None:
        """The stage has work in hand and got on with it just now."""
        self.beats[stage] = Beat(self.monotonic(), busy=True)

    def idle(self, stage: Stage) -> None:
        """The stage waits for work, for room or for the environment: it cannot be stalled."""
        self.beats[stage] = Beat(self.monotonic(), busy=False)

    def wait(self, what: Waiting, reason: str) -> None:
        """An attempt failed for the environment's fault; another will be made."""
        before = self.waits.get(what)
        self.retries[what] += 1
        if before is None:
            self.waits[what] = Wait(self.monotonic(), reason, 1)
        else:
            self.waits[what] = Wait(before.since, reason, before.attempts + 1)

    def resume(self, what: Waiting) -> None:
        """What was waited for is there."""
        self.waits.pop(what, None)

    def hold(self, lanes: Iterable[Lane]) -> None:
        """These are the lanes of this process from now on. What was known of any other is forgotten."""
        held = set(lanes)
        if not self.lanes:
            # Whoever had no lane heard nothing: that was not the source's silence.
            self.last_received = None
            self.first_joined = self.monotonic() if self.connected else None
        self.held = frozenset(held)
        self.holds += 1
        self.durable, self.reached, self.went_back = {}, {}, {}
        self.log_starts = {lane: start for lane, start in self.log_starts.items() if lane in held}
        self.ends = {lane: end for lane, end in self.ends.items() if lane in held}
        self.newest = {lane: newest for lane, newest in self.newest.items() if lane in held}
        self.records_behind = {lane: count for lane, count in self.records_behind.items() if lane in held}
        self.behind_since = {lane: since for lane, since in self.behind_since.items() if lane in held}
        self.applied_lag = None

    def moved(self, positions: Mapping[Lane, Position], lost: Collection[Lane] = ()) -> None:
        """What is before these positions is durable, but for a stretch of the lanes that is lost."""
        for lane, position in positions.items():
            former = self.durable.get(lane, position)
            if goes_back(former, position, lost=lane in lost):
                self.went_back[lane] = self.monotonic()
            # A time of 0 leaves what is kept as it is.
            self.durable[lane] = Position(position.offset, position.time or former.time)

    @property
    def lanes(self) -> int:
        """How many this process holds."""
        return len(self.held)

    @property
    def all_records_behind(self) -> int | None:
        """Of all lanes held; None while not all of them tell."""
        told = self.records_behind
        return sum(told.values()) if told and len(told) == self.lanes else None

    def told_end(self, lane: Lane, records: int, end: int | None = None) -> None:
        """The source tells how many records of a lane are not durable yet, and the offset that its next will get."""
        self.records_behind[lane] = records
        if end is not None:
            self.ends[lane] = end
        if records:
            self.behind_since.setdefault(lane, self.monotonic())
        else:
            self.behind_since.pop(lane, None)

    def forget_end(self, lane: Lane) -> None:
        """The source does not tell a lane's end for now."""
        self.records_behind.pop(lane, None)
        self.ends.pop(lane, None)
        self.behind_since.pop(lane, None)

    def heard(self, lane: Lane, published_us: int) -> None:
        """A record of a lane was read for the first time, published at that time (0: not told).

        Not for one that is read again: each connection begins with some, even if the source has nothing new to say.
        """
        now = self.monotonic()
        self.last_received = now
        if published_us:
            published = published_us / MICROSECONDS
            newest = self.newest.get(lane)
            # One that was dated in the future must not hide all that come after it.
            if newest is None or published >= newest.published or newest.published > self.wall():
                self.newest[lane] = Newest(published, now, max(0.0, self.wall() - published))
