"""How a lane fares: a pure verdict on samples of it over a few minutes, not on one look (promise P7).

Seconds behind do not tell whether to get up at night. Whether they fall does, or ever will. The states are those of
Burrow's evaluator, and `silent` for sources that do not tell their end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from wikimirror.model import Lane, Position
from wikimirror.observe.effort import Spent
from wikimirror.observe.health import Thresholds
from wikimirror.observe.trend import falling, is_level_or_rising

_NOTHING: Final = Spent()
WINDOW: Final = 300.0
"""Seconds that samples are kept."""
PROOF: Final = 30.0
"""Seconds. What was seen over less time than this shows no trend."""


class LaneState(StrEnum):
    """What a lane does, in one word."""

    CURRENT = "current"
    """Less than `behind_after` behind, or read to its end, as far as is told."""
    CATCHING_UP = "catching_up"
    """At least `behind_after` behind, and what is left falls, or it is too early to tell."""
    GROWING = "growing"
    """At least `behind_after` behind, and what is left has not fallen over the window, though its position moves."""
    STALLED = "stalled"
    """There is more to read or in flight, and its position has not moved for `stalled_after`."""
    SILENT = "silent"
    """Connected, nothing in flight, nothing new for `silent_after`, and its end is not known to be reached."""
    REWOUND = "rewound"
    """Its durable position went back within the window."""


STOPPED: Final = "stopped"
"""What a reader of the table `lane` says of one that nobody told of for a minute."""


class Wait(NamedTuple):
    """What the pipeline waits for."""

    what: str
    """source, database or lease."""
    seconds: float
    reason: str
    """Without secrets."""


@dataclass(frozen=True, slots=True)
class SourceSample:
    """One source at one instant: what its lanes have in common."""

    at: float
    """Monotonic."""
    connected: bool = True
    silent: float | None = None
    """Seconds since anything new came of any lane."""
    spent: Spent = _NOTHING
    wait: Wait | None = None
    """The longest."""
    retention: float | None = None
    """Seconds for which the source keeps what it published."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One lane at one instant. Offsets are the source's."""

    source: SourceSample
    position: Position
    """The next to read, as durable."""
    reached: int
    """The offset of the next to read, as read."""
    position_age: float | None = None
    """Seconds since the newest durable record was published."""
    seconds_behind: float | None = None
    """How long ago that was published which becomes durable next."""
    records_behind: int | None = None
    end: int | None = None
    log_start: int | None = None
    stuck: float = 0.0
    """Seconds that there has been something to read or in flight while the position did not move."""

    went_back: float | None = None
    """Seconds since the durable position went back; None: it has not."""

    @property
    def at(self) -> float:
        """Monotonic."""
        return self.source.at

    @property
    def in_flight(self) -> bool:
        """Something was read and is not durable."""
        return self.reached != self.position.offset


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers that a state was judged by, as they are kept in `lane.evidence`. None: not known."""

    window_seconds: float
    samples: int
    position_from: int
    position_to: int
    read_per_second: float | None
    applied_per_second: float | None
    inflow_per_second: float | None
    """How fast the source's end grows."""
    apply_share: float | None
    decode_share: float | None
    source_share: float | None
    """Shares of the window's time, 0 to 1. The first and the second may overlap."""
    waiting_for: str | None
    waiting_seconds: float | None
    waiting_reason: str | None
    silent_seconds: float | None
    behind_from: float | None
    behind_to: float | None
    retention_seconds: float | None


@dataclass(frozen=True, slots=True)
class LaneVerdict:
    """What is to be told of one lane."""

    state: LaneState
    position: int
    seconds_behind: float | None
    records_behind: int | None
    catch_up_seconds: float | None
    """Until it is current, at its present rate. Infinite: never. None: it is, or that is not known."""
    headroom_seconds: float | None
    """Until the source deletes what is to be read next. None: not known."""
    headroom_records: int | None
    """From the oldest record that the source holds to the position. None: it does not tell."""
    evidence: Evidence


class LaneReport(NamedTuple):
    """A lane and the verdict on it."""

    lane: Lane
    verdict: LaneVerdict


def judge_lane(samples: Sequence[Sample], thresholds: Thresholds) -> LaneVerdict:
    """The verdict on a lane by samples of it, oldest first, at least one. One alone shows no change."""
    last = samples[-1]
    state = _state(samples, thresholds)
    return LaneVerdict(
        state=state,
        position=last.position.offset,
        seconds_behind=last.seconds_behind,
        records_behind=last.records_behind,
        catch_up_seconds=_catch_up(state, samples, thresholds),
        headroom_seconds=_headroom(state, last),
        headroom_records=None if last.log_start is None else max(0, last.position.offset - last.log_start),
        evidence=_evidence(samples),
    )


