"""What was seen of each lane within the last minutes. Bounded: one sample every few seconds, and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from wikimirror.model import MICROSECONDS, Lane, Position
from wikimirror.observe.health import Now, lateness, silent_seconds
from wikimirror.observe.lanes import WINDOW, Sample, SourceSample, Wait
from wikimirror.observe.vitals import Vitals, Waiting
from wikimirror.observe.withhold import mask_secrets

EVERY: Final = 5.0
"""Seconds between two samples."""
MOST: Final = int(WINDOW / EVERY) + 1
"""Samples that are kept of a lane."""
_SAID: Final = 300
"""Characters of a reason that are repeated."""


class LaneWindow:
    """The lanes that one source's pipeline holds. Another pipeline, or another assignment, begins another window."""

    def __init__(self) -> None:
        self._holds = -1
        self._samples: dict[Lane, deque[Sample]] = {}

    def note(self, vitals: Vitals, now: Now) -> None:
        """Sample the lanes whose positions are known."""
        if vitals.holds != self._holds:
            self._holds, self._samples = vitals.holds, {}
        look = _Look(vitals, now, _sample_source(vitals, now), lateness(vitals, now))
        for lane in vitals.held & vitals.durable.keys():
            position = vitals.durable[lane]
            kept = self._samples.setdefault(lane, deque(maxlen=MOST))
            while kept and kept[0].at < now.monotonic - WINDOW:
                kept.popleft()
            former = kept[-1] if kept else None
            kept.append(_sample(look, lane, position, former))

    def samples(self, vitals: Vitals) -> Mapping[Lane, Sequence[Sample]]:
        """By lane held, oldest first. None of what another hold saw."""
        return self._samples if vitals.holds == self._holds else {}


class _Look(NamedTuple):
    """One source at one instant, and how late each lane is."""

    vitals: Vitals
    now: Now
    source: SourceSample
    late: Mapping[Lane, float]


def _sample_source(vitals: Vitals, now: Now) -> SourceSample:
    waits = [
        Wait(what, max(0.0, now.monotonic - wait.since), mask_secrets(wait.reason)[:_SAID])
        for what, wait in vitals.waits.items()
    ]
    return SourceSample(
        at=now.monotonic,
        connected=vitals.connected,
        silent=silent_seconds(vitals, now),
        spent=vitals.effort.until(now.monotonic),
        wait=max(waits, key=lambda wait: wait.seconds, default=None),
        retention=vitals.retention,
    )


def _sample(look: _Look, lane: Lane, position: Position, former: Sample | None) -> Sample:
    vitals, now, source, lateness_of = look
    late = lateness_of.get(lane)
    reached = vitals.reached.get(lane, position).offset
    records = vitals.records_behind.get(lane)
    age = max(0.0, now.wall - position.time / MICROSECONDS) if position.time else None
    in_flight = reached != position.offset
    # A source that cannot be reached may have anything; one that tells no end, and sends, is taken at its word.
    pending = in_flight or bool(records) or (records is None and Waiting.SOURCE in vitals.waits)
    stuck = 0.0
    if pending and former is not None and former.position == position:
        stuck = former.stuck + source.at - former.at
    return Sample(
        source=source,
        position=position,
        reached=reached,
        position_age=age,
        seconds_behind=_behind(vitals, late, age, now) if in_flight else late,
        records_behind=records,
        end=vitals.ends.get(lane),
        log_start=vitals.log_starts.get(lane),
        stuck=stuck,
        went_back=None if lane not in vitals.went_back else source.at - vitals.went_back[lane],
    )


def _behind(vitals: Vitals, late: float | None, age: float | None, now: Now) -> float | None:
    """Of a lane with records in flight. How old its oldest is nobody told, but it can be bounded: it is no older than
    the oldest of all lanes, and was published after the newest durable record.
    """
    oldest = None if vitals.oldest_in_flight is None else max(0.0, now.wall - vitals.oldest_in_flight)
    bounds = [told for told in (oldest, age) if told is not None]
    if not bounds:
        return late
    return max(min(bounds), late or 0.0)
