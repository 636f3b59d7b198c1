from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from tests.observe.clock import THRESHOLDS, Clock
from wikimirror.model import Lane
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.build import Build
from wikimirror.observe.collector import Seen
from wikimirror.observe.freshness import Freshness
from wikimirror.observe.health import Now, State, judge
from wikimirror.observe.lanes import Evidence, LaneReport, LaneState, LaneVerdict
from wikimirror.observe.runbooks import Runbook
from wikimirror.observe.vitals import Role, Stage, Vitals, Waiting
from wikimirror.web import wording
from wikimirror.web.auth import admits
from wikimirror.web.concerns import LANE_LEVELS, SOURCE_LEVELS, Level, headroom_is_low
from wikimirror.web.facts import Facts
from wikimirror.web.page import StatusView, view_of

NOTHING_WAITS = Backlog({}, 0, {})
UNKNOWN_EVIDENCE = Evidence(
    **dict.fromkeys((field.name for field in dataclasses.fields(Evidence)), None)  # type: ignore[arg-type]  # unused
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def current(clock: Clock, name: str = "wiki", ago: float = 0.3) -> Vitals:
    vitals = clock.active(name)
    vitals.heard(Lane(name, "pages", 0), clock.published(ago))
    return vitals


def page(
    clock: Clock, *sources: Vitals, backlog: Backlog | None = NOTHING_WAITS, told: float = 1.0, **more: Any
) -> StatusView:
    lanes: list[LaneReport] = more.pop("lanes", [])
    seen = [
        Seen(vitals, judge(vitals, THRESHOLDS, Now.of(vitals)), Now.of(vitals),
             [each for each in lanes if each.lane.source == vitals.source])
        for vitals in sources
    ]  # fmt: skip
    facts = Facts(
        build=Build("1.2.3", "3.11.7"),
        started=more.pop("started", True),
        now=clock.wall,
        sources=seen,
        fresh=more.pop("fresh", None),
        backlog=backlog,
        backlog_read=None if backlog is None else clock.wall - told,
    )
    assert not more
    return view_of(facts)


def lane(
    state: str,
    *,
    behind: float | None = 1.0,
    catch_up: float | None = None,
    headroom: float | None = None,
    number: int = 0,
) -> LaneReport:
    verdict = LaneVerdict(LaneState(state), 7, behind, None, catch_up, headroom, None, UNKNOWN_EVIDENCE)
    return LaneReport(Lane("wiki", "pages", number), verdict)


def test_all_is_well_in_one_sentence_and_in_the_title(clock: Clock) -> None:
    view = page(clock, current(clock))
    assert view.sentence == "All is well: wiki, 0.3 s behind."
    assert view.title == "well, 0.3 s behind · wikimirror"
    assert (view.level, view.concerns) == (Level.WELL, ())


def test_of_several_that_are_well_the_farthest_behind_is_told(clock: Clock) -> None:
    view = page(clock, current(clock), current(clock, "other", ago=7))
    assert view.sentence == "All is well: 2 sources, at most 7.0 s behind."


def test_a_standby_is_well_and_its_seconds_are_not_known(clock: Clock) -> None:
    vitals = clock.vitals("wiki")
    vitals.role = Role.STANDBY
    view = page(clock, vitals)
    assert view.sentence == "All is well: this process stands by for wiki."
    assert view.title == "well · wikimirror"
    assert view.sources[0].seconds_behind is None


def test_the_worst_source_comes_first_and_names_the_tab(clock: Clock) -> None:
    late, away = current(clock, "late", ago=700), current(clock, "away")
    away.wait(Waiting.SOURCE, "somehost.example.org says no")
    view = page(clock, current(clock, "fine"), late, away)
    assert [source.name for source in view.sources] == ["away", "late", "fine"]
    assert view.sentence == "away waits for its source."
    assert view.title.startswith("waiting ")
    assert view.concerns[0].runbook is Runbook.SOURCE_UNAVAILABLE
    assert view.concerns[1].text == "late is catching up, 11 min 40 s behind."
    assert view.level is Level.TROUBLE


def test_no_reason_is_told_for_it_may_quote_a_host(clock: Clock) -> None:
    vitals = current(clock)
    vitals.wait(Waiting.DATABASE, "db7.internal refuses")
    view = page(clock, vitals)
    assert view.sentence == "wiki waits for Postgres."
    assert view.concerns[0].runbook is Runbook.POSTGRES_UNAVAILABLE
    assert "db7" not in repr(view)


def test_what_is_waited_for_is_named_where_it_is_both(clock: Clock) -> None:
    vitals = current(clock)
    vitals.wait(Waiting.DATABASE, "")
    vitals.wait(Waiting.SOURCE, "")
    assert page(clock, vitals).sentence == "wiki waits for Postgres and its source."


def test_a_stall_a_silence_and_missing_topics_say_what_to_open(clock: Clock) -> None:
    stalled, silent, missing = current(clock, "stalled"), current(clock, "silent"), current(clock, "missing")
    stalled.busy(Stage.APPLY)
    clock.run(400)
    missing.heard(Lane("missing", "pages", 0), clock.published(0.1))
    missing.missing_topics, missing.topics_found = ("pages.v2",), 1
    view = page(clock, missing, silent, stalled)
    assert [concern.runbook for concern in view.concerns] == [
        Runbook.LANE_STALLED,
        Runbook.SOURCE_SILENT,
        Runbook.SOURCE_UNAVAILABLE,
    ]
    assert view.concerns[2].text == "1 topic is missing that the settings name for missing."
    assert next(source for source in view.sources if source.name == "missing").level is Level.TROUBLE


def test_every_state_of_a_source_and_of_a_lane_has_its_place() -> None:
    assert set(SOURCE_LEVELS) == set(State)
    assert {*LaneState, "stopped"} == set(LANE_LEVELS)


def test_a_retraction_set_aside_goes_before_other_things_that_wait(clock: Clock) -> None:
    backlog = Backlog({"not_json": 2, "bad_value": 1}, 3, {"vacated": 4}, 1)
    view = page(clock, current(clock), backlog=backlog)
    assert [concern.state for concern in view.concerns] == ["retraction set aside", "gap open", "dead letters"]
    assert view.sentence.startswith("1 retraction is set aside")
    assert view.title == "retraction set aside · wikimirror"
    assert view.concerns[1].text == "3 gaps are open: records are missing from the mirror."
    assert list(view.backlog.dead_letters or {}) == ["not_json", "bad_value"]
    assert view.backlog.reconcile == {"vacated": 4}


def test_dead_letters_alone_can_wait_for_the_morning(clock: Clock) -> None:
    assert page(clock, current(clock), backlog=Backlog({"not_json": 1}, 0, {})).level is Level.WATCH


def test_rows_to_reconcile_alone_are_ordinary(clock: Clock) -> None:
    assert page(clock, current(clock), backlog=Backlog({}, 0, {"restored": 31})).level is Level.WELL


def test_a_reason_of_no_closed_set_is_told_as_other(clock: Clock) -> None:
    view = page(clock, current(clock), backlog=Backlog({"<b>Main Page</b>": 1}, 0, {"Main Page": 2}))
    assert (view.backlog.dead_letters, view.backlog.reconcile) == ({"other": 1}, {"other": 2})


def test_what_postgres_has_not_told_is_not_known_and_never_zero(clock: Clock) -> None:
    view = page(clock, current(clock), backlog=None)
    backlog = view.backlog
    assert backlog.told_seconds_ago is backlog.gaps_open is backlog.retractions_set_aside is None
    assert backlog.dead_letters is backlog.reconcile is backlog.replays is None
    assert view.sentence == "Postgres has not told yet what waits in it."
    assert view.sources[0].records_behind is None
    assert view.fresh is None


def test_old_news_of_postgres_is_trouble(clock: Clock) -> None:
    assert page(clock, current(clock), told=60).level is Level.WELL
    view = page(clock, current(clock), told=300)
    assert view.sentence == "What waits in Postgres was last told 5 min ago."
    assert (view.level, view.concerns[0].runbook) == (Level.TROUBLE, Runbook.POSTGRES_UNAVAILABLE)


def test_starting_is_said(clock: Clock) -> None:
    assert page(clock, current(clock), backlog=None, started=False).sentence == "The process is starting."


def test_lanes_come_worst_first_and_are_counted_by_what_they_do(clock: Clock) -> None:
    lanes = [
        lane("current", number=0), lane("catching_up", catch_up=60.0, headroom=9e9, number=1),
        lane("growing", catch_up=math.inf, headroom=9e9, number=2), lane("growing", catch_up=math.inf, number=3),
        lane("stalled", catch_up=math.inf, number=4),
    ]  # fmt: skip
    view = page(clock, current(clock), lanes=lanes)
    assert [each.partition for each in view.lanes] == [4, 2, 3, 1, 0]
    assert [concern.text for concern in view.concerns] == [
        "2 lanes of wiki fall further behind.",
        "1 lane of wiki does not get on.",
    ]
    assert (view.lanes[1].never_catches_up, view.lanes[1].catch_up_seconds) == (True, None)
    assert (view.lanes[3].never_catches_up, view.lanes[3].catch_up_seconds) == (False, 60.0)


@pytest.mark.parametrize(
    ("state", "catch_up", "headroom", "low"),
    [
        ("current", None, 10, False),
        ("catching_up", 3600, 7201, False),
        ("catching_up", 3600, 7200, True),
        ("growing", math.inf, 86_400, False),
        ("stalled", math.inf, 3600, True),
        ("catching_up", None, 3600, False),
        ("catching_up", None, 0, True),
        ("growing", math.inf, None, False),
    ],
)
def test_headroom_is_low_where_the_source_may_delete_first(
    state: str, catch_up: float | None, headroom: float | None, *, low: bool
) -> None:
    assert headroom_is_low(lane(state, catch_up=catch_up, headroom=headroom).verdict) is low


def test_replays_and_freshness_are_handed_on(clock: Clock) -> None:
    fresh = Freshness(300, 12, 0.2, 1.5)
    view = page(clock, current(clock), backlog=Backlog({}, 0, {}, 0, {"wiki": 1}), fresh=fresh)
    assert (view.backlog.replays, view.fresh) == ({"wiki": 1}, fresh)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"), (math.nan, "–"), (math.inf, "never"), (-1, "0 ms"), (0.0349, "35 ms"), (0.25, "0.2 s"),
        (9.96, "10.0 s"), (42.4, "42 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h"),
        (280_000, "3 d 5 h"),
    ],
)  # fmt: skip
def test_durations_are_said_in_their_two_greatest_units(seconds: float | None, said: str) -> None:
    assert wording.duration(seconds) == said


def test_counts_have_their_thousands_apart() -> None:
    assert (wording.count(1_234_567), wording.count(0), wording.count(None)) == ("1,234,567", "0", "–")


@pytest.mark.parametrize(
    ("header", "admitted"),
    [
        ("Bearer s3cret-é", True),
        ("bearer   s3cret-é ", True),
        ("Basic YW55Ym9keTpzM2NyZXQtw6k=", True),
        ("Basic OnMzY3JldC3DqQ==", True),
        ("Basic YW55Ym9keTpvdGhlcg==", False),
        ("Basic czNjcmV0LcOp", False),
        ("Basic !", False),
        ("Bearer ", False),
        ("Bearer s3cret", False),
        ("s3cret-é", False),
        ("Digest s3cret-é", False),
        ("", False),
        (None, False),
        ("Bearer " + "x" * 100_000, False),
    ],
)
def test_the_token_is_taken_as_bearer_and_as_the_password_of_any_user(header: str | None, *, admitted: bool) -> None:
    assert admits(header, "s3cret-é") is admitted
