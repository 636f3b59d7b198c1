from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.observe.clock import THRESHOLDS, Clock
from wikimirror.merge.refusals import Refusal
from wikimirror.merge.workspace import Reconcile
from wikimirror.mirror.hiding import REASON
from wikimirror.model import Kind, Lane, Position
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.build import build
from wikimirror.observe.health import State
from wikimirror.observe.labels import OTHER, RECONCILE
from wikimirror.observe.lanes import LaneState
from wikimirror.observe.metrics import Metric, Type
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Accounts, Role, Vitals, Waiting
from wikimirror.sources.http import Ending
from wikimirror.wire import Reason

ROOT = Path(__file__).resolve().parents[2]
TITLE = "A_page_that_nobody_may_name"
TOPIC = "eqiad.mediawiki.page_change.v1"
LANE = Lane("eventstreams", TOPIC, 3)
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry(clock: Clock) -> Telemetry:
    return Telemetry(THRESHOLDS, wall=lambda: clock.wall)


def scrape(telemetry: Telemetry) -> Samples:
    """By series and labels, as a real parser reads what is exported."""
    found: Samples = defaultdict(dict)
    for family in parse_text(generate_latest(telemetry.registry).decode()):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert labels not in found[sample.name], "one series, told twice"
            found[sample.name][labels] = sample.value
    return found


def value(samples: Samples, series: str, **labels: str) -> float | None:
    return samples[series].get(frozenset(labels.items()))


def total(samples: Samples, metric: Metric, source: str) -> float:
    return sum(count for labels, count in samples[metric.series].items() if ("source", source) in labels)


def used(clock: Clock, telemetry: Telemetry) -> None:
    """A source of which everything is known, with labels of no set in every place."""
    vitals = telemetry.add(clock.active())
    vitals.heard(LANE, clock.published(ago=1))
    vitals.hold([LANE])
    vitals.told_end(LANE, 5)
    falls_behind(clock, telemetry, vitals)
    vitals.last_applied = clock.wall
    unknown = {TITLE: 1}
    vitals.accounts.take(4)
    vitals.accounts.settle(4, ignored=unknown, applied=unknown, refused=unknown, set_aside=unknown)
    vitals.left(TITLE)
    vitals.retries[TITLE] += 1
    telemetry.observe_freshness("eventstreams", [(TITLE, 0.1), (Kind.EDIT, 0.1)])
    telemetry.observe_apply("eventstreams", 0.01)
    telemetry.note_backlog(Backlog(unknown, 2, unknown))


def falls_behind(clock: Clock, telemetry: Telemetry, vitals: Vitals) -> None:
    """A minute of samples of a lane that moves and gets later, of a source that keeps a day."""
    vitals.retention = 86_400.0
    for number in range(13):
        vitals.durable[LANE] = Position(100 + number, clock.published(ago=100 + 5 * number))
        vitals.heard(LANE, clock.published(ago=100 + 5 * number))
        vitals.told_end(LANE, 5 + number)
        telemetry.sample()
        clock.run(5)