def _state(samples: Sequence[Sample], thresholds: Thresholds) -> LaneState:
    last = samples[-1]
    if len(samples) > 1:
        if last.stuck >= thresholds.stalled_after:
            return LaneState.STALLED
        if last.went_back is not None and last.went_back <= WINDOW:
            return LaneState.REWOUND
        if _is_silent(last, thresholds):
            return LaneState.SILENT
    if not _is_behind(last, thresholds):
        return LaneState.CURRENT
    moves = any(each.position != last.position for each in samples)
    if moves and is_level_or_rising(_left(samples), PROOF):
        return LaneState.GROWING
    return LaneState.CATCHING_UP


def _at_end(sample: Sample) -> bool:
    return sample.records_behind == 0


def _is_silent(sample: Sample, thresholds: Thresholds) -> bool:
    silent = sample.source.silent
    return (
        sample.source.connected
        and silent is not None
        and silent >= thresholds.silent_after
        and not sample.in_flight
        and not _at_end(sample)
    )


def _is_behind(sample: Sample, thresholds: Thresholds) -> bool:
    """A lane that is read to its end is current, whatever it brought last."""
    behind = sample.seconds_behind
    return behind is not None and behind >= thresholds.behind_after and not _at_end(sample)


def _behind(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    return [(each.at, each.seconds_behind) for each in samples if each.seconds_behind is not None]


def _left(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """The work that is left: records, where the source tells its end. Seconds behind grow while a burst is read, which
    was published all at once, and jump where little happened for a while.
    """
    if samples[-1].records_behind is None:
        return _behind(samples)
    return [(each.at, float(each.records_behind)) for each in samples if each.records_behind is not None]


def _catch_up(state: LaneState, samples: Sequence[Sample], thresholds: Thresholds) -> float | None:
    if state in {LaneState.STALLED, LaneState.GROWING}:
        return math.inf
    last = samples[-1]
    if state is LaneState.SILENT or not _is_behind(last, thresholds):
        return None
    left = _left(samples)
    rate = falling(left, PROOF)
    return left[-1][1] / rate if left and rate else None


def _headroom(state: LaneState, last: Sample) -> float | None:
    """The next record grows older by a second in each second, whatever else is read: so this is when it is deleted."""
    retention, age = last.source.retention, last.position_age
    if last.log_start is not None and last.position.offset < last.log_start:
        return 0.0
    if retention is None:
        return None
    if _at_end(last):
        return retention
    if state is LaneState.CURRENT:
        # The newest durable record may be old because little happens: what comes next is no older than this.
        age = min((told for told in (age, last.seconds_behind) if told is not None), default=0.0)
    return None if age is None else max(0.0, retention - age)


def _evidence(samples: Sequence[Sample]) -> Evidence:
    first, last = samples[0], samples[-1]
    seconds = last.at - first.at
    wait, before, after = last.source.wait, first.source.spent, last.source.spent
    behind = _behind(samples)
    return Evidence(
        window_seconds=seconds,
        samples=len(samples),
        position_from=first.position.offset,
        position_to=last.position.offset,
        read_per_second=_rate([(each.at, each.reached) for each in samples]),
        applied_per_second=_rate([(each.at, each.position.offset) for each in samples]),
        inflow_per_second=_rate([(each.at, each.end) for each in samples if each.end is not None]),
        apply_share=_share(after.applying - before.applying, seconds),
        decode_share=_share(after.decoding - before.decoding, seconds),
        source_share=_share(after.waiting - before.waiting, seconds),
        waiting_for=None if wait is None else wait.what,
        waiting_seconds=None if wait is None else wait.seconds,
        waiting_reason=None if wait is None else wait.reason,
        silent_seconds=last.source.silent,
        behind_from=behind[0][1] if behind else None,
        behind_to=last.seconds_behind,
        retention_seconds=last.source.retention,
    )


def _rate(offsets: Sequence[tuple[float, int]]) -> float | None:
    """Offsets a second; None where fewer than two are told, or they went down, as where a source numbers anew."""
    if not offsets or any(latter < former for (_, former), (_, latter) in pairwise(offsets)):
        return None
    (begin, first), (end, last) = offsets[0], offsets[-1]
    return (last - first) / (end - begin) if end > begin else None


def _share(spent: float, seconds: float) -> float | None:
    return min(1.0, max(0.0, spent / seconds)) if seconds > 0 else None
