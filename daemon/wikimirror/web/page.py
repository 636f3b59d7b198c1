"""The status page as plain values: what this process knows, put in the order in which a person needs it. Pure.

`/status.json` is these values as they are; the page is the same in words. None is what is not known, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wikimirror.observe import labels
from wikimirror.observe.collector import Seen
from wikimirror.observe.freshness import Freshness
from wikimirror.observe.health import State
from wikimirror.observe.labels import Closed
from wikimirror.observe.lanes import LaneReport
from wikimirror.observe.runbooks import Runbook
from wikimirror.web.concerns import (
    STALE,
    Concern,
    Level,
    concerns,
    lane_level,
    lane_rank,
    lane_runbook,
    source_level,
    source_rank,
    source_runbook,
)
from wikimirror.web.facts import Facts
from wikimirror.web.wording import duration, plural

FRESH_SECONDS: Final = 300
"""The window of the freshness that is shown."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source. Counts are of this process since its start."""

    name: str
    level: Level
    state: str
    role: str
    ready: bool
    alive: bool
    seconds_behind: float | None
    records_behind: int | None
    read: int
    applied: int
    refused: int
    set_aside: int
    ignored: int
    in_flight: int
    lanes: int
    missing_topics: tuple[str, ...]
    runbook: Runbook | None


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane that this process holds."""

    source: str
    topic: str
    partition: int
    level: Level
    state: str
    seconds_behind: float | None
    records_behind: int | None
    catch_up_seconds: float | None
    never_catches_up: bool
    headroom_seconds: float | None
    runbook: Runbook | None


@dataclass(frozen=True, slots=True)
class BacklogView:
    """What waits in Postgres, of the whole mirror. None: Postgres has not told yet."""

    told_seconds_ago: float | None
    is_old: bool
    retractions_set_aside: int | None
    dead_letters: Mapping[str, int] | None
    """By reason, the most first."""
    gaps_open: int | None
    reconcile: Mapping[str, int] | None
    """By reason, the most first."""
    replays: Mapping[str, int] | None
    """Running ones by source."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """The whole page."""

    level: Level
    title: str
    """Begins with the worst state, which a browser's tab shows."""
    sentence: str
    concerns: tuple[Concern, ...]
    """The worst first; the sentence is the first of them."""
    sources: tuple[SourceView, ...]
    """The worst first."""
    fresh: Freshness | None
    """Of the last FRESH_SECONDS, or since the start. None: nothing became durable in them."""
    lanes: tuple[LaneView, ...]
    """The worst first."""
    backlog: BacklogView
    version: str
    python: str
    started: bool
    at: float
    """Seconds since the epoch."""


def view_of(facts: Facts) -> StatusView:
    """The page of one instant."""
    found = concerns(facts)
    return StatusView(
        level=found[0].level if found else Level.WELL,
        title=_title(facts, found),
        sentence=found[0].text if found else _all_is_well(facts),
        concerns=tuple(found),
        sources=tuple(
            _source(seen) for seen in sorted(facts.sources, key=lambda each: source_rank(each.verdict.state))
        ),
        fresh=facts.fresh,
        lanes=tuple(
            _lane(report) for report in sorted(facts.lanes, key=lambda each: (*lane_rank(each.verdict), each.lane))
        ),
        backlog=_backlog(facts),
        version=facts.build.version,
        python=facts.build.python,
        started=facts.started,
        at=facts.now,
    )


def _title(facts: Facts, found: list[Concern]) -> str:
    behind = [seen.verdict.seconds_behind for seen in facts.sources if seen.verdict.seconds_behind is not None]
    if found:
        return f"{found[0].state} · wikimirror"
    return f"well, {duration(max(behind))} behind · wikimirror" if behind else "well · wikimirror"


def _all_is_well(facts: Facts) -> str:
    behind = [seen.verdict.seconds_behind for seen in facts.sources if seen.verdict.seconds_behind is not None]
    names = [seen.vitals.source for seen in facts.sources]
    if facts.sources and all(seen.verdict.state is State.STANDBY for seen in facts.sources):
        return f"All is well: this process stands by for {', '.join(names)}."
    who = names[0] if len(names) == 1 else plural(len(names), "source")
    far = f"{'' if len(behind) == 1 else 'at most '}{duration(max(behind))} behind" if behind else "read"
    return f"All is well: {who}, {far}."


def _source(seen: Seen) -> SourceView:
    vitals, verdict = seen.vitals, seen.verdict
    accounts = vitals.accounts
    return SourceView(
        name=vitals.source,
        level=Level.TROUBLE if vitals.missing_topics else source_level(verdict.state),
        state=verdict.state.value,
        role=verdict.role.value,
        ready=verdict.ready,
        alive=verdict.alive,
        seconds_behind=verdict.seconds_behind,
        records_behind=vitals.all_records_behind,
        read=accounts.read,
        applied=accounts.applied.total(),
        refused=accounts.refused.total(),
        set_aside=accounts.set_aside.total(),
        ignored=accounts.ignored.total(),
        in_flight=accounts.in_flight,
        lanes=vitals.lanes,
        missing_topics=vitals.missing_topics,
        runbook=source_runbook(seen),
    )


def _lane(report: LaneReport) -> LaneView:
    lane, verdict = report
    catch_up = verdict.catch_up_seconds
    never = catch_up is not None and math.isinf(catch_up)
    return LaneView(
        source=lane.source,
        topic=lane.topic,
        partition=lane.partition,
        level=lane_level(verdict),
        state=verdict.state.value,
        seconds_behind=verdict.seconds_behind,
        records_behind=verdict.records_behind,
        catch_up_seconds=None if never else catch_up,
        never_catches_up=never,
        headroom_seconds=verdict.headroom_seconds,
        runbook=lane_runbook(verdict),
    )


def _backlog(facts: Facts) -> BacklogView:
    backlog = facts.backlog
    if backlog is None or facts.backlog_read is None:
        return BacklogView(None, is_old=False, retractions_set_aside=None, dead_letters=None, gaps_open=None,
            reconcile=None, replays=None)  # fmt: skip
    age = max(0.0, facts.now - facts.backlog_read)
    return BacklogView(
        told_seconds_ago=age,
        is_old=age > STALE,
        retractions_set_aside=backlog.retractions_set_aside,
        dead_letters=_counted(backlog.dead_letters, labels.SET_ASIDE),
        gaps_open=backlog.gaps_open,
        reconcile=_counted(backlog.reconcile_open, labels.RECONCILE),
        replays=dict(sorted(backlog.replays.items())),
    )


def _counted(counts: Mapping[str, int], closed: Closed) -> Mapping[str, int]:
    """The most first. Reasons are of a closed set here too: what is in a table is not for everybody."""
    told = closed.counts(counts)
    return {reason: told[reason] for reason in sorted(told, key=lambda each: (-told[each], each)) if told[reason]}
