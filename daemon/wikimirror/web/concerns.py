"""What a person has to know first: pure judgements on what this process knows, the worst of them first.

Each says what is so without any reason's text: those may quote hosts, and stand behind the token.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from wikimirror.observe.collector import Seen
from wikimirror.observe.health import State
from wikimirror.observe.lanes import LaneVerdict
from wikimirror.observe.runbooks import Runbook
from wikimirror.observe.vitals import Role, Waiting
from wikimirror.web.facts import Facts
from wikimirror.web.wording import duration, plural, words

STALE: Final = 60.0
"""Seconds after which what Postgres told is old: it is asked every few seconds."""
_SHORT: Final = 6 * 3600.0
"""Seconds of headroom that are little for a lane that does not get on: a night's sleep."""


class Level(StrEnum):
    """How bad it is. Told by word and sign, and by colour besides."""

    WELL = "well"
    WATCH = "watch"
    """It passes by itself, or can wait for the morning."""
    TROUBLE = "trouble"


BY_BADNESS: Final = (Level.TROUBLE, Level.WATCH, Level.WELL)

SOURCE_LEVELS: Final = {
    "stalled": Level.TROUBLE,
    "halted": Level.TROUBLE,
    "waiting": Level.TROUBLE,
    "stopped": Level.TROUBLE,
    "silent": Level.TROUBLE,
    "catching_up": Level.WATCH,
    "connecting": Level.WATCH,
    "starting": Level.WATCH,
    "draining": Level.WATCH,
    "standby": Level.WELL,
    "current": Level.WELL,
}
"""By state, the worst first. A state that is not here is trouble."""
LANE_LEVELS: Final = {
    "stalled": Level.TROUBLE,
    "growing": Level.TROUBLE,
    "stopped": Level.TROUBLE,
    "rewound": Level.WATCH,
    "silent": Level.WATCH,
    "catching_up": Level.WATCH,
    "current": Level.WELL,
}
_LANE_RUNBOOKS: Final = {
    "stalled": Runbook.LANE_STALLED,
    "growing": Runbook.DIVERGING,
    "stopped": Runbook.OWNER_FROZEN,
    "silent": Runbook.SOURCE_SILENT,
    "catching_up": Runbook.FRESHNESS,
}
_LANES_SAY: Final = {
    "stalled": ("does not get on", "do not get on"),
    "growing": ("falls further behind", "fall further behind"),
    "stopped": ("is read by nobody", "are read by nobody"),
}


_SOURCES_SAY: Final = {
    "stalled": "is stalled: it has work in hand and does not get on with it",
    "halted": "is halted: too much was set aside, and it reads no more",
    "stopped": "has stopped",
    "draining": "is draining: it applies what it has read, and stops",
}


class Concern(NamedTuple):
    """One thing that is not as it should be."""

    level: Level
    state: str
    """In a word or two: what a browser's tab has room for."""
    text: str
    """A sentence."""
    runbook: Runbook | None = None


def source_level(state: str) -> Level:
    """How bad a source's state is."""
    return SOURCE_LEVELS.get(state, Level.TROUBLE)


def source_rank(state: str) -> int:
    """Smaller is worse. What is not known is the worst."""
    order = list(SOURCE_LEVELS)
    return order.index(state) if state in order else -1


def lane_level(lane: LaneVerdict) -> Level:
    """How bad a lane's state is; one that will lose records is trouble whatever its state."""
    return Level.TROUBLE if headroom_is_low(lane) else LANE_LEVELS.get(lane.state, Level.TROUBLE)


def lane_rank(lane: LaneVerdict) -> tuple[int, int]:
    """Smaller is worse."""
    order = list(LANE_LEVELS)
    return BY_BADNESS.index(lane_level(lane)), order.index(lane.state) if lane.state in order else -1


def lane_runbook(lane: LaneVerdict) -> Runbook | None:
    """What to open for a lane."""
    return Runbook.HEADROOM if headroom_is_low(lane) else _LANE_RUNBOOKS.get(lane.state)


def headroom_is_low(lane: LaneVerdict) -> bool:
    """Whether the source may delete what is to be read next before the lane has come to it."""
    headroom, catch_up = lane.headroom_seconds, lane.catch_up_seconds
    if headroom is None or lane.state == "current":
        return False
    if catch_up is None or math.isinf(catch_up):
        return headroom <= (0 if catch_up is None else _SHORT)
    return headroom <= 2 * catch_up


