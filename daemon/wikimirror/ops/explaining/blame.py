"""What holds one lane back: a decision table over facts. Pure.

`RULES` is the order of blame. Each rule looks at one cause, and the first that finds something is believed: a writer
that waits for a lock is behind too, but that is not why.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from wikimirror.mirror.activity import Blocker, OurSession
from wikimirror.observe.health import State
from wikimirror.observe.lanes import LaneState
from wikimirror.observe.runbooks import Runbook
from wikimirror.ops.explaining import words as say
from wikimirror.ops.explaining.cases import Case, Wait, blocked_session, number, reason_of, wait_of
from wikimirror.ops.explaining.reports import Cause

_NO_ROOM: Final = re.compile(r"\(53100\)|no space left|disk full|could not extend file", re.IGNORECASE)
_LOCKED: Final = re.compile(r"\(55P03\)|lock timeout", re.IGNORECASE)
_NOT_WRITABLE: Final = re.compile(r"\(25006\)|is a standby|only allows reading", re.IGNORECASE)


class Finding(NamedTuple):
    """A cause, and what to say of it."""

    cause: Cause
    words: str
    runbook: Runbook | None
    next: str | None
    numbers: dict[str, float | None]


def blame(case: Case) -> tuple[int, Finding]:
    """What holds it back: what the first rule says that applies, and which rule of RULES that is."""
    return next((rank, found) for rank, rule in enumerate(RULES) if (found := rule(case)) is not None)


def _nobody(case: Case) -> Finding | None:
    lane, lease, gone = case.lane, case.lease, case.thresholds.gone
    if lease is not None:
        at_work = case.owner is not None and case.owner.unseen <= case.thresholds.recent
        there = lease.held or at_work
    elif lane is not None:
        there = bool(case.live) and (lane.unseen <= gone or case.owner_lives)
    else:
        there = bool(case.live)
    if there:
        return None
    if case.server is not None and case.server.in_recovery:
        return _not_writable(case, say.old_from_standby())
    numbers = {
        "told_seconds_ago": case.owner.unseen if case.owner is not None else None if lane is None else lane.unseen,
        "lease_ended_seconds_ago": -lease.left if lease is not None and not lease.held else None,
    }
    last = f"{lane.evidence.get('waiting_reason') or '' if lane else ''} {case.owner.why or '' if case.owner else ''}"
    if _NO_ROOM.search(last):
        return _no_room(Wait("database", None, reason_of(last.strip())), numbers)
    standbys = sum(each.role == "standby" for each in case.live)
    words = say.nobody(case.owner, lane, lease, connected=bool(case.sessions), standbys=standbys)
    return Finding(Cause.NOBODY, words, Runbook.OWNER_FROZEN, "wikimirror status", numbers)


def _halted(case: Case) -> Finding | None:
    told = [each for each in case.live if each.state == State.HALTED and case.owner in {each, None}]
    if not told:
        return None
    says = f" It says: {reason_of(told[0].why)}" if told[0].why else ""
    words = f"The process {told[0].holder} reads no more of it until it is restarted.{says}"
    return Finding(Cause.HALTED, words, Runbook.SOURCE_HALTED, say.letters_of(case.source), {})


def _database(case: Case) -> Finding | None:
    """Postgres is waited for, or a lock is."""
    wait, session = wait_of(case), blocked_session(case)
    waits = wait is not None and wait.what == "database"
    if waits and wait is not None:
        numbers = {"waiting_seconds": wait.seconds}
        if _NO_ROOM.search(wait.reason):
            return _no_room(wait, numbers)
        if _NOT_WRITABLE.search(wait.reason) or (case.server is not None and case.server.in_recovery):
            return _not_writable(case, say.waiting(wait.seconds, wait.reason), numbers)
    if session is not None and (waits or _held_up(case, session)):
        return _locks(case, session, wait if waits else None)
    if not waits or wait is None:
        return None
    words = say.waiting(wait.seconds, wait.reason)
    if _LOCKED.search(wait.reason):
        words = f"{words} Who holds the lock is not seen now: it comes and goes, or is behind a pooler."
        return Finding(Cause.LOCKS, words, Runbook.LANE_STALLED, say.OUR_SESSIONS, numbers)
    return Finding(Cause.DATABASE, words, Runbook.POSTGRES_UNAVAILABLE, say.CHECK_DATABASE, numbers)


def _held_up(case: Case, session: OurSession) -> bool:
    """Whether a wait for a lock is what takes the time."""
    if (session.blocked_seconds or 0.0) >= case.thresholds.blocked:
        return True
    lane = case.fresh
    if lane is None or lane.state == LaneState.CURRENT:
        return False
    return (number(lane.evidence, "apply_share") or 0.0) >= case.thresholds.share


def _lease(case: Case) -> Finding | None:
    wait = wait_of(case)
    if wait is not None and wait.what == "lease":
        words = f"The connection that keeps its lease does not work. {say.waiting(wait.seconds, wait.reason)}"
        if _NO_ROOM.search(wait.reason):
            return _no_room(wait, {"waiting_seconds": wait.seconds})
        numbers = {"waiting_seconds": wait.seconds}
        return Finding(Cause.LEASE, words, Runbook.POSTGRES_UNAVAILABLE, say.CHECK_DATABASE, numbers)
    if case.lease is None or case.lease.held:
        return None
    words = say.lease_ran_out(case.lease)
    numbers = {"lease_ended_seconds_ago": -case.lease.left}
    return Finding(Cause.LEASE, words, Runbook.OWNER_FROZEN, "wikimirror status", numbers)


def _source(case: Case) -> Finding | None:
    wait = wait_of(case)
    if wait is None or wait.what != "source":
        return None
    words = say.waiting(wait.seconds, wait.reason, "the source")
    numbers = {"waiting_seconds": wait.seconds}
    return Finding(Cause.SOURCE, words, Runbook.SOURCE_UNAVAILABLE, say.check_source(case.source), numbers)


def _silent(case: Case) -> Finding | None:
    lane = case.fresh
    if lane is None or lane.state != LaneState.SILENT:
        return None
    seconds = number(lane.evidence, "silent_seconds")
    words = say.silent(seconds)
    return Finding(
        Cause.SILENT, words, Runbook.SOURCE_SILENT, say.check_source(case.source), {"silent_seconds": seconds}
    )


def _stalled(case: Case) -> Finding | None:
    lane, owner = case.fresh, case.owner
    if owner is not None and case.owner_lives and owner.state == State.STALLED:
        words = f"The process {owner.holder} {reason_of(owner.why) or 'does not get on with what it has in hand'}."
    elif lane is not None and lane.state == LaneState.STALLED:
        words = say.stalled(lane)
    else:
        return None
    return Finding(Cause.STALLED, words, Runbook.LANE_STALLED, "wikimirror status", {})


def _behind(case: Case) -> Finding | None:
    """It gets on, and is behind: the narrow stage is what holds it back."""
    lane = case.fresh
    if lane is None or lane.state not in say.BEHIND:
        return None
    decode, apply = (number(lane.evidence, key) or 0.0 for key in ("decode_share", "apply_share"))
    if decode >= case.thresholds.share and decode >= apply:
        cause, command = Cause.DECODING, "wikimirror status"
    elif apply >= case.thresholds.share:
        cause, command = Cause.DATABASE, say.OUR_SESSIONS
    else:
        cause, command = Cause.SOURCE, say.check_source(case.source)
    runbook = Runbook.DIVERGING if lane.state == LaneState.GROWING else Runbook.FRESHNESS
    return Finding(cause, say.pace(lane, cause), runbook, command, {})


def _well(case: Case) -> Finding:
    owner = case.owner if case.owner_lives else None
    why = reason_of(owner.why) if owner is not None else ""
    return Finding(Cause.NONE, say.well(case.fresh, owner, why), None, None, {})


RULES: Final[tuple[Callable[[Case], Finding | None], ...]] = (
    _nobody, _halted, _database, _lease, _source, _silent, _stalled, _behind, _well,
)  # fmt: skip
"""In the order of blame. The last one always finds something: that nothing is wrong."""


def retention(case: Case) -> Finding | None:
    """Beside what holds it back: whether the source deletes soon what is to be read next."""
    lane = case.lane
    if lane is None or lane.headroom_seconds is None or lane.state == LaneState.CURRENT:
        return None
    # It shrinks while nobody reads.
    left = max(0.0, lane.headroom_seconds - (lane.unseen if case.fresh is None else 0.0))
    kept = number(lane.evidence, "retention_seconds")
    least = case.thresholds.headroom if kept is None else min(case.thresholds.headroom, kept / 2)
    too_late = lane.catch_up_seconds is not None and lane.catch_up_seconds > left
    if left >= least and not too_late:
        return None
    command = f"wikimirror checkpoints list {say.quoted(case.source)}"
    words = say.headroom(left, lane.catch_up_seconds)
    return Finding(Cause.RETENTION, words, Runbook.HEADROOM, command, {"headroom_seconds": left})


def _locks(case: Case, session: OurSession, wait: Wait | None) -> Finding:
    known = {each.pid: each for each in (case.server.blockers if case.server is not None else [])}
    root = _root(session.blocked_by, known)
    # Each attempt ends by lock_timeout: the wait that the process tells is the whole one.
    whole = wait.seconds if wait is not None and _LOCKED.search(wait.reason) else None
    seconds = max((each for each in (session.blocked_seconds, whole) if each is not None), default=None)
    numbers = {
        "blocked_seconds": seconds,
        "blocker_pid": float(root.pid),
        "blocker_open_seconds": root.open_seconds,
    }
    return Finding(Cause.LOCKS, say.locks(session, root, seconds), Runbook.LANE_STALLED, say.look_at(root), numbers)


def _root(pids: list[int], known: dict[int, Blocker]) -> Blocker:
    """Who is at the end of the queue: a blocker that waits for nobody; in a circle, the first."""
    seen: set[int] = set()
    waiting = list(pids)
    first = known.get(pids[0]) or Blocker(pids[0], "", None, None, None, None, [])
    while waiting:
        pid = waiting.pop(0)
        found = known.get(pid)
        if found is None or pid in seen:
            continue
        seen.add(pid)
        if not found.blocked_by:
            return found
        waiting.extend(found.blocked_by)
    return first


def _no_room(wait: Wait, numbers: dict[str, float | None]) -> Finding:
    words = f"Postgres has no room left on its disk. {say.waiting(wait.seconds, wait.reason)}"
    return Finding(Cause.DISK, words, Runbook.POSTGRES_UNAVAILABLE, say.LARGEST_TABLES, numbers)


def _not_writable(case: Case, words: str, numbers: dict[str, float | None] | None = None) -> Finding:
    where = "is a standby" if case.server is not None and case.server.in_recovery else "takes no writes"
    words = f"The Postgres that the URL leads to {where}: point it at the primary. {words}"
    return Finding(Cause.STANDBY_ONLY, words, Runbook.POSTGRES_UNAVAILABLE, say.CHECK_DATABASE, numbers or {})
