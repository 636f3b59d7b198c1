"""What `explain` says of each cause, and which command to look with. Commands here read and change nothing."""

from __future__ import annotations

import math
import shlex
from typing import Final

from wikimirror.mirror.activity import Blocker, OurSession
from wikimirror.mirror.facts import LaneTold, LeaseTold, MemberTold
from wikimirror.observe.lanes import LaneState
from wikimirror.ops.explaining.reports import Cause

BEHIND: Final = (LaneState.GROWING, LaneState.CATCHING_UP, LaneState.REWOUND)
"""States of a lane that gets on, and is behind."""
CHECK_DATABASE: Final = "wikimirror migrate --check"
OUR_SESSIONS: Final = (
    'wikimirror sql "SELECT pid, application_name, state, wait_event_type, wait_event, xact_start'
    " FROM pg_stat_activity WHERE application_name LIKE 'wikimirror%'\""
)
LARGEST_TABLES: Final = (
    'wikimirror sql "SELECT relname, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class'
    " WHERE relkind = 'r' ORDER BY pg_total_relation_size(oid) DESC LIMIT 10\""
)
_PREPARED: Final = 'wikimirror sql "SELECT gid, prepared, owner FROM pg_prepared_xacts"'
_LOOK: Final = (
    'wikimirror sql "SELECT pid, usename, application_name, client_addr, state, xact_start FROM pg_stat_activity'
)
_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60))
_TENTHS_BELOW: Final = 10
_NARROW: Final = {
    Cause.DECODING: "decoding, which is this process's own work",
    Cause.DATABASE: "writing to Postgres",
    Cause.SOURCE: "waiting for the source to send",
}
_SHARES: Final = {Cause.DECODING: "decode_share", Cause.DATABASE: "apply_share", Cause.SOURCE: "source_share"}


def spoken(seconds: float) -> str:
    """A length of time in the largest unit of which there are two: `90 s`, `3 min`."""
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < _TENTHS_BELOW else f"{seconds:.0f} s"


def quoted(name: str) -> str:
    """A name as a shell takes it."""
    return shlex.quote(name)


def check_source(source: str) -> str:
    """The command that reads the source, and writes nothing."""
    return f"wikimirror check-source {quoted(source)} --for 30s"


def letters_of(source: str) -> str:
    """The command that lists what was set aside."""
    return f"wikimirror dead-letters list --source {quoted(source)}"


def look_at(blocker: Blocker) -> str:
    """The command that shows who holds the lock."""
    if not blocker.pid:
        return _PREPARED
    return f'{_LOOK} WHERE pid = {blocker.pid}"'


def nobody(
    owner: MemberTold | None, lane: LaneTold | None, lease: LeaseTold | None, *, connected: bool, standbys: int
) -> str:
    """Who read it last, and what became of that."""
    told = [_since_when(lane, lease)]
    if owner is not None:
        told.append(f"{owner.holder} read it last, and told of itself {spoken(owner.unseen)} ago: {_fate(connected)}.")
    elif lease is not None or lane is not None:
        last = lease.holder if lease is not None else lane.holder if lane is not None else ""
        told.append(f"{last} read it last and has left in good order.")
    told.append(
        f"{standbys} standing by: one of them takes over by itself."
        if standbys
        else "Nobody stands by: start it again."
    )
    return " ".join(told)


def _since_when(lane: LaneTold | None, lease: LeaseTold | None) -> str:
    if lease is not None and not lease.held:
        return f"Its lease ran out {spoken(-lease.left)} ago and nobody has taken it."
    if lane is not None:
        return f"Nobody has told of it for {spoken(lane.unseen)}."
    return "No process tells of it."


def _fate(connected: bool) -> str:  # noqa: FBT001  # the only question
    if connected:
        return "its sessions are still open, so it is frozen or cut off from Postgres"
    return "no session of its name is open, so it is dead or cut off from Postgres"


def old_from_standby() -> str:
    """Why what a standby tells of processes is not to be believed."""
    return "What it tells of processes is as old as its replication is late."


def waiting(seconds: float | None, reason: str, what: str = "Postgres") -> str:
    """How long it has waited, and the last reason."""
    since = "" if seconds is None else f" for {spoken(seconds)}"
    last = f" The last attempt failed so: {reason}" if reason else ""
    return f"It has waited for {what}{since}, and tries again by itself.{last}"


