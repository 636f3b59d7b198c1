"""The decision table of `explain`: which cause is blamed, and in which order."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.observe.clock import THRESHOLDS as HEALTH
from tests.observe.clock import Clock
from tests.ops.staged import (
    FULL,
    GONE,
    HOLDER,
    LOCKED,
    READ_ONLY,
    SOURCE,
    blocked,
    blocker,
    facts,
    group_facts,
    lane,
    lease,
    member,
    server,
    session,
    waiting_why,
)  # fmt: skip
from wikimirror.mirror.activity import OldTransaction
from wikimirror.mirror.facts import Facts, Gaps, Letters, Positioned, Reconcile, ReplayTold
from wikimirror.observe.health import Now, judge
from wikimirror.observe.runbooks import Runbook
from wikimirror.observe.vitals import Waiting
from wikimirror.ops.explaining.cases import Thresholds
from wikimirror.ops.explaining.for_a_person import remarks, waits_for_person
from wikimirror.ops.explaining.judging import explain, unreachable
from wikimirror.ops.explaining.reports import Cause, ExplainReport, Explanation

USUAL = Thresholds()
FROZEN = {"leases": [lease(held=False, left=-12.0)], "members": [member(unseen=20.0)]}


def explained(told: Facts) -> list[Explanation]:
    return explain(told, USUAL)


def only(told: Facts) -> Explanation:
    (found,) = explained(told)
    return found


def held_up(seconds: float = 42.0) -> dict[str, Any]:
    return {"server": server(sessions=[blocked(seconds, 12)], blockers=[blocker(12)])}


def waiting(what: str, reason: str) -> dict[str, Any]:
    return {
        "lanes": [lane(waiting_for=what, waiting_seconds=42.0, waiting_reason=reason)],
        "members": [member(state="waiting", why=waiting_why(what, reason))],
    }


# What is staged, the cause, the runbook, words that must be said.
TABLE: dict[str, tuple[Facts, Cause, Runbook | None, str]] = {
    "all is well": (facts(), Cause.NONE, None, "0.5 s behind"),
    "a standby beside the one that reads is well": (
        facts(members=[member(), member(holder="host/2/bb", role="standby", state="standby", lanes=0)]),
        Cause.NONE, None, "",
    ),
    "its owner froze: the lease ran out, nobody stands by": (
        facts(**FROZEN), Cause.NOBODY, Runbook.OWNER_FROZEN, "ran out 12 s ago",
    ),
    "its owner died: no session of its name is open": (
        facts(**FROZEN, server=server(sessions=[])), Cause.NOBODY, Runbook.OWNER_FROZEN, "so it is dead",
    ),
    "its owner was stopped": (
        facts(leases=[lease(held=False, left=-90.0)], members=[]), Cause.NOBODY, Runbook.OWNER_FROZEN, "good order",
    ),
    "a standby is about to take over": (
        facts(leases=[lease(held=False, left=-1.0)], members=[
            member(unseen=20.0), member(holder="host/2/bb", role="standby", state="standby", lanes=0),
        ]), Cause.NOBODY, Runbook.OWNER_FROZEN, "1 standing by",
    ),
    "a group of which nobody tells": (
        facts(leases=[], members=[member(unseen=70.0)], lanes=[lane(unseen=70.0)]),
        Cause.NOBODY, Runbook.OWNER_FROZEN, "Nobody has told of it for 70 s",
    ),
    "it was read once, and nobody follows it": (
        facts(leases=[], members=[], lanes=[], positioned=[Positioned(SOURCE, 3, 900.0)]),
        Cause.NOBODY, Runbook.OWNER_FROZEN, "No process tells of it",
    ),
    "its owner is gone, and its last words were of a full disk": (
        facts(**FROZEN | {"members": [member(unseen=90.0, state="waiting", why=waiting_why("database", FULL))]}),
        Cause.DISK, Runbook.POSTGRES_UNAVAILABLE, "no room left",
    ),
    "what a standby tells of processes is not believed": (
        facts(**FROZEN, server=server(in_recovery=True)),
        Cause.STANDBY_ONLY, Runbook.POSTGRES_UNAVAILABLE, "is a standby",
    ),
    "the breaker opened": (
        facts(members=[member(state="halted", why="reads no more: 100 in a row were set aside")]),
        Cause.HALTED, Runbook.SOURCE_HALTED, "100 in a row",
    ),
    "halted goes before what it waited for": (
        facts(**waiting("database", GONE) | {"members": [member(state="halted", why="halted")]}),
        Cause.HALTED, Runbook.SOURCE_HALTED, "",
    ),
    "Postgres was away": (
        facts(**waiting("database", GONE)), Cause.DATABASE, Runbook.POSTGRES_UNAVAILABLE, "for 42 s",
    ),
    "only the process tells that it waits, no lane does": (
        facts(**waiting("database", GONE) | {"lanes": []}), Cause.DATABASE, Runbook.POSTGRES_UNAVAILABLE, "for 42 s",
    ),
    "Postgres has no room": (
        facts(**waiting("database", FULL)), Cause.DISK, Runbook.POSTGRES_UNAVAILABLE, "53100",
    ),
    "too many connections are no full disk": (
        facts(**waiting("database", "db cannot do this now: sorry, too many clients already (53300)")),
        Cause.DATABASE, Runbook.POSTGRES_UNAVAILABLE, "53300",
    ),
    "Postgres takes no writes": (
        facts(**waiting("database", READ_ONLY)), Cause.STANDBY_ONLY, Runbook.POSTGRES_UNAVAILABLE, "primary",
    ),
    "a lock is held by another": (
        facts(**waiting("database", LOCKED), **held_up()),
        Cause.LOCKS, Runbook.LANE_STALLED, "psql (process 12, role alice, idle in transaction)",
    ),
    "a lock is held before the first attempt has failed": (
        facts(**held_up(5.0)), Cause.LOCKS, Runbook.LANE_STALLED, "in the table page for 5.0 s",
    ),
    "a short wait for a lock belongs to writing": (facts(**held_up(4.9)), Cause.NONE, None, ""),
    "short waits for locks that take most of the time": (
        facts(lanes=[lane(state="growing", apply_share=0.9)], **held_up(0.2)), Cause.LOCKS, Runbook.LANE_STALLED, "",
    ),
    "locks of which the holder is not seen": (
        facts(**waiting("database", LOCKED)), Cause.LOCKS, Runbook.LANE_STALLED, "not seen now",
    ),
    "the lock is held by a prepared transaction": (
        facts(server=server(sessions=[blocked(60.0, 0)], blockers=[blocker(0, application="", role=None, state=None)])),
        Cause.LOCKS, Runbook.LANE_STALLED, "prepared transaction",
    ),
    "of a queue for a lock its head is told": (
        facts(server=server(
            sessions=[blocked(60.0, 13)], blockers=[blocker(13, 12), blocker(12, application="pgcli")]
        )),
        Cause.LOCKS, Runbook.LANE_STALLED, "pgcli (process 12",
    ),
    "what the holder of the lock does is hidden": (
        facts(server=server(
            sessions=[blocked(60.0, 12)], blockers=[blocker(12, state=None, kind=None, open_seconds=None)]
        )),
        Cause.LOCKS, Runbook.LANE_STALLED, "pg_read_all_stats",
    ),
    "another process's wait for a lock is not this one's": (
        facts(server=server(
            sessions=[blocked(60.0, 12)._replace(application="wikimirror host/9/zz")], blockers=[blocker(12)]
        )),
        Cause.NONE, None, "",
    ),
    "the connection of the lease": (
        facts(**waiting("lease", GONE)), Cause.LEASE, Runbook.POSTGRES_UNAVAILABLE, "keeps its lease",
    ),
    "it works on although its lease ran out": (
        facts(leases=[lease(held=False, left=-3.0)]), Cause.LEASE, Runbook.OWNER_FROZEN, "still tells of itself",
    ),
    "database goes before lease, whichever has waited longer": (
        facts(lanes=[lane(waiting_for="lease", waiting_seconds=50.0, waiting_reason=GONE)], members=[
            member(state="waiting", why=f"{waiting_why('database', GONE)}; {waiting_why('lease', 'x', 50)[10:]}")
        ]), Cause.DATABASE, Runbook.POSTGRES_UNAVAILABLE, "for 42 s",
    ),
    "the source is away": (
        facts(**waiting("source", "stream.example.org answered 503")),
        Cause.SOURCE, Runbook.SOURCE_UNAVAILABLE, "answered 503",
    ),
    "topics are not there": (
        facts(lanes=[], leases=[], members=[member(state="waiting", why="waits for topics that are not there: a.b")]),
        Cause.SOURCE, Runbook.SOURCE_UNAVAILABLE, "topics that are not there: a.b",
    ),
    "the source is silent": (
        facts(lanes=[lane(state="silent", silent_seconds=400.0)]), Cause.SILENT, Runbook.SOURCE_SILENT, "for 7 min",
    ),
    "the position stands still": (
        facts(lanes=[lane(state="stalled")]), Cause.STALLED, Runbook.LANE_STALLED, "has not moved for 60 s",
    ),
    "a loop does not get on": (
        facts(members=[member(state="stalled", why="does not get on: apply for 130 s")]),
        Cause.STALLED, Runbook.LANE_STALLED, "apply for 130 s",
    ),
    "decoding takes the time": (
        facts(lanes=[lane(state="catching_up", decode_share=0.8, apply_share=0.6)]),
        Cause.DECODING, Runbook.FRESHNESS, "80% of its time",
    ),
    "writing takes the time": (
        facts(lanes=[lane(state="catching_up", decode_share=0.6, apply_share=0.9, seconds_behind=7200.0)]),
        Cause.DATABASE, Runbook.FRESHNESS, "2 h behind and catches up",
    ),
    "it falls further behind": (
        facts(lanes=[lane(state="growing", apply_share=0.9, inflow_per_second=9.0, catch_up_seconds=math.inf)]),
        Cause.DATABASE, Runbook.DIVERGING, "9.0 a second are new: it never catches up so",
    ),
    "the source sends no faster": (
        facts(lanes=[lane(state="catching_up", seconds_behind=90.0)]),
        Cause.SOURCE, Runbook.FRESHNESS, "85% of its time goes into waiting for the source",
    ),
    "it was rewound": (
        facts(lanes=[lane(state="rewound", position_from=500, position_to=100)]),
        Cause.SOURCE, Runbook.FRESHNESS, "went back from 500 to 100",
    ),
    "silent goes before stalled, for the process is what stalls": (
        facts(lanes=[lane(state="silent")], members=[member(state="stalled", why="x")]),
        Cause.SILENT, Runbook.SOURCE_SILENT, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("staged", TABLE)
def test_the_cause_that_is_blamed(staged: str) -> None:
    told, cause, runbook, words = TABLE[staged]
    found = only(told)
    assert (found.source, found.cause, found.runbook) == (SOURCE, cause, runbook), found.words
    assert words in found.words
    assert (found.next is None) == (cause is Cause.NONE)


# Each with all that comes after it as well: the former is blamed.
ORDER: list[tuple[Cause, dict[str, Any]]] = [
    (Cause.NOBODY, {**FROZEN, "waits": ("database", GONE)}),
    (Cause.HALTED, {"members": [member(state="halted", why="x")]}),
    (Cause.DISK, {"waits": ("database", FULL)}),
    (Cause.LOCKS, {**held_up(), "waits": ("database", GONE)}),
    (Cause.LOCKS, held_up()),
    (Cause.DATABASE, {"waits": ("database", GONE)}),
    (Cause.LEASE, {"leases": [lease(held=False, left=-3.0)]}),
    (Cause.SOURCE, {"waits": ("source", "away")}),
    (Cause.SILENT, {"state": "silent"}),
    (Cause.STALLED, {"state": "stalled"}),
    (Cause.DECODING, {"state": "growing", "decode_share": 0.9}),
    (Cause.DATABASE, {"state": "growing", "apply_share": 0.9}),
    (Cause.SOURCE, {"state": "growing"}),
    (Cause.NONE, {}),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_of_all_that_applies_the_first_in_the_order_is_blamed(first: int) -> None:
    rows: dict[str, Any] = {}
    on_lane: dict[str, Any] = {}
    for _, staged in reversed(ORDER[first:]):
        staged = dict(staged)  # noqa: PLW2901  # a copy to take from
        if waits := staged.pop("waits", None):
            on_lane |= {"waiting_for": waits[0], "waiting_seconds": 42.0, "waiting_reason": waits[1]}
        rows |= {key: value for key, value in staged.items() if key in Facts._fields}
        on_lane |= {key: value for key, value in staged.items() if key not in Facts._fields}
    assert only(facts(lanes=[lane(**on_lane)], **rows)).cause is ORDER[first][0]


def test_the_words_of_the_probes_are_understood() -> None:
    clock = Clock()
    vitals = clock.active(SOURCE)
    vitals.wait(Waiting.LEASE, "the lease's reason")
    clock.run(7)
    vitals.wait(Waiting.DATABASE, "the database's reason, with; semicolons")
    clock.run(90)
    verdict = judge(vitals, HEALTH, Now.of(vitals))
    found = only(facts(lanes=[], members=[member(state=verdict.state, why=verdict.why)]))
    assert found.cause is Cause.DATABASE
    assert found.numbers["waiting_seconds"] == 90
    assert "the database's reason, with; semicolons" in found.words
    assert "the lease's reason" not in found.words


# Groups


def test_in_a_group_each_lane_is_judged_by_its_own_process_and_the_worst_comes_first() -> None:
    told = group_facts()
    slow = lane(0, state="catching_up", apply_share=0.9, seconds_behind=900.0)
    frozen = [each._replace(unseen=80.0) for each in told.lanes[1:]]
    members = [told.members[0], told.members[1]._replace(unseen=80.0)]
    first, second = explained(told._replace(lanes=[slow, *frozen], members=members))
    assert (first.cause, first.lanes, first.lanes_known) == (Cause.NOBODY, ("a.topic[1]", "a.topic[2]"), 3)
    assert (second.cause, second.lanes, second.lanes_known) == (Cause.DATABASE, ("a.topic[0]",), 3)


def test_lanes_that_fare_well_are_not_told_beside_those_that_do_not() -> None:
    told = group_facts()
    found = only(told._replace(lanes=[*told.lanes[:2], told.lanes[2]._replace(state="silent")]))
    assert (found.cause, found.lanes) == (Cause.SILENT, ("a.topic[2]",))


def test_of_several_lanes_records_and_rates_are_summed_and_the_words_are_of_the_worst() -> None:
    lanes = [
        lane(n, state="catching_up", seconds_behind=100.0 * n, records_behind=10, headroom_seconds=1e6 * n)
        for n in (1, 2, 3)
    ]
    found = only(facts(lanes=lanes, leases=[]))
    assert "5 min behind" in found.words
    assert found.numbers["seconds_behind"] == 300
    assert found.numbers["records_behind"] == 30
    assert found.numbers["applied_per_second"] == 3.0
    assert found.numbers["headroom_seconds"] == 1e6


def test_a_sum_that_would_leave_a_lane_out_is_not_told() -> None:
    lanes = [lane(0, state="growing", records_behind=10), lane(1, state="growing")]
    assert "records_behind" not in only(facts(lanes=lanes, leases=[])).numbers


def test_a_lane_that_its_process_dropped_with_its_topic_is_nobodys_fault() -> None:
    dropped = lane(0, topic="former.topic", holder="host/0/zz", unseen=900.0)
    assert only(facts(lanes=[lane(), dropped])).cause is Cause.NONE
    assert only(group_facts(lanes=[lane(), dropped])).cause is Cause.NONE


def test_a_member_that_halted_holds_no_lane_and_is_told_all_the_same() -> None:
    halted = member(holder="host/3/cc", state="halted", role="halted", lanes=0, why="reads no more")
    told = group_facts()
    found = only(told._replace(members=[*told.members, halted]))
    assert (found.cause, found.lanes) == (Cause.HALTED, ())
    assert "host/3/cc" in found.words


# Sources


def test_a_lease_of_the_time_before_the_source_was_read_by_a_group_is_nobodys_fault() -> None:
    old = lease(held=False, left=-86_400.0)._replace(holder="former/1/aa")
    told = group_facts()
    assert explained(told._replace(leases=[old])) == explained(told)
    assert {each.cause for each in explained(told)} != {Cause.NOBODY}


def test_the_worst_source_comes_first() -> None:
    def of(source: str, **told: Any) -> dict[str, Any]:
        return {"lane": lane(source=source, **told), "member": member(source=source)}

    staged = [of("b", state="growing"), of("c"), of("a"), of("d", state="silent")]
    told = facts(lanes=[each["lane"] for each in staged], members=[each["member"] for each in staged], leases=[])
    assert [each.source for each in explained(told)] == ["d", "b", "a", "c"]


def test_a_configured_source_that_was_never_read_is_told_and_one_of_former_settings_is_not() -> None:
    former = Positioned("former", 1, 1e6)
    told = explain(facts(positioned=[former]), USUAL, {SOURCE, "new"})
    assert [(each.source, each.cause) for each in told] == [("new", Cause.NOBODY), (SOURCE, Cause.NONE)]
    assert {each.source for each in explained(facts(positioned=[former]))} == {"former", SOURCE}


# Retention


@pytest.mark.parametrize(
    ("told", "is_short"),
    [
        ({"headroom_seconds": 3600.0}, True),
        ({"headroom_seconds": 7 * 3600.0}, False),
        ({"headroom_seconds": 2400.0, "retention_seconds": 3600.0}, False),
        ({"headroom_seconds": 1700.0, "retention_seconds": 3600.0}, True),
        ({"headroom_seconds": 86400.0, "catch_up_seconds": 90000.0}, True),
        ({"headroom_seconds": 86400.0, "catch_up_seconds": math.inf}, True),
        ({"headroom_seconds": None, "catch_up_seconds": math.inf}, False),
        ({"headroom_seconds": 10.0, "state": "current"}, False),
    ],
)
def test_what_the_source_deletes_soon_is_told_beside_the_cause(told: dict[str, Any], *, is_short: bool) -> None:
    found = explained(facts(lanes=[lane(**{"state": "growing"} | told)]))
    # It is more urgent than that a lane is slow.
    assert [each.cause is Cause.RETENTION for each in found] == [True, False][1 - is_short :]
    if is_short:
        assert found[0].runbook is Runbook.HEADROOM


def test_what_a_process_told_before_it_froze_is_no_number_of_now() -> None:
    assert only(facts(**FROZEN)).numbers == {"told_seconds_ago": 20.0, "lease_ended_seconds_ago": 12.0}


def test_a_wait_for_a_lock_is_told_over_all_its_attempts() -> None:
    found = only(facts(**waiting("database", LOCKED), **held_up(0.7)))
    assert found.numbers["blocked_seconds"] == 42
    assert "for 42 s" in found.words


def test_headroom_shrinks_while_nobody_reads() -> None:
    old = lane(state="growing", headroom_seconds=7 * 3600.0, unseen=2 * 3600.0)
    causes = {each.cause: each for each in explained(facts(**FROZEN | {"lanes": [old]}))}
    assert causes[Cause.RETENTION].numbers["headroom_seconds"] == 5 * 3600


# Properties

SECRET, NAME = "hunter2", "Editor Example"
reasons = st.sampled_from(
    [GONE, FULL, LOCKED, READ_ONLY, f"postgresql://u:{SECRET}@db/x is away", f"password={SECRET} no"]
)
seconds = st.none() | st.floats(0, 1e7)
shares = st.none() | st.floats(0, 1)
lanes = st.builds(
    lane,
    st.integers(0, 3),
    holder=st.sampled_from([HOLDER, "host/2/bb"]),
    state=st.sampled_from(["current", "catching_up", "growing", "stalled", "silent", "rewound", "stopped"]),
    seconds_behind=seconds,
    records_behind=st.none() | st.integers(0, 10**9),
    catch_up_seconds=seconds | st.just(math.inf),
    headroom_seconds=seconds,
    unseen=st.floats(0, 1e5),
    apply_share=shares,
    decode_share=shares,
    source_share=shares,
    inflow_per_second=seconds,
    applied_per_second=seconds,
    waiting_for=st.sampled_from([None, "source", "database", "lease"]),
    waiting_seconds=seconds,
    waiting_reason=st.none() | reasons,
    silent_seconds=seconds,
)
members = st.builds(
    member,
    holder=st.sampled_from([HOLDER, "host/2/bb", "host/3/cc"]),
    role=st.sampled_from(["active", "standby", "starting", "halted"]),
    state=st.sampled_from(["current", "waiting", "halted", "stalled", "standby", "starting", "connecting", "silent"]),
    why=st.none() | reasons | st.builds(waiting_why, st.sampled_from(["source", "database", "lease"]), reasons),
    unseen=st.floats(0, 1e5),
)
servers = st.none() | st.builds(
    server,
    sessions=st.lists(st.builds(blocked, st.floats(0, 1e3), st.integers(0, 3)) | st.just(session()), max_size=2),
    blockers=st.lists(st.builds(blocker, st.integers(0, 3), st.integers(0, 3)), max_size=3),
    in_recovery=st.booleans(),
)
leases = st.builds(lambda left: lease(held=left > 0, left=left), st.floats(-1e5, 60))
anything = st.builds(
    facts,
    lanes=st.lists(lanes, max_size=4),
    members=st.lists(members, max_size=3, unique_by=lambda each: each.holder),
    leases=st.lists(leases, max_size=1),
    positioned=st.just([Positioned(SOURCE, 1, 1.0)]),
    server=servers,
)


@settings(max_examples=60)
@given(anything)
def test_whatever_is_wrong_has_a_runbook_a_command_and_words(told: Facts) -> None:
    for each in explained(told):
        assert each.words
        assert not each.words.endswith(" ")
        assert (each.runbook is None) == (each.next is None) == (each.cause is Cause.NONE)
        assert all(math.isfinite(value) for value in each.numbers.values())


@settings(max_examples=60)
@given(anything)
def test_no_secret_is_told_and_what_is_told_is_json(told: Facts) -> None:
    document = json.dumps([asdict(each) for each in explained(told)], allow_nan=False)
    assert SECRET not in document


@settings(max_examples=60)
@given(anything)
def test_a_source_is_told_once_for_each_cause_and_is_never_well_and_held_back(told: Facts) -> None:
    found = explained(told)
    assert found
    assert len({(each.cause, each.runbook) for each in found}) == len(found)
    assert Cause.NONE not in {each.cause for each in found} or len(found) == 1


# What waits for a person


def test_what_waits_for_a_person_begins_with_what_takes_something_away() -> None:
    told = facts(
        letters=[Letters(SOURCE, "too_large", 3, 0, 0, 60.0), Letters(SOURCE, "23514", 5, 2, 1, 500.0)],
        gaps=[Gaps(SOURCE, 1, 9000.0)],
        reconcile=[Reconcile("unknown_parent", 4, 10.0)],
        replays=[ReplayTold(7, SOURCE, 100, 3.0), ReplayTold(8, SOURCE, 100, 300.0)],
    )
    found = waits_for_person(told, USUAL)
    assert [(each.count, each.runbook, each.wrong) for each in found] == [
        (2, Runbook.RETRACTION_SET_ASIDE, True), (6, Runbook.DEAD_LETTERS, True), (1, Runbook.GAP, True),
        (1, None, True), (4, Runbook.PAGES_DIVERGENT, False),
    ]  # fmt: skip
    assert found[0].what == "retractions set aside, 1 of which may still be served"
    assert found[1].by == {"too_large": 3, "23514": 3}
    assert remarks(told, USUAL) == ["Replay 7 of live runs beside, 100 records read so far."]
    assert ExplainReport([], found).wrong
    assert not ExplainReport([], found[-1:]).wrong


def test_what_is_noteworthy_of_postgres_is_a_sentence_each() -> None:
    old = OldTransaction(15, "", "bob", "idle in transaction", 900.0)
    told = facts(
        server=server(
            old=[old], connections=95, archiving_fails=700.0, wal_since_checkpoint=3 * 2**30, hidden=4, in_recovery=True
        )
    )
    standby, transaction, connections, archiving, wal, hidden = remarks(told, USUAL)
    assert "standby" in standby
    assert "process 15, role bob, idle in transaction) has been open for 15 min" in transaction
    assert connections == "95 of 97 connections are in use."
    assert "for 12 min" in archiving
    assert "3,072 MiB of WAL since the last checkpoint, of 1,024 allowed" in wal
    assert hidden.startswith("What 4 other sessions do is hidden")
    assert remarks(facts(), USUAL) == []
    assert "did not tell" in remarks(facts(server=None), USUAL)[0]


def test_a_postgres_that_cannot_be_read_is_an_explanation() -> None:
    found = unreachable("db cannot be reached", "Check it.")
    assert (found.source, found.cause, found.runbook) == (None, Cause.DATABASE, Runbook.POSTGRES_UNAVAILABLE)
    assert ExplainReport([found]).wrong
