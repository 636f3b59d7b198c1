"""What one process tells of itself: the vitals of its sources, what is judged and exported of them, and histograms."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector

from wikimirror.observe.backlog import Backlog
from wikimirror.observe.build import build
from wikimirror.observe.collector import Seen, Sight, VitalsCollector
from wikimirror.observe.freshness import Freshness, FreshnessWindow
from wikimirror.observe.health import Now, Thresholds, Verdict, judge
from wikimirror.observe.labels import KIND
from wikimirror.observe.lanes import WINDOW, LaneReport, judge_lane
from wikimirror.observe.metrics import APPLY_BUCKETS, FRESHNESS_BUCKETS, Metric
from wikimirror.observe.vitals import Vitals
from wikimirror.observe.window import MOST, LaneWindow


class Telemetry:
    """One for a process, or for a test. Only for the event loop's thread."""

    def __init__(
        self,
        thresholds: Thresholds,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.thresholds = thresholds
        self.build = build()
        self.registry = CollectorRegistry()
        self._wall = wall
        self._monotonic = monotonic
        self._vitals: dict[str, Vitals] = {}
        self._windows: dict[str, LaneWindow] = {}
        self._judged: dict[str, tuple[int, list[LaneReport]]] = {}
        """By source, for which hold, and what the samples of it say."""
        self._backlog: Backlog | None = None
        self._backlog_read: float | None = None
        self._freshness = _histogram(Metric.FRESHNESS, FRESHNESS_BUCKETS, self.registry)
        self._apply = _histogram(Metric.APPLY, APPLY_BUCKETS, self.registry)
        # Looking a child up takes longer than observing, and there are tens of thousands of changes a second.
        self._fresh: dict[tuple[str, str], Histogram] = {}
        self._freshness_window = FreshnessWindow(FRESHNESS_BUCKETS, looks=MOST)
        self._freshness_window.note(monotonic(), self._fresh_counts())
        self.registry.register(VitalsCollector(self.look))
        ProcessCollector(registry=self.registry)

    @property
    def vitals(self) -> Mapping[str, Vitals]:
        """By source."""
        return MappingProxyType(self._vitals)

    def add(self, vitals: Vitals) -> Vitals:
        """Take a source in, before its pipeline starts. Returns what it was given. A source's name is its own."""
        if vitals.source in self._vitals:
            raise ValueError(f"the vitals of {vitals.source} are told already")
        self._vitals[vitals.source] = vitals
        self._windows[vitals.source] = LaneWindow()
        return vitals

    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each source at this instant."""
        return {source: judge(vitals, self.thresholds, Now.of(vitals)) for source, vitals in self._vitals.items()}

    def sample(self) -> None:
        """Look at every lane and at freshness once more. To be called every `window.EVERY` seconds."""
        for source, vitals in self._vitals.items():
            self._windows[source].note(vitals, Now.of(vitals))
        self._judged.clear()
        self._freshness_window.note(self._monotonic(), self._fresh_counts())

    def lanes(self) -> list[LaneReport]:
        """The verdict on each lane held, by the samples of it. A lane that no sample was taken of is left out."""
        return [report for vitals in self._vitals.values() for report in self._lanes_of(vitals)]

    def freshness(self, seconds: float = WINDOW) -> Freshness | None:
        """Of the changes that became durable within the last so many seconds; None: there were none."""
        return self._freshness_window.within(seconds, self._monotonic(), self._fresh_counts())

    def observe_freshness(self, source: str, changes: Iterable[tuple[str, float]]) -> None:
        """Changes of a source became durable: the kind of each, and the seconds from its publication until now."""
        children = self._fresh
        for kind, seconds in changes:
            child = children.get((source, kind))
            if child is None:
                child = children[source, kind] = self._freshness.labels(source, KIND.value(kind))
            child.observe(max(0.0, seconds))

    def observe_apply(self, source: str, seconds: float) -> None:
        """A batch of a source became durable, so many seconds after it was handed over."""
        self._apply.labels(source).observe(max(0.0, seconds))

    def note_backlog(self, backlog: Backlog) -> None:
        """Postgres has just told what waits in it."""
        self._backlog = backlog
        self._backlog_read = self._wall()

    def now(self) -> float:
        """The time of day, in seconds since the epoch."""
        return self._wall()

    def look(self) -> Sight:
        """Everything at this instant."""
        return Sight(self.build, self._seen(), self._backlog, self._backlog_read)

    def _seen(self) -> list[Seen]:
        seen = []
        for vitals in self._vitals.values():
            now = Now.of(vitals)
            seen.append(Seen(vitals, judge(vitals, self.thresholds, now), now, self._lanes_of(vitals)))
        return seen

    def _lanes_of(self, vitals: Vitals) -> list[LaneReport]:
        # Judged once for each sample: a thousand lanes take a tenth of a second, and anybody may ask how it is.
        told = self._judged.get(vitals.source)
        if told is None or told[0] != vitals.holds:
            samples = self._windows[vitals.source].samples(vitals)
            reports = [LaneReport(lane, judge_lane(samples[lane], self.thresholds)) for lane in sorted(samples)]
            told = self._judged[vitals.source] = vitals.holds, reports
        return told[1]

    def _fresh_counts(self) -> list[int]:
        """Of all sources and kinds, by bucket."""
        counts = [0] * (len(FRESHNESS_BUCKETS) + 1)
        for family in self._freshness.collect():
            places = itertools.cycle(range(len(counts)))
            below = 0
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    place = next(places)
                    below = below if place else 0
                    counts[place] += int(sample.value) - below
                    below = int(sample.value)
        return counts


def _histogram(metric: Metric, buckets: Iterable[float], registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.series, metric.help, list(metric.labels), buckets=tuple(buckets), registry=registry)
