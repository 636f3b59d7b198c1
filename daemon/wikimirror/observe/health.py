"""Is a source's pipeline alive, ready and current? Pure verdicts on its vitals (promise P7).

Alive: no loop has work in hand without getting on with it. Whoever fails this is to be restarted.
Ready: alive, and positioned and connected, or standing by for another process. Whoever fails this waits for something
that a restart does not bring.

Durations come from the monotonic clock, so a stepping time of day changes neither. It can change the seconds behind,
which are measured between two machines' times of day and are never below 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from wikimirror.observe.vitals import Role, Stage, Topic, Vitals, Waiting
from wikimirror.observe.withhold import mask_secrets

TOGETHER: Final = 60.0
"""Seconds within which topics that are being read bring records. One that has not brought any for so long, while others
did, has reached its end: what its last record was late by says nothing any more."""


_SAID: Final = 300
"""Characters of a reason that are repeated."""


class State(StrEnum):
    """What a source's pipeline is doing, in one word."""

    STARTING = "starting"
    """It has neither lease nor positions yet."""
    STANDBY = "standby"
    """Another process reads this source; this one takes over when that ends."""
    CONNECTING = "connecting"
    """It is about to read, or is connected and has received nothing new yet."""
    WAITING = "waiting"
    """The source or Postgres is not there. It is tried again without end."""
    CATCHING_UP = "catching_up"
    """It reads what was published at least `behind_after` ago."""
    CURRENT = "current"
    """What is published is in the mirror less than `behind_after` later, as far as is told."""
    SILENT = "silent"
    """Connected, with nothing in hand, and nothing new came for `silent_after`."""
    STALLED = "stalled"
    """A loop has work in hand and has not got on with it for `stalled_after`."""
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
        or _not_reading(vitals)
        or _reading(vitals, thresholds, behind, silent)
    )
    return Verdict(
        source=vitals.source,
        role=vitals.role,
        state=found.state,
        alive=not stalled,
        ready=found.ready,
        why=found.why,
        seconds_behind=behind,
        silent_seconds=silent,
        stalled=stalled,
    )


def seconds_behind(vitals: Vitals, now: Now) -> float | None:
    """How long ago that was published which is next to become durable; None when nothing tells.

    The greatest of: the age of the oldest record in flight, and how late the newest records of the topics were at their
    receipt (where no topic tells: how late the last batch was when it became durable), to which the time is added in
    which the source could not be reached. Silence adds nothing: then nothing is published, as far as is known.
    """
    if vitals.role not in {Role.ACTIVE, Role.DRAINING}:
        return None
    late = _late_at_receipt(vitals.topics.values()) if vitals.topics else vitals.applied_lag
    outage = vitals.waits.get(Waiting.SOURCE)
    if late is not None and outage is not None:
        late += _since(outage.since, now)
    oldest = vitals.oldest_in_flight
    age = None if oldest is None else max(0.0, now.wall - oldest)
    return max((told for told in (late, age) if told is not None), default=None)


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
    Role.STOPPED: frozenset[Stage](),
}
_WAITS: Final = {
    Role.STARTING: (Waiting.LEASE,),
    Role.STANDBY: (Waiting.LEASE,),
    Role.ACTIVE: tuple(Waiting),
}


def _since(instant: float, now: Now) -> float:
    return max(0.0, now.monotonic - instant)


def _late_at_receipt(topics: Iterable[Topic]) -> float:
    """A topic that long brought nothing while others did is at its end, not behind."""
    read = list(topics)
    latest = max(topic.received for topic in read)
    return max(topic.lag for topic in read if topic.received >= latest - TOGETHER)


def _stalled(vitals: Vitals, stages: tuple[Stage, ...], now: Now) -> _Finding | None:
    if not stages:
        return None
    told = ", ".join(f"{stage} for {_since(vitals.beats[stage].at, now):.0f} s" for stage in stages)
    return _Finding(State.STALLED, ready=False, why=f"has work in hand and does not get on with it: {told}")


def _resting(vitals: Vitals) -> _Finding | None:
    if vitals.role is Role.STOPPED:
        return _Finding(State.STOPPED, ready=False, why="has ended")
    if vitals.role is Role.DRAINING:
        count = vitals.accounts.in_flight
        return _Finding(State.DRAINING, ready=False, why=f"reads no more and applies what it has read: {count} records")
    return None


def _waiting(vitals: Vitals, now: Now) -> _Finding | None:
    waits = [(what, vitals.waits[what]) for what in _WAITS[vitals.role] if what in vitals.waits]
    if not waits:
        return None
    told = "; ".join(
        f"{what} for {_since(wait.since, now):.0f} s, attempts failed: {wait.attempts}, the last: {wait.reason[:_SAID]}"
        for what, wait in waits
    )
    return _Finding(State.WAITING, ready=False, why=f"waits for {mask_secrets(told)}")


def _not_reading(vitals: Vitals) -> _Finding | None:
    if vitals.role is Role.STANDBY:
        return _Finding(State.STANDBY, ready=True, why="another process reads this source")
    if vitals.role is Role.STARTING:
        return _Finding(State.STARTING, ready=False, why="asks for the lease")
    if not vitals.positioned:
        return _Finding(State.STARTING, ready=False, why="does not know yet where to read on")
    if not vitals.connected:
        return _Finding(State.CONNECTING, ready=False, why="is not connected")
    return None


def _reading(vitals: Vitals, thresholds: Thresholds, behind: float | None, silent: float | None) -> _Finding:
    """Connected. All of these are ready: none is mended by a restart or by asking another process."""
    # While there is work in hand nothing may be read because nothing fits in: that is not the source's silence.
    if silent is not None and silent >= thresholds.silent_after and not vitals.accounts.in_flight:
        why = f"is connected and has received nothing new for {silent:.0f} s, no canary either"
        return _Finding(State.SILENT, ready=True, why=why)
    if vitals.last_received is None:
        return _Finding(State.CONNECTING, ready=True, why="is connected and has received nothing new yet")
    if behind is None:
        return _Finding(State.CURRENT, ready=True, why="reads; how far behind is not known")
    if behind >= thresholds.behind_after:
        return _Finding(State.CATCHING_UP, ready=True, why=f"reads what was published {behind:.0f} s ago")
    return _Finding(State.CURRENT, ready=True, why=f"is {behind:.1f} s behind the source")