def test_the_document_and_the_declarations_name_the_same_metrics_types_labels_units_and_meanings() -> None:
    document = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(wikimirror_\w+)` \| (\w+) \| ([\w, ]*) \| ([^|]+) \| ([^|]+) \|$", document, re.MULTILINE)
    told = [
        (name, kind, tuple(re.findall(r"\w+", labels)), unit, meaning) for name, kind, labels, unit, meaning in rows
    ]
    declared = [(each.series, each.type, tuple(each.labels), each.unit, each.meaning) for each in Metric]
    assert told == declared
    assert set(re.findall(r"wikimirror_\w+", document)) == {metric.series for metric in Metric}


def test_what_prometheus_client_adds_is_in_the_document(telemetry: Telemetry) -> None:
    document = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    ours = {metric.series for metric in Metric}
    added = {name for name in scrape(telemetry) if not name.startswith("wikimirror_")}
    assert added == set(re.findall(r"`(process_\w+)`", document))
    assert {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in scrape(telemetry)} <= ours | added


def test_a_name_says_its_unit_and_a_meaning_ends_as_a_sentence() -> None:
    for metric in Metric:
        assert metric.series.startswith("wikimirror_")
        assert metric.series.endswith("_total") is (metric.type is Type.COUNTER)
        assert ("_seconds" in metric.series) is metric.unit.startswith("seconds")
        assert metric.series.endswith("_timestamp_seconds") is (metric.unit == "seconds since 1970")
        assert metric.meaning.endswith(".")


def test_everything_declared_is_exported_with_its_type_its_labels_and_its_unit(
    clock: Clock, telemetry: Telemetry
) -> None:
    used(clock, telemetry)
    encode, _ = choose_encoder("application/openmetrics-text")
    told = encode(telemetry.registry).decode()
    families = {family.name: family for family in parse_openmetrics(told)}  # type: ignore[no-untyped-call]  # not ours
    for metric in Metric:
        family = families.pop(metric.series.removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.type, metric.help)
        assert family.samples
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)
    assert all(name.startswith("process_") for name in families)


def test_labels_come_from_closed_sets_whatever_is_counted(clock: Clock, telemetry: Telemetry) -> None:
    used(clock, telemetry)
    assert TITLE not in generate_latest(telemetry.registry).decode()
    for metric in Metric:
        for label, closed in metric.labels.items():
            found = {
                dict(labels)[label]
                for name, samples in scrape(telemetry).items()
                if name.startswith(metric.series)
                for labels in samples
                if label in dict(labels)
            }
            assert closed is None or found <= {*closed.values, OTHER}
    assert value(scrape(telemetry), Metric.APPLIED.series, source="eventstreams", kind=OTHER) == 1


def test_the_closed_sets_are_those_of_the_parts_that_count() -> None:
    def values(metric: Metric, label: str) -> set[str]:
        closed = metric.labels[label]
        assert closed is not None
        return set(closed.values)

    assert values(Metric.APPLIED, "kind") == values(Metric.FRESHNESS, "kind") == set(Kind)
    assert values(Metric.REFUSED, "reason") == set(Refusal)
    assert values(Metric.SET_ASIDE, "reason") == values(Metric.DEAD_LETTERS, "reason") == set(Reason)
    assert values(Metric.STATE, "state") == set(State)
    assert values(Metric.LANE_STATE, "state") == set(LaneState)
    assert values(Metric.ROLE, "role") == set(Role)
    assert values(Metric.RETRIES, "what") == set(Waiting)
    assert values(Metric.DISCONNECTS, "reason") == set(Ending)


def test_reasons_of_reconcile_are_those_that_the_law_and_the_books_write() -> None:
    code = "".join(
        (ROOT / "daemon" / "wikimirror" / name).read_text(encoding="utf-8")
        for name in ("merge/page.py", "merge/workspace.py", "mirror/books.py")
    )
    written = set(re.findall(r'(?:Reconcile\([^"()]*|reasons\.append\()"(\w+)"', code))
    assert Reconcile._fields[-1] == "reason"
    assert written | {REASON} == set(RECONCILE.values)


def test_postgres_codes_of_bad_data_keep_their_names_and_others_do_not(clock: Clock, telemetry: Telemetry) -> None:
    vitals = telemetry.add(clock.active())
    vitals.accounts.set_aside.update({"sqlstate_22021": 2, "sqlstate_23514": 1, "sqlstate_08006": 4, "sqlstate_22": 8})
    samples = scrape(telemetry)
    told = {
        reason: value(samples, Metric.SET_ASIDE.series, source="eventstreams", reason=reason)
        for reason in ("sqlstate_22021", "sqlstate_23514", OTHER, Reason.NOT_JSON)
    }
    assert told == {"sqlstate_22021": 2, "sqlstate_23514": 1, OTHER: 12, Reason.NOT_JSON: 0}


def test_counters_begin_at_zero_so_that_a_first_occurrence_is_an_increase(clock: Clock, telemetry: Telemetry) -> None:
    telemetry.add(clock.vitals())
    samples = scrape(telemetry)
    for metric in Metric:
        if metric.type is Type.COUNTER:
            assert samples[metric.series]
            assert set(samples[metric.series].values()) == {0}


def test_what_is_not_known_is_absent_and_never_zero(clock: Clock, telemetry: Telemetry) -> None:
    vitals = telemetry.add(clock.active())
    unknown = (
        Metric.BEHIND,
        Metric.BEHIND_RECORDS,
        Metric.LANE_STATE,
        Metric.CATCH_UP,
        Metric.HEADROOM,
        Metric.PUBLISHED,
        Metric.RECEIVED,
        Metric.LAST_APPLIED,
        Metric.DEAD_LETTERS,
        Metric.GAPS,
        Metric.RECONCILE,
        Metric.REPLAY_ACTIVE,
        Metric.BACKLOG_READ,
    )
    samples = scrape(telemetry)
    assert not any(samples.get(metric.series) for metric in unknown)
    vitals.hold([LANE])
    falls_behind(clock, telemetry, vitals)
    vitals.last_applied = clock.wall
    telemetry.note_backlog(Backlog({}, 0, {}))
    samples = scrape(telemetry)
    assert all(samples.get(metric.series) for metric in unknown)
    vitals.role = Role.STANDBY
    assert not scrape(telemetry).get(Metric.BEHIND.series)


def test_what_is_told_of_lanes_is_told_of_those_held_and_of_no_other(clock: Clock, telemetry: Telemetry) -> None:
    vitals = telemetry.add(clock.active("kafka"))
    lanes = [Lane("kafka", TOPIC, partition) for partition in range(50)]
    vitals.hold(lanes)
    for lane in lanes:
        vitals.heard(lane, clock.published(ago=lane.partition))
        vitals.told_end(lane, lane.partition)
    assert len(scrape(telemetry)[Metric.PUBLISHED.series]) == 50
    vitals.hold(lanes[7:9])
    vitals.rebalances += 1
    vitals.missing_topics = ("a.topic",)
    samples = scrape(telemetry)
    for metric in (Metric.PUBLISHED, Metric.RECEIVED, Metric.BEHIND_RECORDS):
        assert {dict(labels)["partition"] for labels in samples[metric.series]} == {"7", "8"}
    assert value(samples, Metric.BEHIND_RECORDS.series, source="kafka", topic=TOPIC, partition="7") == 7
    assert value(samples, Metric.LANES.series, source="kafka") == 2
    assert value(samples, Metric.REBALANCES.series, source="kafka") == 1
    assert value(samples, Metric.MISSING_TOPICS.series, source="kafka") == 1


def test_a_lane_has_one_state_and_tells_never_as_infinity(clock: Clock, telemetry: Telemetry) -> None:
    vitals = telemetry.add(clock.active())
    vitals.hold([LANE])
    place = {"source": "eventstreams", "topic": TOPIC, "partition": "3"}
    falls_behind(clock, telemetry, vitals)
    samples = scrape(telemetry)
    assert total(samples, Metric.LANE_STATE, "eventstreams") == 1
    assert value(samples, Metric.LANE_STATE.series, **place, state="growing") == 1
    assert value(samples, Metric.CATCH_UP.series, **place) == math.inf
    assert value(samples, Metric.HEADROOM.series, **place) == pytest.approx(86_400 - 160)
    # Another assignment begins another window.
    vitals.hold([LANE])
    assert not scrape(telemetry).get(Metric.LANE_STATE.series)
    vitals.durable[LANE] = Position(200, clock.published(ago=1))
    vitals.told_end(LANE, 0)
    telemetry.sample()
    samples = scrape(telemetry)
    assert value(samples, Metric.LANE_STATE.series, **place, state="current") == 1
    assert not samples.get(Metric.CATCH_UP.series)
    assert value(samples, Metric.HEADROOM.series, **place) == 86_400


def test_a_replay_at_work_is_told_for_every_source_followed_and_for_captures(
    clock: Clock, telemetry: Telemetry
) -> None:
    telemetry.add(clock.active())
    told = Metric.REPLAY_ACTIVE.series
    telemetry.note_backlog(Backlog({}, 0, {}, replays={"eventstreams": 2, "followed_by_nobody": 1}))
    assert scrape(telemetry)[told] == {
        frozenset({("source", "eventstreams")}): 1,
        frozenset({("source", "capture")}): 0,
    }
    telemetry.note_backlog(Backlog({}, 0, {}, replays={"capture": 1}))
    assert value(scrape(telemetry), told, source="eventstreams") == 0
    assert value(scrape(telemetry), told, source="capture") == 1


def test_role_and_state_are_one_of_their_values(clock: Clock, telemetry: Telemetry) -> None:
    vitals = telemetry.add(clock.active())
    for role in Role:
        vitals.role = role
        samples = scrape(telemetry)
        assert total(samples, Metric.ROLE, "eventstreams") == total(samples, Metric.STATE, "eventstreams") == 1
        assert value(samples, Metric.ROLE.series, source="eventstreams", role=role) == 1


def test_instants_stand_still_while_nothing_comes_and_follow_a_time_of_day_that_steps(
    clock: Clock, telemetry: Telemetry
) -> None:
    vitals = telemetry.add(clock.active())
    vitals.heard(LANE, clock.published(ago=2))
    received = clock.wall

    def told(metric: Metric) -> float | None:
        return value(scrape(telemetry), metric.series, source="eventstreams", topic=TOPIC, partition="3")

    clock.run(1234.5)
    assert told(Metric.RECEIVED) == received
    assert told(Metric.PUBLISHED) == received - 2
    clock.step(-3600)
    assert told(Metric.RECEIVED) == received - 3600
    assert told(Metric.PUBLISHED) == received - 2


def test_freshness_is_counted_by_kind_in_buckets_and_is_never_negative(clock: Clock, telemetry: Telemetry) -> None:
    telemetry.add(clock.vitals())
    telemetry.observe_freshness("eventstreams", [(Kind.EDIT, 0.07), (Kind.EDIT, -3.0), (Kind.DELETE, 90_000.0)])
    samples = scrape(telemetry)
    name = Metric.FRESHNESS.series
    edits = {"source": "eventstreams", "kind": "edit"}
    assert [value(samples, f"{name}_bucket", le=le, **edits) for le in ("0.05", "0.1", "86400.0", "+Inf")] == [
        1,
        2,
        2,
        2,
    ]
    assert value(samples, f"{name}_sum", **edits) == pytest.approx(0.07)
    deletes = {"source": "eventstreams", "kind": "delete"}
    assert [value(samples, f"{name}_bucket", le=le, **deletes) for le in ("86400.0", "+Inf")] == [0, 1]


def test_the_build_is_told(telemetry: Telemetry) -> None:
    assert value(scrape(telemetry), Metric.BUILD.series, **build()._asdict()) == 1
    assert re.fullmatch(r"3\.\d+\.\d+\S*", build().python)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", build().version)


def test_two_telemetries_know_nothing_of_each_other(clock: Clock) -> None:
    first, second = Telemetry(THRESHOLDS), Telemetry(THRESHOLDS)
    used(clock, first)
    assert not scrape(second)[Metric.READ.series]


def test_a_source_is_told_of_once(clock: Clock, telemetry: Telemetry) -> None:
    telemetry.add(clock.vitals())
    with pytest.raises(ValueError, match="eventstreams"):
        telemetry.add(clock.vitals())


names = st.sampled_from(["canary", "edit", "stale", "not_json", "sqlstate_22021", TITLE, ""])


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, int, list[tuple[int, str]]]]:
    """What happens to the accounts: reading some, settling some of those in flight by outcome and name, or aborting."""
    settled = st.lists(st.tuples(st.integers(0, 3), names), max_size=5)
    kinds = st.sampled_from(["take", "settle", "settle", "give_back", "look"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 50), settled), max_size=30))


@settings(deadline=None)
@given(steps(), steps())
def test_the_accounts_of_every_source_add_up_at_every_scrape_and_counters_only_grow(
    first: list[Any], second: list[Any]
) -> None:
    telemetry = Telemetry(THRESHOLDS)
    clock = Clock()
    both = {name: telemetry.add(clock.active(name)) for name in ("first", "second")}
    before: Mapping[str, Mapping[Any, float]] = {}
    for step in zip_longest_pairs(first, second):
        for name, each in step:
            happen(both[name].accounts, *each)
        samples = scrape(telemetry)
        for name, vitals in both.items():
            outcomes = (
                Metric.IGNORED,
                Metric.APPLIED,
                Metric.REFUSED,
                Metric.SET_ASIDE,
                Metric.GIVEN_BACK,
                Metric.IN_FLIGHT,
            )
            assert total(samples, Metric.READ, name) == sum(total(samples, metric, name) for metric in outcomes)
            assert vitals.accounts.unaccounted == 0
        for metric in Metric:
            if metric.type is Type.COUNTER:
                for labels, count in before.get(metric.series, {}).items():
                    assert samples[metric.series][labels] >= count
        before = samples


def zip_longest_pairs(first: list[Any], second: list[Any]) -> list[list[tuple[str, Any]]]:
    length = max(len(first), len(second))
    return [
        [(name, each[index]) for name, each in (("first", first), ("second", second)) if index < len(each)]
        for index in range(length)
    ]


def happen(accounts: Accounts, kind: str, records: int, settled: list[tuple[int, str]]) -> None:
    if kind == "take":
        accounts.take(records)
    elif kind == "give_back":
        accounts.give_back()
    elif kind == "settle":
        outcomes: list[Counter[str]] = [Counter() for _ in range(4)]
        for outcome, name in settled[: accounts.in_flight]:
            outcomes[outcome][name] += 1
        ignored, applied, refused, set_aside = outcomes
        count = sum(map(Counter.total, outcomes))
        accounts.settle(count, ignored=ignored, applied=applied, refused=refused, set_aside=set_aside)


def test_every_exported_number_is_a_number_and_only_never_is_infinite(clock: Clock, telemetry: Telemetry) -> None:
    used(clock, telemetry)
    infinite = {
        name for name, samples in scrape(telemetry).items() for number in samples.values() if not math.isfinite(number)
    }
    assert infinite == {Metric.CATCH_UP.series}
    assert not any(math.isnan(number) for samples in scrape(telemetry).values() for number in samples.values())
