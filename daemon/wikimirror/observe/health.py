"""Is a source's pipeline alive, ready and current? Pure verdicts on its vitals (promise P7).

Alive: no loop has work in hand without getting on with it. Whoever fails this is to be restarted.
Ready: alive, and positioned and connected, or standing by for another process. Whoever fails this waits for something
that a restart does not bring.

Durations come from the monotonic clock, so a stepping time of day changes neither. It can change the seconds behind,
which are measured between two machines' times of day and are never below 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from wikimirror.model import Lane
from wikimirror.observe.vitals import Role, Stage, Vitals, Waiting
from wikimirror.observe.withhold import mask_secrets

TOGETHER: Final = 60.0
"""Seconds within which lanes that are being read bring records. One that has not brought any for so long, while others
did, has reached its end: what its last record was late by says nothing any more. Used where no source tells the end."""


_LOOKED: Final = 5.0
"""Seconds. Ends are looked at every few seconds: a lane that was behind less long ago may have been read since."""
_SAID: Final = 300
"""Characters of a reason that are repeated."""


class State(StrEnum):
    """What a source's pipeline is doing, in one word."""

    STARTING = "starting"
    """It has neither lease nor positions yet."""
    STANDBY = "standby"
    """Others read this source; this process takes over when one of them ends."""
    CONNECTING = "connecting"
    """It is about to read, or is connected and has received nothing new yet."""
    WAITING = "waiting"
    """The source or Postgres is not there. It is tried again without end."""
    CATCHING_UP = "catching_up"
    """It reads what was published at least `behind_after` ago."""
    CURRENT = "current"
    """What is published is in the mirror less than `behind_after` later, as far as is told."""
    SILENT = "silent"
    """Connected, with nothing in hand, and nothing new came for `silent_after`, and no end is known to be reached."""
    STALLED = "stalled"
    """A loop has work in hand and has not got on with it for `stalled_after`."""
    HALTED = "halted"
    """Too much would have been set aside. It reads no more until it is started again."""
    DRAINING = "draining"
    """It no longer reads and applies what it has read."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on what is so is told. Seconds."""

    stalled_after: float
    silent_after: float
    behind_after: float


