"""`wikimirror demo --source kafka` as a process: a day in topics of a real Kafka, its troubles, and two members."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.cli.conftest import Program, clean_environment, run  # noqa: F401  # fixtures
from tests.kafka.admin import admin_of
from wikimirror.rehearsal.broker_home import HOME_VARIABLE, OUTSIDE_VARIABLE, kafka_home

DAY = ("demo", "--source", "kafka", "--seed", "1", "--actions", "1200")


def test_a_day_on_a_broker_of_its_own_with_a_restart_ends_without_a_difference(
    own_kafka: None,  # noqa: ARG001  # asked for its skipping
    run: Program,  # noqa: F811  # the fixture
    tmp_path: Path,
) -> None:
    own = {OUTSIDE_VARIABLE: "", HOME_VARIABLE: str(kafka_home()), "XDG_STATE_HOME": str(tmp_path)}
    done = run(*DAY, "--json", env={**own, "TMPDIR": str(tmp_path)})
    assert done.code == 0, done.err
    assert done.err == ""
    report = done.document
    assert (report["differences"], report["forbidden_found"]) == ([], 0)
    assert all(report["situations"].values())
    play = report["play"]
    told = sum(sum(play[outcome].values()) for outcome in ("ignored", "applied", "refused", "set_aside"))
    assert play["read"] == told + play["given_back"] + play["in_flight"]
    happened = report["upstream"]
    assert happened["restarts of the broker"] == happened["members that joined and left"] == 1
    assert happened["partitions added to a topic"] == 2
    assert min(happened["records sent again"], happened["records of an aborted transaction"]) > 0
    assert happened["assignments of partitions"] >= 4, "one each as they come, as the second goes, and new partitions"
    assert not list(tmp_path.glob("wikimirror-kafka-*")), "the broker's files are left"


def test_on_a_broker_that_is_named_it_tells_a_person_of_no_difference_and_leaves_no_topic(
    kafka: str,
    run: Program,  # noqa: F811  # the fixture
    tmp_path: Path,
) -> None:
    done = run(*DAY, env={OUTSIDE_VARIABLE: kafka, "XDG_STATE_HOME": str(tmp_path)})
    assert done.code == 0, done.err
    assert "  0 differences\n" in done.out
    assert "restarts of the broker" not in done.out
    assert not [topic for topic in asyncio.run(topics_of(kafka)) if topic.startswith("demo-")]


async def topics_of(bootstrap: str) -> list[str]:
    async with admin_of(bootstrap) as admin:
        found: list[str] = await admin.list_topics()
    return found
