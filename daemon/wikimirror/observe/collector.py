"""What vitals say, as Prometheus takes it. All of it is read at one instant, so a scrape's sums add up (promise P4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from wikimirror.observe.backlog import Backlog
from wikimirror.observe.build import Build
from wikimirror.observe.health import Now, Verdict
from wikimirror.observe.lanes import LaneReport
from wikimirror.observe.metrics import Metric, Type
from wikimirror.observe.vitals import Vitals
from wikimirror.wire import CAPTURE

_MILLISECONDS: Final = 3
"""Decimals of an instant. One that is worked out from two clocks would otherwise be new at each scrape."""


class Seen(NamedTuple):
    """One source at the instant of a scrape."""

    vitals: Vitals
    verdict: Verdict
    now: Now
    lanes: list[LaneReport]


class Sight(NamedTuple):
    """Everything at the instant of a scrape."""

    build: Build
    sources: list[Seen]
    backlog: Backlog | None
    backlog_read: float | None
    """Seconds since the epoch."""


class VitalsCollector(Collector):
    """Exports what `look` sees. Only for the event loop's thread, in which vitals are written."""

    def __init__(self, look: Callable[[], Sight]) -> None:
        self._look = look

    def describe(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        """The families without samples, so that the registry knows the names."""
        return list(_Families().all)

    def collect(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        """The families with their samples of now."""
        sight, families = self._look(), _Families()
        families.add(Metric.BUILD, 1, *sight.build)
        for seen in sight.sources:
            _add_health(families, seen)
            _add_lanes(families, seen.vitals)
            _add_lane_reports(families, seen.lanes)
            _add_instants(families, seen)
            _add_accounts(families, seen.vitals)
        if sight.backlog is not None and sight.backlog_read is not None:
            families.add_counts(Metric.DEAD_LETTERS, "reason", sight.backlog.dead_letters)
            families.add(Metric.RETRACTIONS_SET_ASIDE, sight.backlog.retractions_set_aside)
            families.add(Metric.GAPS, sight.backlog.gaps_open)
            families.add_counts(Metric.RECONCILE, "reason", sight.backlog.reconcile_open)
            for source in dict.fromkeys([*(seen.vitals.source for seen in sight.sources), CAPTURE]):
                families.add(Metric.REPLAY_ACTIVE, int(sight.backlog.replays.get(source, 0) > 0), source)
            families.add(Metric.BACKLOG_READ, sight.backlog_read)
        return list(families.all)


class _Families:
    """One family for each metric that is no histogram."""

    def __init__(self) -> None:
        self._families: dict[Metric, CounterMetricFamily | GaugeMetricFamily] = {
            metric: (CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily)(
                metric.series, metric.help, labels=list(metric.labels)
            )
            for metric in Metric
            if metric.type is not Type.HISTOGRAM
        }

    @property
    def all(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        return self._families.values()

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        self._families[metric].add_metric(labels, value)

    def add_counts(self, metric: Metric, label: str, counted: Mapping[str, int], *labels: str) -> None:
        """A sample for each value of the last label."""
        closed = metric.labels[label]
        assert closed is not None  # noqa: S101  # it is declared in metrics.py, next to who asks
        for value, count in closed.counts(counted).items():
            self.add(metric, count, *labels, value)


def _add_health(families: _Families, seen: Seen) -> None:
    vitals, verdict = seen.vitals, seen.verdict
    source = vitals.source
    families.add_counts(Metric.ROLE, "role", {verdict.role: 1}, source)
    families.add_counts(Metric.STATE, "state", {verdict.state: 1}, source)
    families.add(Metric.CONNECTED, int(vitals.connected), source)
    families.add(Metric.CONNECTS, vitals.connects, source)
    families.add_counts(Metric.DISCONNECTS, "reason", vitals.disconnects, source)
    families.add_counts(Metric.RETRIES, "what", vitals.retries, source)
    families.add(Metric.LANE_LOSSES, vitals.lane_losses, source)
    if verdict.seconds_behind is not None:
        families.add(Metric.BEHIND, verdict.seconds_behind, source)


def _add_lanes(families: _Families, vitals: Vitals) -> None:
    families.add(Metric.LANES, vitals.lanes, vitals.source)
    families.add(Metric.REBALANCES, vitals.rebalances, vitals.source)
    families.add(Metric.MISSING_TOPICS, len(vitals.missing_topics), vitals.source)
    for lane, records in sorted(vitals.records_behind.items()):
        families.add(Metric.BEHIND_RECORDS, records, vitals.source, lane.topic, str(lane.partition))


def _add_lane_reports(families: _Families, reports: Iterable[LaneReport]) -> None:
    for lane, verdict in reports:
        place = lane.source, lane.topic, str(lane.partition)
        families.add_counts(Metric.LANE_STATE, "state", {verdict.state: 1}, *place)
        for metric, seconds in (
            (Metric.CATCH_UP, verdict.catch_up_seconds),
            (Metric.HEADROOM, verdict.headroom_seconds),
        ):
            if seconds is not None:
                families.add(metric, seconds, *place)


def _add_instants(families: _Families, seen: Seen) -> None:
    vitals, now = seen.vitals, seen.now
    for lane, newest in sorted(vitals.newest.items()):
        # By today's time of day, so that a clock that stepped since does not make it look old or young.
        received = now.wall - (now.monotonic - newest.received)
        families.add(Metric.PUBLISHED, newest.published, vitals.source, lane.topic, str(lane.partition))
        families.add(Metric.RECEIVED, round(received, _MILLISECONDS), vitals.source, lane.topic, str(lane.partition))
    if vitals.last_applied is not None:
        families.add(Metric.LAST_APPLIED, vitals.last_applied, vitals.source)


def _add_accounts(families: _Families, vitals: Vitals) -> None:
    accounts, source = vitals.accounts, vitals.source
    families.add(Metric.READ, accounts.read, source)
    families.add_counts(Metric.IGNORED, "reason", accounts.ignored, source)
    families.add_counts(Metric.APPLIED, "kind", accounts.applied, source)
    families.add_counts(Metric.REFUSED, "reason", accounts.refused, source)
    families.add_counts(Metric.SET_ASIDE, "reason", accounts.set_aside, source)
    families.add(Metric.GIVEN_BACK, accounts.given_back, source)
    families.add(Metric.IN_FLIGHT, accounts.in_flight, source)
    families.add(Metric.WAITING_BYTES, vitals.bytes_waiting, source)
    families.add(Metric.BATCHES, vitals.batches, source)