def source_runbook(seen: Seen) -> Runbook | None:
    """What to open for a source."""
    match seen.verdict.state.value:
        case "waiting":
            waits = _waits_for(seen)
            return Runbook.POSTGRES_UNAVAILABLE if "Postgres" in waits else Runbook.SOURCE_UNAVAILABLE
        case "stalled":
            return Runbook.LANE_STALLED
        case "halted":
            return Runbook.SOURCE_HALTED
        case "silent":
            return Runbook.SOURCE_SILENT
        case "catching_up":
            return Runbook.FRESHNESS
        case "stopped":
            return Runbook.OWNER_FROZEN
    return Runbook.SOURCE_UNAVAILABLE if seen.vitals.missing_topics else None


def concerns(facts: Facts) -> list[Concern]:
    """Everything that is not well, the worst first; among equals sources before what waits in Postgres."""
    found = [
        *_of_sources(facts),
        *_of_retractions(facts),
        *_of_lanes(facts),
        *_of_backlog(facts),
        *_of_asking(facts),
    ]
    return sorted(found, key=lambda concern: BY_BADNESS.index(concern.level))


def _of_sources(facts: Facts) -> Iterator[Concern]:
    for seen in sorted(facts.sources, key=lambda each: source_rank(each.verdict.state)):
        state, vitals = seen.verdict.state, seen.vitals
        level = source_level(state)
        if level is not Level.WELL:
            yield Concern(level, words(state), f"{vitals.source} {_source_says(seen)}.", source_runbook(seen))
        if vitals.missing_topics and state is not State.WAITING:
            number = plural(len(vitals.missing_topics), "topic is", "topics are")
            text = f"{number} missing that the settings name for {vitals.source}."
            yield Concern(Level.TROUBLE, "topics missing", text, Runbook.SOURCE_UNAVAILABLE)


def _source_says(seen: Seen) -> str:
    verdict = seen.verdict
    match verdict.state.value:
        case "waiting":
            return f"waits for {' and '.join(_waits_for(seen)) or 'its topics, which are not there'}"
        case "silent":
            return f"is silent: connected, and nothing new came for {duration(verdict.silent_seconds)}"
        case "catching_up":
            return f"is catching up, {duration(verdict.seconds_behind)} behind"
        case "connecting":
            return "is connected and has received nothing new yet" if verdict.ready else "is connecting"
        case state:
            return _SOURCES_SAY.get(state, f"is {words(state)}")


def _waits_for(seen: Seen) -> list[str]:
    """Postgres, the source, or both."""
    waits = seen.vitals.waits
    postgres = Waiting.LEASE in waits or (Waiting.DATABASE in waits and seen.verdict.role is Role.ACTIVE)
    return ["Postgres"] * postgres + ["its source"] * (Waiting.SOURCE in waits)


def _of_retractions(facts: Facts) -> Iterator[Concern]:
    if facts.backlog is not None and (number := facts.backlog.retractions_set_aside):
        told = plural(number, "retraction is", "retractions are")
        text = f"{told} set aside: what should be gone may not be. Look at this first."
        yield Concern(Level.TROUBLE, "retraction set aside", text, Runbook.RETRACTION_SET_ASIDE)


def _of_lanes(facts: Facts) -> Iterator[Concern]:
    states = Counter((lane.source, told.state.value) for lane, told in facts.lanes if told.state in _LANES_SAY)
    for (source, state), number in sorted(states.items()):
        one, several = _LANES_SAY[state]
        text = f"{plural(number, 'lane')} of {source} {one if number == 1 else several}."
        yield Concern(Level.TROUBLE, f"lane {state}", text, _LANE_RUNBOOKS[state])
    low = Counter(lane.source for lane, told in facts.lanes if headroom_is_low(told))
    for source, number in sorted(low.items()):
        told = plural(number, "lane of it is", "lanes of it are")
        text = f"{source} may delete records before {told} read."
        yield Concern(Level.TROUBLE, "headroom low", text, Runbook.HEADROOM)


def _of_backlog(facts: Facts) -> Iterator[Concern]:
    if facts.backlog is None:
        return
    if gaps := facts.backlog.gaps_open:
        text = f"{plural(gaps, 'gap is', 'gaps are')} open: records are missing from the mirror."
        yield Concern(Level.TROUBLE, "gap open", text, Runbook.GAP)
    if letters := sum(facts.backlog.dead_letters.values()):
        text = f"{plural(letters, 'record is', 'records are')} set aside as dead letters."
        yield Concern(Level.WATCH, "dead letters", text, Runbook.DEAD_LETTERS)


def _of_asking(facts: Facts) -> Iterator[Concern]:
    if not facts.started:
        yield Concern(Level.WATCH, "starting", "The process is starting.")
    elif facts.backlog_read is None:
        yield Concern(Level.WATCH, "starting", "Postgres has not told yet what waits in it.")
    elif (age := facts.now - facts.backlog_read) > STALE:
        text = f"What waits in Postgres was last told {duration(age)} ago."
        yield Concern(Level.TROUBLE, "Postgres not heard", text, Runbook.POSTGRES_UNAVAILABLE)
