"""Every metric, declared once: its name, type, unit, labels and meaning. They are a contract, told in docs/metrics.md.

A name says its unit as Prometheus wants it: base units, `_total` for what only grows. Instants are exported, not ages:
an age that nobody updates looks as young as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from wikimirror.observe import labels
from wikimirror.observe.labels import Closed

FRESHNESS_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21_600, 86_400)
"""Seconds. Below 1 is what the pipeline takes by itself (its goal is 0.1); 1 to 60 is transport, and where objectives
such as "99 % within 30 s" are set; minutes are restarts and takeovers; hours are catching up after an outage."""
APPLY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds. From a small batch on a local disk up to the default of `postgres.statement_timeout`."""

_ANY: Final = None
"""A label whose values the settings name (sources and their topics), the lanes that are held (their partitions), or the
one build that runs."""
_INSTANT: Final = "seconds since 1970"


class Type(StrEnum):
    """How Prometheus takes a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class _Declared(NamedTuple):
    series: str
    type: Type
    unit: str
    meaning: str
    labels: Mapping[str, Closed | None]


def _counter(series: str, unit: str, meaning: str, **values: Closed | None) -> _Declared:
    return _Declared(series, Type.COUNTER, unit, meaning, values)


def _gauge(series: str, unit: str, meaning: str, **values: Closed | None) -> _Declared:
    return _Declared(series, Type.GAUGE, unit, meaning, values)


def _histogram(series: str, meaning: str, **values: Closed | None) -> _Declared:
    return _Declared(series, Type.HISTOGRAM, "seconds", meaning, values)


class Metric(Enum):
    """Every metric of ours."""

    BUILD = _gauge("wikimirror_build_info", "1", "Which program runs.", version=_ANY, python=_ANY)

    ROLE = _gauge("wikimirror_source_role", "0 or 1", "What this process is for.", source=_ANY, role=labels.ROLE)
    STATE = _gauge(
        "wikimirror_source_state", "0 or 1", "What it is doing, as the probes say.", source=_ANY, state=labels.STATE
    )
    CONNECTED = _gauge("wikimirror_source_connected", "0 or 1", "Whether the source answers.", source=_ANY)
    CONNECTS = _counter(
        "wikimirror_source_connects_total", "connections", "Connections on which the source answered.", source=_ANY
    )
    DISCONNECTS = _counter(
        "wikimirror_source_disconnects_total",
        "connections",
        "Connections and attempts at one that are over, by how they ended.",
        source=_ANY,
        reason=labels.DISCONNECT,
    )
    RETRIES = _counter(
        "wikimirror_retries_total",
        "attempts",
        "Attempts that failed for the environment and are made again, by what was not there.",
        source=_ANY,
        what=labels.WAITING,
    )
    LANE_LOSSES = _counter(
        "wikimirror_lane_losses_total", "times", "Another process took the lease or the lanes over.", source=_ANY
    )
    BEHIND = _gauge(
        "wikimirror_source_behind_seconds",
        "seconds",
        "How long ago that was published which becomes durable next. Absent while not known, and on a standby.",
        source=_ANY,
    )
    BEHIND_RECORDS = _gauge(
        "wikimirror_source_behind_records",
        "records",
        "Records of a lane not read yet. Absent where the source does not tell its end.",
        source=_ANY,
        topic=_ANY,
        partition=_ANY,
    )
    LANE_STATE = _gauge(
        "wikimirror_lane_state",
        "0 or 1",
        "How a lane fares over the last minutes. Absent until it was looked at.",
        source=_ANY,
        topic=_ANY,
        partition=_ANY,
        state=labels.LANE_STATE,
    )
    CATCH_UP = _gauge(
        "wikimirror_lane_catch_up_seconds",
        "seconds",
        "When a lane will be current, at its present rate. +Inf: never. Absent while it is or that is not known.",
        source=_ANY,
        topic=_ANY,
        partition=_ANY,
    )
    HEADROOM = _gauge(
        "wikimirror_lane_headroom_seconds",
        "seconds",
        "How long until the source deletes what a lane reads next. Absent while not known.",
        source=_ANY,
        topic=_ANY,
        partition=_ANY,
    )
    LANES = _gauge("wikimirror_source_lanes", "lanes", "Lanes that this process holds.", source=_ANY)
    REBALANCES = _counter(
        "wikimirror_rebalances_total", "times", "The group of a source gave its lanes out anew.", source=_ANY
    )
    MISSING_TOPICS = _gauge(
        "wikimirror_source_missing_topics",
        "topics",
        "Topics of the settings that the source does not have. They are looked for without end.",
        source=_ANY,
    )
    PUBLISHED = _gauge(
        "wikimirror_source_published_timestamp_seconds",
        _INSTANT,
        "When the newest record received of a lane was published, canaries included.",
        source=_ANY,
        topic=_ANY,
        partition=_ANY,
    )
    RECEIVED = _gauge(
        "wikimirror_source_received_timestamp_seconds",
        _INSTANT,
        "When the newest record of a lane was received, canaries included. It stands still while the lane is silent.",
        source=_ANY,
        topic=_ANY,
        partition=_ANY,
    )
    LAST_APPLIED = _gauge(
        "wikimirror_last_applied_timestamp_seconds", _INSTANT, "When the last batch became durable.", source=_ANY
    )

    READ = _counter(
        "wikimirror_records_read_total", "records", "Records read, canaries and those read again included.", source=_ANY
    )
    IGNORED = _counter(
        "wikimirror_records_ignored_total",
        "records",
        "Records that are not for this mirror.",
        source=_ANY,
        reason=labels.IGNORED,
    )
    APPLIED = _counter(
        "wikimirror_changes_applied_total", "changes", "Changes that altered the mirror.", source=_ANY, kind=labels.KIND
    )
    REFUSED = _counter(
        "wikimirror_changes_refused_total",
        "changes",
        "Changes that altered nothing.",
        source=_ANY,
        reason=labels.REFUSAL,
    )
    SET_ASIDE = _counter(
        "wikimirror_records_set_aside_total",
        "records",
        "Records put into dead_letter.",
        source=_ANY,
        reason=labels.SET_ASIDE,
    )
    GIVEN_BACK = _counter(
        "wikimirror_records_given_back_total",
        "records",
        "Records read and not applied by this process: whoever reads the source next reads them again.",
        source=_ANY,
    )
    IN_FLIGHT = _gauge(
        "wikimirror_records_in_flight", "records", "Records read of which nothing is durable yet.", source=_ANY
    )
    WAITING_BYTES = _gauge("wikimirror_waiting_bytes", "bytes", "Held between reading and applying.", source=_ANY)

    BATCHES = _counter("wikimirror_batches_applied_total", "batches", "Batches that became durable.", source=_ANY)
    APPLY = _histogram(
        "wikimirror_apply_seconds",
        "From a batch's handing over to durable, waiting for Postgres included.",
        source=_ANY,
    )
    FRESHNESS = _histogram(
        "wikimirror_freshness_seconds", "From a change's publication to durable.", source=_ANY, kind=labels.KIND
    )

    DEAD_LETTERS = _gauge(
        "wikimirror_dead_letters",
        "rows",
        "Dead letters of all sources. Absent until Postgres has told.",
        reason=labels.SET_ASIDE,
    )
    RETRACTIONS_SET_ASIDE = _gauge(
        "wikimirror_retractions_set_aside",
        "rows",
        "Dead letters that take something away; their pages are hidden meanwhile. Absent until Postgres has told.",
    )
    GAPS = _gauge(
        "wikimirror_gaps_open",
        "rows",
        "Gaps of all sources that nothing has filled. Absent until Postgres has told.",
    )
    RECONCILE = _gauge(
        "wikimirror_reconcile_open",
        "rows",
        "What is to be read again, of all sources. Absent until Postgres has told.",
        reason=labels.RECONCILE,
    )
    REPLAY_ACTIVE = _gauge(
        "wikimirror_replay_active",
        "0 or 1",
        "Whether a replay of this source, or of captures, is at work. Absent until Postgres has told.",
        source=_ANY,
    )
    BACKLOG_READ = _gauge(
        "wikimirror_backlog_read_timestamp_seconds",
        _INSTANT,
        "When Postgres last told of dead letters, gaps and reconcile rows. Absent until it has.",
    )

    def __init__(
        self, series: str, kind: Type, unit: str, meaning: str, label_values: Mapping[str, Closed | None]
    ) -> None:
        self.series = series
        self.type = kind
        self.unit = unit
        self.meaning = meaning
        self.labels = label_values

    @property
    def help(self) -> str:
        """The meaning with the unit, as it is exported."""
        return f"{self.meaning} Unit: {self.unit}."
