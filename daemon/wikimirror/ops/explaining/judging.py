"""What holds each source back, in words: a pure function of facts.

Lanes are judged one by one, for the members of a group fare differently. Those of one source with one cause are told
together, and the worst first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from wikimirror.mirror.facts import Facts, LaneTold, LeaseTold, MemberTold
from wikimirror.observe.health import State
from wikimirror.observe.runbooks import Runbook
from wikimirror.ops.explaining import words as say
from wikimirror.ops.explaining.blame import RULES, Finding, blame, retention
from wikimirror.ops.explaining.cases import Case, Thresholds
from wikimirror.ops.explaining.reports import Cause, Explanation

_CAUSES: Final = list(Cause)
_RETENTION: Final = len(RULES) - 3
"""Its place: before a lane that gets on and is behind."""
_HEADLINES: Final = {
    Cause.NOBODY: "nobody reads it",
    Cause.HALTED: "halted",
    Cause.STANDBY_ONLY: "Postgres takes no writes",
    Cause.DISK: "Postgres has no room left",
    Cause.LOCKS: "waits for a lock",
    Cause.DATABASE: "held back by Postgres",
    Cause.LEASE: "held back by its lease",
    Cause.SOURCE: "held back by the source",
    Cause.SILENT: "the source is silent",
    Cause.STALLED: "does not get on",
    Cause.DECODING: "held back by decoding",
    Cause.RETENTION: "the source will delete what is not read yet",
    Cause.NONE: "nothing holds it back",
}
_TOLD: Final = (
    "read_per_second", "applied_per_second", "inflow_per_second", "apply_share", "decode_share", "source_share",
)  # fmt: skip
_SUMMED: Final = frozenset({"records_behind", "read_per_second", "applied_per_second", "inflow_per_second"})
_LEAST: Final = frozenset({"headroom_seconds", "headroom_records"})


class _Judged(NamedTuple):
    rank: int
    case: Case
    finding: Finding


def explain(facts: Facts, thresholds: Thresholds, configured: Collection[str] = ()) -> list[Explanation]:
    """The worst first; a source is told by one explanation for each cause that some of its lanes have.

    `configured`: the sources that the settings name. One that nobody has read yet is told of, and one of former
    settings that nobody follows is not; without any, all that Postgres knows are told of.
    """
    told = [_of_source(facts, thresholds, name) for name in sources_of(facts, thresholds, configured)]
    told.sort(key=lambda each: _badness(each[0]))
    return [explanation for each in told for _, explanation in each]


def sources_of(facts: Facts, thresholds: Thresholds, configured: Collection[str]) -> list[str]:
    """The sources to tell of."""
    followed = {each.source for each in facts.members if each.unseen <= thresholds.gone}
    if configured:
        return sorted(followed | set(configured))
    known = (facts.lanes, facts.positioned, facts.leases, facts.members)
    return sorted({each.source for rows in known for each in rows})


def unreachable(words: str, remedy: str) -> Explanation:
    """What is told of all sources where Postgres cannot be read."""
    return Explanation(
        source=None,
        cause=Cause.DATABASE,
        headline="Postgres cannot be read",
        words=f"{words}. Whoever follows a source with this URL fares the same, waits, and loses nothing. {remedy}",
        numbers={},
        runbook=Runbook.POSTGRES_UNAVAILABLE,
        next=say.CHECK_DATABASE,
    )


def _of_source(facts: Facts, thresholds: Thresholds, source: str) -> list[tuple[int, Explanation]]:
    """What is told of one source, each with its place in the order of blame."""
    cases = _cases(facts, thresholds, source)
    kinds: defaultdict[tuple[Cause, Runbook | None], list[_Judged]] = defaultdict(list)
    for case in cases:
        rank, finding = blame(case)
        kinds[finding.cause, finding.runbook].append(_Judged(rank, case, finding))
        if (short := retention(case)) is not None:
            kinds[short.cause, short.runbook].append(_Judged(_RETENTION, case, short))
    wrong = {kind: found for kind, found in kinds.items() if kind[0] is not Cause.NONE} or kinds
    known = sum(case.lane is not None for case in cases)
    told = [(min(each.rank for each in found), _together(source, found, known)) for found in wrong.values()]
    return sorted(told, key=_badness)


def _badness(told: tuple[int, Explanation]) -> tuple[int, int, str, str]:
    rank, explanation = told
    return rank, _CAUSES.index(explanation.cause), explanation.source or "", explanation.runbook or ""


def _cases(facts: Facts, thresholds: Thresholds, source: str) -> list[Case]:
    members = [each for each in facts.members if each.source == source]
    live = tuple(each for each in members if each.unseen <= thresholds.gone)
    lease = next((each for each in facts.leases if each.source == source and _counts(each, live, thresholds)), None)
    lanes = [each for each in facts.lanes if each.source == source]
    read = [each for each in lanes if _still_read(each, lease, members, live, thresholds)]
    lanes_or_none: list[LaneTold | None] = [*read] or [None]
    owned = [(lane, _owner(lane, lease, members, live)) for lane in lanes_or_none]
    # One that halted holds no lane any more.
    owned += [(None, each) for each in live if each.state == State.HALTED and each not in [owner for _, owner in owned]]
    return [Case(source, lane, lease, owner, live, facts.server, thresholds) for lane, owner in owned]


def _counts(lease: LeaseTold, live: Iterable[MemberTold], thresholds: Thresholds) -> bool:
    """Not a lease of former times, where the source is now read by a group, which has none."""
    return lease.held or not any(
        each.lanes and each.holder != lease.holder and each.unseen <= thresholds.recent for each in live
    )


def _still_read(
    lane: LaneTold,
    lease: LeaseTold | None,
    members: Iterable[MemberTold],
    live: Collection[MemberTold],
    thresholds: Thresholds,
) -> bool:
    """Not a lane that those who follow the source have dropped, with a topic that the settings name no more."""
    if lane.unseen <= thresholds.gone or not live or (lease is not None and not lease.held):
        return True
    return any(each.holder == lane.holder and each not in live for each in members)


def _owner(
    lane: LaneTold | None, lease: LeaseTold | None, members: Iterable[MemberTold], live: Collection[MemberTold]
) -> MemberTold | None:
    holder = lease.holder if lease is not None else lane.holder if lane is not None else None
    if holder is not None:
        return next((each for each in members if each.holder == holder), None)
    return next((each for each in live if each.role != "standby"), next(iter(live), None))


def _behind(judged: _Judged) -> float:
    lane = judged.case.lane
    return 0.0 if lane is None or lane.seconds_behind is None else lane.seconds_behind


def _together(source: str, found: list[_Judged], known: int) -> Explanation:
    """The lanes of one cause: the words are those of the one that is furthest behind."""
    first = max(found, key=_behind).finding
    held = [each.case.lane for each in found if each.case.lane is not None]
    return Explanation(
        source=source,
        cause=first.cause,
        headline=_HEADLINES[first.cause],
        words=first.words,
        numbers=_joined([{**_numbers(each), **each.finding.numbers} for each in found]),
        lanes=tuple(f"{lane.topic}[{lane.partition}]" for lane in held),
        lanes_known=known,
        runbook=first.runbook,
        next=first.next,
    )


def _numbers(judged: _Judged) -> dict[str, object]:
    lane = judged.case.fresh
    # What a process said before it froze would look as if all were well.
    if lane is None or judged.finding.cause is Cause.NOBODY:
        return {}
    told = {
        "seconds_behind": lane.seconds_behind,
        "records_behind": lane.records_behind,
        "catch_up_seconds": lane.catch_up_seconds,
        "headroom_seconds": lane.headroom_seconds,
        "headroom_records": lane.headroom_records,
    }
    return {**told, **{key: lane.evidence.get(key) for key in _TOLD}}


def _joined(told: list[Mapping[str, object]]) -> dict[str, float]:
    """Of several lanes: the sum, the least or the greatest. A sum that leaves a lane out would be too small."""
    joined: dict[str, float] = {}
    for key in dict.fromkeys(key for each in told for key in each):
        values = [value for each in told if isinstance(value := each.get(key), (int, float)) and math.isfinite(value)]
        if not values or (key in _SUMMED and len(values) < len(told)):
            continue
        joined[key] = sum(values) if key in _SUMMED else min(values) if key in _LEAST else max(values)
    return joined