class Now(NamedTuple):
    """One instant on both clocks: seconds of a clock that never steps, and seconds since the epoch."""

    monotonic: float
    wall: float

    @classmethod
    def of(cls, vitals: Vitals) -> Now:
        """The present, by the clocks that the vitals are kept with."""
        return cls(vitals.monotonic(), vitals.wall())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be told of one source."""

    source: str
    role: Role
    state: State
    alive: bool
    ready: bool
    why: str
    """In words."""
    seconds_behind: float | None
    """None: not known."""
    silent_seconds: float | None
    """Since the last new record, or since the first connection where none came. None: it never was connected."""
    stalled: tuple[Stage, ...] = ()


class _Finding(NamedTuple):
    state: State
    ready: bool
    why: str


def judge(vitals: Vitals, thresholds: Thresholds, now: Now) -> Verdict:
    """The verdict on one source at one instant."""
    behind, silent = seconds_behind(vitals, now), silent_seconds(vitals, now)
    stalled = stalled_stages(vitals, thresholds, now)
    found = (
        _stalled(vitals, stalled, now)
        or _resting(vitals)
        or _waiting(vitals, now)
        or _without_topics(vitals)
        or _not_reading(vitals)
        or _reading(vitals, thresholds, behind, silent)
    )
    why = found.why
    if vitals.missing_topics and found.state is not State.WAITING:
        why += f"; topics that are not there: {_missing(vitals)}"
    return Verdict(
        source=vitals.source,
        role=vitals.role,
        state=found.state,
        alive=not stalled,
        ready=found.ready,
        why=why,
        seconds_behind=behind,
        silent_seconds=silent,
        stalled=stalled,
    )


def seconds_behind(vitals: Vitals, now: Now) -> float | None:
    """How long ago that was published which is next to become durable; None when nothing tells.

    The greatest of: the age of the oldest record in flight, and how late the lane is that is furthest behind (where no
    lane tells: how late the last batch was when it became durable), to which the time is added in which the source
    could not be reached. Silence adds nothing: then nothing is published, as far as is known.
    """
    if vitals.role not in {Role.ACTIVE, Role.DRAINING}:
        return None
    lanes = lateness(vitals, now)
    # The worst: another lane must not hide one that is behind.
    late = max(lanes.values(), default=None)
    if late is None and vitals.applied_lag is not None:
        late = vitals.applied_lag + _outage(vitals, now)
    oldest = vitals.oldest_in_flight
    age = None if oldest is None else max(0.0, now.wall - oldest)
    return max((told for told in (late, age) if told is not None), default=None)


def lateness(vitals: Vitals, now: Now) -> dict[Lane, float]:
    """How late each lane is of which anything is told, in seconds; what is in flight is left out."""
    outage = _outage(vitals, now)
    last_receipt = max((newest.received for newest in vitals.newest.values()), default=0.0)
    lanes = vitals.newest.keys() | vitals.records_behind.keys()
    return {lane: _late(vitals, lane, last_receipt, outage, now) for lane in lanes}


def silent_seconds(vitals: Vitals, now: Now) -> float | None:
    """Since when nothing new came: since the last record or the first connection. None: it never was connected."""
    since = vitals.first_joined if vitals.last_received is None else vitals.last_received
    return None if since is None else _since(since, now)


def stalled_stages(vitals: Vitals, thresholds: Thresholds, now: Now) -> tuple[Stage, ...]:
    """The loops of this role that have work in hand and have not got on with it for `stalled_after`."""
    return tuple(
        stage
        for stage, beat in vitals.beats.items()
        if stage in _STAGES[vitals.role] and beat.busy and _since(beat.at, now) >= thresholds.stalled_after
    )


# Of a pipeline that was aborted the last words may stand: what it was busy with, and what it waited for.
_AROUND: Final = frozenset({Stage.LEASE})
_STAGES: Final = {
    Role.STARTING: _AROUND,
    Role.STANDBY: _AROUND,
    Role.ACTIVE: frozenset(Stage),
    Role.DRAINING: frozenset(Stage),
    Role.HALTED: frozenset[Stage](),
    Role.STOPPED: frozenset[Stage](),
}


def _waits_of(vitals: Vitals) -> tuple[Waiting, ...]:
    """What this role waits for. A member of a group is in touch with the source without any lane, too."""
    if vitals.role is Role.ACTIVE:
        return tuple(Waiting)
    return (Waiting.LEASE, Waiting.SOURCE) if vitals.shared else (Waiting.LEASE,)


def _since(instant: float, now: Now) -> float:
    return max(0.0, now.monotonic - instant)


def _outage(vitals: Vitals, now: Now) -> float:
    wait = vitals.waits.get(Waiting.SOURCE)
    return 0.0 if wait is None else _since(wait.since, now)


def _late(vitals: Vitals, lane: Lane, last_receipt: float, outage: float, now: Now) -> float:
    """A lane that has been read to its end is not late, and one that does not bring what it has gets ever later."""
    newest, records = vitals.newest.get(lane), vitals.records_behind.get(lane)
    if records:
        since = vitals.behind_since.get(lane, now.monotonic)
        stuck = _since(since if newest is None else max(since, newest.received), now)
        return (newest.lag if newest else 0.0) + max(outage, stuck if stuck >= _LOOKED else 0.0)
    if newest is None or records == 0 or newest.received < last_receipt - TOGETHER:
        return outage
    return newest.lag + outage


def _stalled(vitals: Vitals, stages: tuple[Stage, ...], now: Now) -> _Finding | None:
    if not stages:
        return None
    told = ", ".join(f"{stage} for {_since(vitals.beats[stage].at, now):.0f} s" for stage in stages)
    return _Finding(State.STALLED, ready=False, why=f"has work in hand and does not get on with it: {told}")


def _resting(vitals: Vitals) -> _Finding | None:
    if vitals.role is Role.HALTED:
        return _Finding(State.HALTED, ready=False, why=f"reads no more until it is started again: {vitals.halted}")
    if vitals.role is Role.STOPPED:
        return _Finding(State.STOPPED, ready=False, why="has ended")
    if vitals.role is Role.DRAINING:
        count = vitals.accounts.in_flight
        return _Finding(State.DRAINING, ready=False, why=f"reads no more and applies what it has read: {count} records")
    return None


def _waiting(vitals: Vitals, now: Now) -> _Finding | None:
    waits = [(what, vitals.waits[what]) for what in _waits_of(vitals) if what in vitals.waits]
    if not waits:
        return None
    told = "; ".join(
        f"{what} for {_since(wait.since, now):.0f} s, attempts failed: {wait.attempts}, the last: {wait.reason[:_SAID]}"
        for what, wait in waits
    )
    return _Finding(State.WAITING, ready=False, why=f"waits for {mask_secrets(told)}")


def _without_topics(vitals: Vitals) -> _Finding | None:
    """Nothing to read anywhere: no other member has a lane either. They are looked for without end."""
    if not vitals.missing_topics or vitals.lanes or vitals.topics_found:
        return None
    return _Finding(State.WAITING, ready=False, why=f"waits for topics that are not there: {_missing(vitals)}")


def _missing(vitals: Vitals) -> str:
    return ", ".join(vitals.missing_topics)[:_SAID]


def _not_reading(vitals: Vitals) -> _Finding | None:
    if vitals.role is Role.STANDBY:
        who = "is a member of the group without partitions" if vitals.shared else "another process reads this source"
        return _Finding(State.STANDBY, ready=True, why=who)
    if vitals.role is Role.STARTING:
        asks = "joins the group" if vitals.shared else "asks for the lease"
        return _Finding(State.STARTING, ready=False, why=asks)
    if not vitals.positioned:
        return _Finding(State.STARTING, ready=False, why="does not know yet where to read on")
    if not vitals.connected:
        return _Finding(State.CONNECTING, ready=False, why="is not connected")
    return None


def _reading(vitals: Vitals, thresholds: Thresholds, behind: float | None, silent: float | None) -> _Finding:
    """Connected. All of these are ready: none is mended by a restart or by asking another process."""
    # While there is work in hand nothing may be read because nothing fits in: that is not the source's silence.
    at_end = vitals.all_records_behind == 0
    in_hand = vitals.accounts.in_flight
    if silent is not None and silent >= thresholds.silent_after and not in_hand and not at_end:
        why = f"is connected and has received nothing new for {silent:.0f} s, no canary either"
        return _Finding(State.SILENT, ready=True, why=why)
    if vitals.last_received is None and not at_end:
        return _Finding(State.CONNECTING, ready=True, why="is connected and has received nothing new yet")
    if behind is None:
        return _Finding(State.CURRENT, ready=True, why="reads; how far behind is not known")
    if behind >= thresholds.behind_after:
        return _Finding(State.CATCHING_UP, ready=True, why=f"reads what was published {behind:.0f} s ago")
    return _Finding(State.CURRENT, ready=True, why=f"is {behind:.1f} s behind the source")
