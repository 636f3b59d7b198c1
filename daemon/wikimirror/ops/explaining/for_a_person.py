"""What no waiting mends, and what is noteworthy beside: pure functions of facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from wikimirror.mirror.activity import Server
from wikimirror.mirror.facts import Facts, Gaps, Letters, Reconcile, ReplayTold
from wikimirror.observe.runbooks import Runbook
from wikimirror.ops.explaining.cases import Thresholds
from wikimirror.ops.explaining.reports import WaitsForPerson
from wikimirror.ops.explaining.words import spoken

_RECONCILE: Final = 'wikimirror sql "SELECT reason, count(*), min(opened_at) FROM reconcile GROUP BY reason"'
_FEW: Final = 0.9
"""Share of the connections from which on few are left."""
_WAL_TIMES: Final = 2
"""So many times max_wal_size since the last checkpoint began: checkpoints fail, or do not keep up."""


def waits_for_person(facts: Facts, thresholds: Thresholds) -> list[WaitsForPerson]:
    """The gravest first: what takes something away and was set aside, then what was set aside, gaps, pages to read."""
    told: list[WaitsForPerson | None] = [
        _retractions(facts.letters),
        _letters(facts.letters),
        _gaps(facts),
        _killed([each for each in facts.replays if each.unseen > thresholds.gone]),
        _reconcile(facts),
    ]
    return [each for each in told if each is not None]


def remarks(facts: Facts, thresholds: Thresholds) -> list[str]:
    """Of replays and of Postgres, a sentence each."""
    told = [
        f"Replay {each.replay_id} of {each.source} runs beside, {each.records_read:,} records read so far."
        for each in facts.replays
        if each.unseen <= thresholds.gone
    ]
    if facts.server is None:
        told.append("Postgres did not tell of itself in time: who blocks whom is not known.")
        return told
    return [*told, *_of_server(facts.server)]


def _of_server(server: Server) -> list[str]:
    told = []
    if server.in_recovery:
        told.append("This Postgres is a standby: what is told here is as old as its replication is late.")
    elif server.read_only:
        told.append("This role's transactions are read-only here (default_transaction_read_only).")
    told += [
        f"A transaction of {each.application or 'a session without a name'} (process {each.pid}"
        f"{f', role {each.role}' if each.role else ''}{f', {each.state}' if each.state else ''}) has been open for"
        f" {spoken(each.seconds)}: vacuum cannot clear what changed since."
        for each in server.old
    ]
    if server.connections >= _FEW * server.most_connections:
        told.append(f"{server.connections} of {server.most_connections} connections are in use.")
    if server.archiving_fails is not None:
        told.append(f"Archiving of WAL fails, for {spoken(server.archiving_fails)}: the disk fills until it works.")
    if server.wal_since_checkpoint is not None and server.wal_since_checkpoint > _WAL_TIMES * server.most_wal:
        told.append(
            f"{server.wal_since_checkpoint / 2**20:,.0f} MiB of WAL since the last checkpoint, of"
            f" {server.most_wal / 2**20:,.0f} allowed: checkpoints fail or do not keep up."
        )
    if server.hidden:
        told.append(
            f"What {server.hidden} other sessions do is hidden from this role; pg_read_all_stats would show it."
        )
    return told


def _retractions(letters: Iterable[Letters]) -> WaitsForPerson | None:
    those = [each for each in letters if each.retracting]
    shown = sum(each.shown for each in those)
    what = "retractions set aside" + (f", {shown} of which may still be served" if shown else ", their pages hidden")
    by = ((each.source, each.retracting) for each in those)
    return _waits(what, by, those, Runbook.RETRACTION_SET_ASIDE, "wikimirror dead-letters list --retractions")


def _letters(letters: Iterable[Letters]) -> WaitsForPerson | None:
    those = [each for each in letters if each.total > each.retracting]
    by = ((each.reason, each.total - each.retracting) for each in those)
    return _waits("dead letters", by, those, Runbook.DEAD_LETTERS, "wikimirror dead-letters list")


def _gaps(facts: Facts) -> WaitsForPerson | None:
    by = ((each.source, each.total) for each in facts.gaps)
    return _waits("open gaps", by, facts.gaps, Runbook.GAP, "wikimirror gaps")


def _killed(replays: list[ReplayTold]) -> WaitsForPerson | None:
    if not replays:
        return None
    return WaitsForPerson(
        what="replays that were killed and can be resumed",
        count=len(replays),
        by=_by((each.source, 1) for each in replays),
        oldest=max(each.unseen for each in replays),
        runbook=None,
        next="wikimirror replays",
    )


def _reconcile(facts: Facts) -> WaitsForPerson | None:
    """They come in ordinary life too: told, and no fault by themselves."""
    by = ((each.reason, each.total) for each in facts.reconcile)
    told = _waits("pages to be read again", by, facts.reconcile, Runbook.PAGES_DIVERGENT, _RECONCILE)
    return None if told is None else replace(told, wrong=False)


def _waits(
    what: str,
    counts: Iterable[tuple[str, int]],
    those: Sequence[Letters | Gaps | Reconcile],
    runbook: Runbook,
    command: str,
) -> WaitsForPerson | None:
    if not those:
        return None
    by = _by(counts)
    oldest = max(each.oldest for each in those)
    return WaitsForPerson(what=what, count=sum(by.values()), by=by, oldest=oldest, runbook=runbook, next=command)


def _by(counts: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for name, count in counts:
        total[name] += count
    return dict(total)
