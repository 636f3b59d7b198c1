"""Processes that share the lanes of a real Kafka topic, each with its supervisor, and a real Postgres."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from tests.kafka.admin import add_partitions, create_topic, delete_topic, group_offsets, produce
from tests.kafka.stays import DEADLINE, Mirroring, Start, edits, lane, settings_of, supervisors, until
from tests.mirror.lanes import rows, value
from tests.pipeline.test_pipeline import LIMITS, PLAN
from wikimirror.errors import DatabaseRefused, DatabaseUnavailable, SourceRefused, SourceUnavailable
from wikimirror.mirror.checkpoints import take_over
from wikimirror.mirror.connect import Session, connect
from wikimirror.observe.health import Now, State, Thresholds, judge
from wikimirror.observe.vitals import Role, Waiting
from wikimirror.pipeline.writing import Connect
from wikimirror.settings import KafkaSettings

MakeTopic = Callable[..., Awaitable[str]]
PARTITIONS = 4


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    async with supervisors(database_url) as starting:
        yield starting


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    return await make_topic(PARTITIONS)


@pytest.fixture
def settings(kafka: str, group: str, topic: str) -> KafkaSettings:
    return settings_of(kafka, group, topic)


async def publish(kafka: str, topic: str, first: int, count: int, *, partitions: int = PARTITIONS) -> None:
    each = count // partitions
    records = [one for at in range(partitions) for one in edits(first + at * each, each, partition=at)]
    await produce(kafka, topic, records)


async def until_pages(session: Session, count: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while (found := await value(session, "SELECT count(*) FROM page")) != count:  # no event tells of rows
            assert found <= count
            await asyncio.sleep(0.02)


async def positions(session: Session) -> list[int]:
    return [row[0] for row in await rows(session, "SELECT position FROM checkpoint ORDER BY topic, partition")]


async def must_add_up(session: Session, *members: Mirroring, changes: int) -> None:
    """All of it once in the ledger (P1), and told by somebody (P4)."""
    assert await rows(session, "SELECT change_id FROM change GROUP BY 1 HAVING count(*) > 1") == []
    assert await value(session, "SELECT count(*) FROM change") == changes
    applied = sum((Counter(member.vitals.accounts.applied) for member in members), Counter[str]())
    refused = sum((Counter(member.vitals.accounts.refused) for member in members), Counter[str]())
    assert applied.total() + refused.total() >= changes
    assert applied.total() == changes
    for member in members:
        assert member.vitals.accounts.unaccounted == 0


async def test_what_is_read_becomes_durable_and_the_group_is_told_when_it_drains(
    start: Start, settings: KafkaSettings, session: Session, kafka: str, topic: str, group: str
) -> None:
    await publish(kafka, topic, 0, 800)
    member = start(settings)
    await until_pages(session, 800)
    await member.stopped()
    assert member.vitals.role is Role.STOPPED
    assert await positions(session) == [200] * PARTITIONS
    assert await group_offsets(kafka, group, topic) == dict.fromkeys(range(PARTITIONS), 200)
    await must_add_up(session, member, changes=800)
    # Another begins where Postgres says.
    await publish(kafka, topic, 800, 40)
    after = start(settings)
    await until_pages(session, 840)
    await after.stopped()
    assert after.vitals.accounts.read == 40


async def test_two_share_the_lanes_and_when_one_drains_the_other_has_them_all(
    start: Start, settings: KafkaSettings, session: Session, kafka: str, topic: str
) -> None:
    first = start(settings)
    await first.until_lanes(PARTITIONS)
    await publish(kafka, topic, 0, 2000)
    second = start(settings)
    await second.until_lanes(PARTITIONS // 2)
    await first.until_lanes(PARTITIONS // 2)
    await publish(kafka, topic, 2000, 2000)
    await until_pages(session, 4000)
    assert second.vitals.accounts.applied
    await publish(kafka, topic, 4000, 2000)
    await first.stopped()
    await second.until_lanes(PARTITIONS)
    await publish(kafka, topic, 6000, 400)
    await until_pages(session, 6400)
    await second.stopped()
    await must_add_up(session, first, second, changes=6400)
    assert await positions(session) == [1600] * PARTITIONS


async def test_one_without_lanes_stands_by_and_is_ready(
    start: Start, make_topic: MakeTopic, kafka: str, group: str, session: Session
) -> None:
    settings = settings_of(kafka, group, topic := await make_topic(1))
    first = start(settings)
    await first.until_lanes(1)
    second = start(settings)
    await until(lambda: Role.STANDBY in {first.vitals.role, second.vitals.role})
    standby = first if first.vitals.role is Role.STANDBY else second
    active = second if standby is first else first
    await active.until_lanes(1)
    verdict = judge(standby.vitals, Thresholds(60, 60, 60), Now.of(standby.vitals))
    assert (verdict.state, verdict.ready, verdict.alive) == (State.STANDBY, True, True)
    await publish(kafka, topic, 0, 10, partitions=1)
    await until_pages(session, 10)
    await active.stopped()
    await standby.until_lanes(1)
    await standby.stopped()


async def test_whoever_is_fenced_joins_anew(
    start: Start, settings: KafkaSettings, session: Session, kafka: str, topic: str
) -> None:
    member = start(settings)
    await member.until_lanes(PARTITIONS)
    await take_over(session, lane(topic), "somebody else")
    await publish(kafka, topic, 0, 40)
    await until_pages(session, 40)
    assert member.vitals.lane_losses == 1
    assert member.vitals.rebalances >= 2
    await member.stopped()
    assert await value(session, "SELECT epoch FROM checkpoint WHERE partition = 0") >= 3


async def test_a_postgres_that_is_away_is_waited_for_while_the_group_rebalances(
    start: Start, settings: KafkaSettings, session: Session, database_url: str, kafka: str, topic: str
) -> None:
    there = asyncio.Event()
    asked = 0

    def connect_as(_: str) -> Connect:
        async def one() -> Session:
            nonlocal asked
            asked += 1
            if not there.is_set():
                raise DatabaseUnavailable("no server")
            return await connect(database_url, limits=LIMITS)

        return one

    first = start(settings, connect_as=connect_as)
    await until(lambda: asked > 1)
    assert Waiting.LEASE in first.vitals.waits
    second = start(settings, connect_as=connect_as)
    await until(lambda: first.vitals.rebalances == 2 and second.vitals.rebalances >= 1)
    assert {first.vitals.lanes, second.vitals.lanes} == {PARTITIONS // 2}
    await publish(kafka, topic, 0, 80)
    there.set()
    await until_pages(session, 80)
    await first.stopped()
    await second.stopped()
    await must_add_up(session, first, second, changes=80)


async def test_a_refusal_at_the_first_connection_ends_it_and_a_later_one_is_waited_for(
    start: Start, settings: KafkaSettings, session: Session, database_url: str, kafka: str, topic: str
) -> None:
    refused = True

    def connect_as(_: str) -> Connect:
        async def one() -> Session:
            if refused:
                raise DatabaseRefused("no such role")
            return await connect(database_url, limits=LIMITS)

        return one

    member = start(settings, connect_as=connect_as)
    with pytest.raises(DatabaseRefused):
        async with asyncio.timeout(DEADLINE):
            await member.task
    refused = False
    member = start(settings, connect_as=connect_as)
    await member.until_lanes(PARTITIONS)
    refused = True
    assert member.source._member is not None
    member.source._member.fail(SourceUnavailable("join anew"))
    await until(lambda: member.raised() or Waiting.LEASE in member.vitals.waits)
    await publish(kafka, topic, 0, 40)
    refused = False
    await until_pages(session, 40)
    await member.stopped()


async def test_a_member_that_stood_by_waits_for_brokers_that_refuse_it_and_one_never_taken_in_does_not(
    start: Start, settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise SourceRefused("not you")

    member = start(settings)
    await member.until_lanes(PARTITIONS)
    monkeypatch.setattr("wikimirror.sources.kafka.membership.start_consumer", refuse)
    assert member.source._member is not None
    member.source._member.fail(SourceRefused("not you"))
    await until(lambda: member.raised() or Waiting.SOURCE in member.vitals.waits)
    newcomer = start(settings)
    with pytest.raises(SourceRefused):
        async with asyncio.timeout(DEADLINE):
            await newcomer.task
    monkeypatch.undo()
    await member.until_lanes(PARTITIONS)
    await member.stopped()


async def test_draining_does_not_wait_for_brokers_that_are_away(start: Start, group: str) -> None:
    nobody = settings_of("127.0.0.1:1", group, "pages")
    member = start(nobody, plan=replace(PLAN, longest_pause=3600.0))
    await until(lambda: (wait := member.vitals.waits.get(Waiting.SOURCE)) and wait.attempts > 5)
    async with asyncio.timeout(5):
        await member.stopped()


async def test_a_topic_made_anew_opens_a_gap_and_all_of_it_is_applied(
    start: Start, kafka: str, group: str, session: Session
) -> None:
    topic = f"anew-{group}"
    await create_topic(kafka, topic)
    await publish(kafka, topic, 0, 20, partitions=1)
    member = start(settings_of(kafka, group, topic))
    await until_pages(session, 20)
    await delete_topic(kafka, topic)
    await until(lambda: member.vitals.role is Role.STANDBY)
    await create_topic(kafka, topic)
    await publish(kafka, topic, 20, 5, partitions=1)
    await until_pages(session, 25)
    assert await rows(session, "SELECT reason, from_position, to_position FROM gap") == [("truncated", 20, 0)]
    assert await positions(session) == [5]
    await member.stopped()
    await delete_topic(kafka, topic)


async def test_two_that_come_at_once_agree_where_a_topic_begins_and_lanes_added_begin_at_their_first_record(
    start: Start, kafka: str, group: str, topic: str, session: Session
) -> None:
    await publish(kafka, topic, 0, 400)
    settings = settings_of(kafka, group, topic, start="latest")
    first, second = start(settings), start(settings)
    await until(lambda: first.raised() or second.raised() or first.vitals.lanes + second.vitals.lanes == PARTITIONS)
    await until(lambda: first.vitals.connected and second.vitals.connected)
    assert await positions(session) == [100] * PARTITIONS
    await add_partitions(kafka, topic, PARTITIONS + 1)
    await produce(kafka, topic, edits(1000, 7, partition=PARTITIONS))
    await publish(kafka, topic, 400, 40)
    await until_pages(session, 47)
    await first.stopped()
    await second.stopped()
    assert await positions(session) == [110] * PARTITIONS + [7]
    await must_add_up(session, first, second, changes=47)


async def test_of_two_with_one_member_id_the_later_works_and_the_other_waits_and_says_why(
    start: Start,
    kafka: str,
    group: str,
    topic: str,
    session: Session,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = settings_of(kafka, group, topic, member_id="a")
    plan = replace(PLAN, longest_pause=0.5)
    first = start(settings, plan=plan)
    await first.until_lanes(PARTITIONS)
    await publish(kafka, topic, 0, 400)
    second = start(settings, plan=plan)
    why = "another process is in the group as member_id a"
    with caplog.at_level(logging.ERROR):
        await until(lambda: (wait := first.vitals.waits.get(Waiting.SOURCE)) and why in wait.reason)
    verdict = judge(first.vitals, Thresholds(60, 60, 60), Now.of(first.vitals))
    assert not verdict.ready
    assert why in verdict.why
    await second.until_lanes(PARTITIONS)
    taken = second.vitals.rebalances
    # It looks, again and again, and takes nothing from the other.
    attempts = first.vitals.waits[Waiting.SOURCE].attempts
    await until(lambda: first.vitals.waits[Waiting.SOURCE].attempts >= attempts + 5)
    assert second.vitals.rebalances == taken
    await publish(kafka, topic, 400, 400)
    await until_pages(session, 800)
    await second.stopped()
    # A static member does not leave: the group misses it after its session.
    await first.until_lanes(PARTITIONS)
    await publish(kafka, topic, 800, 40)
    await until_pages(session, 840)
    await first.stopped()
    await must_add_up(session, first, second, changes=840)
