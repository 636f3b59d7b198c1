"""Facts as a test stages them: a source that fares well, unless told otherwise."""

from __future__ import annotations

from typing import Any

from wikimirror.mirror.activity import Blocker, OurSession, Server
from wikimirror.mirror.facts import Facts, LaneTold, LeaseTold, MemberTold

SOURCE, TOPIC, HOLDER = "live", "a.topic", "host/1/aa"


def lane(partition: int = 0, **told: Any) -> LaneTold:
    evidence = {
        "window_seconds": 60.0, "samples": 12, "position_from": 100, "position_to": 160, "read_per_second": 1.0,
        "applied_per_second": 1.0, "inflow_per_second": None, "apply_share": 0.1, "decode_share": 0.05,
        "source_share": 0.85, "waiting_for": None, "waiting_seconds": None, "waiting_reason": None,
        "silent_seconds": 0.4, "behind_from": 0.5, "behind_to": 0.5, "retention_seconds": None,
    }  # fmt: skip
    columns = {field: told.pop(field) for field in LaneTold._fields if field in told}
    unknown = told.keys() - evidence.keys()
    assert not unknown, unknown
    default = LaneTold(
        source=SOURCE,
        topic=TOPIC,
        partition=partition,
        holder=HOLDER,
        writer=HOLDER,
        state="current",
        position=160,
        seconds_behind=0.5,
        records_behind=None,
        catch_up_seconds=None,
        headroom_seconds=None,
        headroom_records=None,
        evidence=evidence | told,
        unseen=2.0,
    )
    return default._replace(**columns)


def member(**told: Any) -> MemberTold:
    default = MemberTold(
        source=SOURCE,
        holder=HOLDER,
        role="active",
        state="current",
        why="is 0.5 s behind the source",
        lanes=1,
        seconds_behind=0.5,
        in_flight=0,
        unseen=2.0,
    )
    return default._replace(**told)


def lease(**told: Any) -> LeaseTold:
    return LeaseTold(SOURCE, HOLDER, held=True, left=4.0)._replace(**told)


def session(**told: Any) -> OurSession:
    return OurSession(11, f"wikimirror {HOLDER}", "active", None, None, None, None, None, [])._replace(**told)


def blocked(seconds: float, *by: int) -> OurSession:
    return session(wait_type="Lock", wait="transactionid", blocked_seconds=seconds, table="page", blocked_by=list(by))


def blocker(pid: int, *by: int, **told: Any) -> Blocker:
    return Blocker(pid, "psql", "alice", "idle in transaction", "client backend", 500.0, list(by))._replace(**told)


def server(**told: Any) -> Server:
    default = Server(
        sessions=[session()],
        blockers=[],
        old=[],
        in_recovery=False,
        read_only=False,
        connections=10,
        most_connections=97,
        hidden=0,
        archiving_fails=None,
        most_wal=2**30,
        wal_since_checkpoint=2**20,
        size=2**30,
    )
    return default._replace(**told)


def facts(**told: Any) -> Facts:
    """Of one source that one process at a time reads."""
    default = Facts([lane()], [], [lease()], [member()], [], [], [], [], server())
    return default._replace(**told)


def group_facts(**told: Any) -> Facts:
    """Of one source that several processes share: three partitions, of two processes."""
    second = f"{HOLDER}b"
    lanes = [lane(0), lane(1, holder=second, writer=f"{second}/1"), lane(2, holder=second, writer=f"{second}/1")]
    members = [member(), member(holder=second, lanes=2)]
    return facts(lanes=lanes, leases=[], members=members)._replace(**told)


WAITS_DATABASE = {"waiting_for": "database", "waiting_seconds": 42.0}
GONE = "db:5432/wiki cannot be reached: Connection refused"
FULL = "db:5432/wiki cannot do this now: could not extend file: No space left on device (53100)"
LOCKED = "db:5432/wiki cannot do this now: canceling statement due to lock timeout (55P03)"
READ_ONLY = "db:5432/wiki refused: cannot execute UPDATE in a read-only transaction (25006)"


def waiting_why(what: str, reason: str, seconds: int = 42) -> str:
    """As `observe.health` puts it."""
    return f"waits for {what} for {seconds} s, attempts failed: 3, the last: {reason}"