def locks(session: OurSession, root: Blocker, seconds: float | None) -> str:
    """What is waited for, who holds it. `seconds`: how long, over all attempts."""
    table = "" if session.table is None else f" in the table {session.table}"
    since = "" if seconds is None else f" for {spoken(seconds)}"
    waits = f"Its writer has waited for a lock{table}{since}."
    if not root.pid:
        return f"{waits} A prepared transaction holds it, which no session ends."
    who = [f"process {root.pid}", *([f"role {root.role}"] if root.role else []), *([root.state] if root.state else [])]
    name = root.application or root.kind or "a session without a name"
    held = f"{name} ({', '.join(who)}) holds it"
    if root.open_seconds is None:
        return f"{waits} {held}; what that is doing, this role may not see (pg_read_all_stats)."
    return f"{waits} {held}, in a transaction open for {spoken(root.open_seconds)}."


def lease_ran_out(lease: LeaseTold) -> str:
    """Its holder works on without it."""
    return (
        f"Its lease ran out {spoken(-lease.left)} ago, though {lease.holder} still tells of itself: the lease is"
        " renewed late, or not at all. Another process may take over; nothing is written twice."
    )


def silent(seconds: float | None) -> str:
    """Connected, and nothing comes."""
    since = "" if seconds is None else f" for {spoken(seconds)}"
    return f"It is connected and has received nothing new{since}, no canary either. That is not the same as caught up."


def stalled(lane: LaneTold) -> str:
    """Records are there, and the position does not move."""
    window = lane.evidence.get("window_seconds")
    since = f" for {spoken(window)}" if isinstance(window, (int, float)) else ""
    return f"Its position has not moved{since}, though there is something to read. {lane.holder} holds it."


def headroom(left: float, catch_up: float | None) -> str:
    """When the source deletes what is to be read next."""
    if not left:
        return "What is to be read next is older than what the source keeps: it may be lost already, and a gap opens."
    told = f"The source deletes what is to be read next in {spoken(left)}."
    if catch_up is None:
        return told
    when = "never, at its present rate" if math.isinf(catch_up) else f"in {spoken(catch_up)}"
    return f"{told} The lane catches up {when}."


def pace(lane: LaneTold, cause: Cause) -> str:
    """How far behind, in which direction, what takes the time."""
    told = [_rewound(lane), _distance(lane), _rates(lane), _narrow(lane, cause)]
    return " ".join(part for part in told if part)


def _rewound(lane: LaneTold) -> str:
    if lane.state != LaneState.REWOUND:
        return ""
    before, after = lane.evidence.get("position_from"), lane.evidence.get("position_to")
    where = f" from {before} to {after}" if isinstance(before, int) and isinstance(after, int) else ""
    return f"Its position went back{where}: it was rewound, or the source numbers anew."


def _distance(lane: LaneTold) -> str:
    behind = "" if lane.seconds_behind is None else f" {spoken(lane.seconds_behind)} behind"
    if lane.state == LaneState.GROWING:
        return f"It falls further behind, and is{behind} now." if behind else "It falls further behind."
    return f"It is{behind} and catches up." if behind else "It catches up."


def _rates(lane: LaneTold) -> str:
    applied, inflow = (lane.evidence.get(key) for key in ("applied_per_second", "inflow_per_second"))
    told = []
    if isinstance(applied, (int, float)):
        told.append(f"{applied:,.1f} records a second become durable")
    if isinstance(inflow, (int, float)):
        told.append(f"{inflow:,.1f} a second are new")
    when = ""
    if lane.catch_up_seconds is not None:
        when = (
            "it never catches up so"
            if math.isinf(lane.catch_up_seconds)
            else f"done in {spoken(lane.catch_up_seconds)}"
        )
    parts = [part for part in (", ".join(told), when) if part]
    text = ": ".join(parts) if told else "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _narrow(lane: LaneTold, cause: Cause) -> str:
    share = lane.evidence.get(_SHARES[cause])
    part = f"{share:.0%}" if isinstance(share, (int, float)) else "Most"
    return f"{part} of its time goes into {_NARROW[cause]}."


def well(lane: LaneTold | None, owner: MemberTold | None, why: str) -> str:
    """Nothing holds it back."""
    if lane is not None and lane.seconds_behind is not None:
        return f"It is {spoken(lane.seconds_behind)} behind its source."
    if owner is not None:
        return f"Its process is {owner.state}{f': {why}' if why else ''}."
    return "Nothing is known to hold it back."
