"""A stay in a real consumer group: what is assigned, revoked and lost, and what ends the stay."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kafka.admin import add_partitions, create_topic, delete_topic, group_offsets
from tests.kafka.stays import DEADLINE, joined, lane, reading, send, settings_of, source_of, until
from tests.kafka.test_driver import dropped
from wikimirror.errors import SourceUnavailable
from wikimirror.model import Position
from wikimirror.settings import KafkaSettings
from wikimirror.sources.assignment import Assignment
from wikimirror.sources.kafka.membership import KafkaMembership

MakeTopic = Callable[..., Awaitable[str]]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wikimirror.sources.kafka.upkeep._LOOK", 0.1)


async def assigned(member: KafkaMembership) -> Assignment:
    async with asyncio.timeout(DEADLINE):
        return await member.assigned()


async def assigned_lanes(member: KafkaMembership, count: int) -> Assignment:
    """The next assignment with so many lanes; others are given up at once."""
    while len((given := await assigned(member)).lanes) != count:
        given.release()
    return given


@asynccontextmanager
async def staying(settings: KafkaSettings) -> AsyncIterator[KafkaMembership]:
    async with source_of(settings)[0].join() as member:
        yield member


async def test_lanes_are_shared_and_a_revocation_waits_until_they_are_released(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_of(kafka, group, topic := await make_topic(4))
    async with staying(settings) as first:
        held = await assigned(first)
        assert held.lanes == tuple(lane(topic, each) for each in range(4))
        async with staying(settings) as second:
            other = asyncio.create_task(assigned(second))
            async with asyncio.timeout(DEADLINE):
                await held.revoked.wait()
            assert not held.lost.is_set()
            await asyncio.wait({other}, timeout=0.5)
            assert not other.done(), "the lanes are still worked on"
            held.release()
            mine = await assigned(first)
            async with asyncio.timeout(DEADLINE):
                theirs = await other
            assert sorted([*mine.lanes, *theirs.lanes]) == list(held.lanes)
            assert len(mine.lanes) == len(theirs.lanes) == 2
            mine.release()
            theirs.release()
        assert (await assigned(first)).lanes == held.lanes


async def test_a_revocation_waits_no_longer_than_its_limit_and_is_then_a_loss(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    slow = settings_of(kafka, group, topic := await make_topic(2), session_timeout="2500ms", rebalance_timeout="3s")
    async with staying(slow) as first:
        held = await assigned(first)
        async with staying(slow) as second:
            other = asyncio.create_task(assigned_lanes(second, 1))
            async with asyncio.timeout(DEADLINE):
                await held.revoked.wait()
                began = time.monotonic()
                await held.lost.wait()
            assert 2 < time.monotonic() - began < 4
            held.release()
            async with asyncio.timeout(DEADLINE):
                theirs = await other
            mine = await assigned_lanes(first, 1)
            assert {*mine.lanes, *theirs.lanes} == {lane(topic, 0), lane(topic, 1)}
            mine.release()
            theirs.release()


async def test_an_assignment_that_nobody_took_is_given_up_at_once(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_of(kafka, group, await make_topic(2), rebalance_timeout="60s")
    async with staying(settings) as first, staying(settings) as second:
        await until(lambda: first.listener.current)
        given = await assigned_lanes(second, 1)
        assert len((await assigned_lanes(first, 1)).lanes) == 1
        given.release()


async def test_lanes_that_the_group_has_given_away_are_told_as_lost(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_of(kafka, group, await make_topic(2))
    async with staying(settings) as member:
        held = await assigned(member)
        await dropped(member.consumer)
        async with asyncio.timeout(DEADLINE):
            await held.lost.wait()
        held.release()
        assert (await assigned(member)).lanes == held.lanes, "it joins anew"


@pytest.mark.parametrize("hook", ["give up", "acknowledge", "take in", "upkeep"])
async def test_an_error_in_a_hook_ends_the_stay_and_is_told(
    kafka: str, make_topic: MakeTopic, group: str, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    settings = settings_of(kafka, group, await make_topic(2))
    async with staying(settings) as member:
        if hook == "take in":
            monkeypatch.setattr(member.listener, "_lane_of", failing)
        else:
            held = await assigned(member)
            if hook == "upkeep":
                monkeypatch.setattr(member.upkeep, "_look_at_ends", failing)
            else:
                monkeypatch.setattr(member.listener, "_before_giving_up", failing)
                if hook == "give up":
                    monkeypatch.setattr(held, "revoke", failing)
                held.release()
                member.consumer.subscribe(settings.topics, listener=member.listener)
        with pytest.raises(SourceUnavailable, match="failed: ZeroDivisionError"):
            await assigned_lanes(member, -1)
        monkeypatch.undo()


async def test_what_is_assigned_after_the_stay_ended_is_not_handed_out(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_of(kafka, group, await make_topic(2))
    async with staying(settings) as member:
        held = await assigned(member)
        member.fail(SourceUnavailable("enough"))
        assert held.revoked.is_set()
        held.release()
        await dropped(member.consumer)
        await until(lambda: member.listener.rebalances == 2)
        with pytest.raises(SourceUnavailable, match="enough"):
            await assigned(member)


async def test_missing_topics_are_waited_for_and_told_and_read_once_they_are_there(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    there, later = await make_topic(), f"later-{group}"
    source, vitals = source_of(settings_of(kafka, group, there, later))
    async with source.join() as member:
        held = await assigned(member)
        assert held.lanes == (lane(there),)
        await until(lambda: vitals.missing_topics == (later,))
        assert vitals.topics_found == 1
        await create_topic(kafka, later, 2)
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE):
            await held.revoked.wait()
        held.release()
        held = await assigned_lanes(member, 3)
        assert time.monotonic() - began < 5
        await send(kafka, later, b"first", partition=1)
        async with reading(source, dict.fromkeys(held.lanes, Position(0))) as found:
            await found.until(1)
        await until(lambda: vitals.missing_topics == ())
        # And again when it is deleted: its lanes are taken away.
        await delete_topic(kafka, later)
        async with asyncio.timeout(DEADLINE):
            await held.revoked.wait()
        held.release()
        assert (await assigned_lanes(member, 1)).lanes == (lane(there),)
        await until(lambda: vitals.missing_topics == (later,))


async def test_a_pattern_finds_topics_by_their_whole_name_also_those_made_later(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    first = await make_topic(name="wiki.page")
    await make_topic(name="un.wiki.page")
    run = re.escape(first.removeprefix("wiki.page").rpartition("-")[0])
    settings = settings_of(kafka, group, topic_pattern=rf"wiki\.(page|move){run}-\d+")
    async with staying(settings) as member:
        held = await assigned_lanes(member, 1)
        assert held.lanes == (lane(first),)
        await make_topic(name="wiki.pages")
        second = await make_topic(2, name="wiki.move")
        async with asyncio.timeout(DEADLINE):
            await held.revoked.wait()
        held.release()
        held = await assigned_lanes(member, 3)
        assert {each.topic for each in held.lanes} == {first, second}
        held.release()


async def test_a_pattern_that_nothing_matches_is_told_as_missing(kafka: str, group: str) -> None:
    source, vitals = source_of(settings_of(kafka, group, topic_pattern="no such topic"))
    async with source.join() as member:
        assert (await assigned(member)).lanes == ()
        await until(lambda: vitals.missing_topics == ("no such topic",))


async def test_partitions_added_are_assigned(kafka: str, make_topic: MakeTopic, group: str) -> None:
    settings = settings_of(kafka, group, topic := await make_topic(1))
    async with staying(settings) as member:
        held = await assigned(member)
        await add_partitions(kafka, topic, 3)
        async with asyncio.timeout(DEADLINE):
            await held.revoked.wait()
        held.release()
        assert len((await assigned_lanes(member, 3)).lanes) == 3


async def test_the_group_is_told_lazily_what_is_durable_and_at_the_latest_on_leaving(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_of(kafka, group, topic := await make_topic(2), acknowledge_interval="1h")
    await send(kafka, topic, *[b"x"] * 9)
    async with joined(settings, lanes=2) as (source, member, _):
        async with reading(source, {lane(topic): Position(0), lane(topic, 1): Position(0)}) as found:
            await found.until(9)
            await source.acknowledge({lane(topic): Position(4), lane("another"): Position(7)})
            assert await group_offsets(kafka, group, topic) == {}
        member.upkeep.take_note({lane(topic): Position(9)})
    assert await group_offsets(kafka, group, topic) == {0: 9, 1: 0}


async def test_the_group_is_told_at_each_interval(kafka: str, make_topic: MakeTopic, group: str) -> None:
    settings = settings_of(kafka, group, topic := await make_topic())
    async with joined(settings, lanes=1) as (source, _, _v), reading(source, {lane(topic): Position(0)}):
        for position in (5, 8):
            await source.acknowledge({lane(topic): Position(position)})
            async with asyncio.timeout(DEADLINE):
                while await group_offsets(kafka, group, topic) != {0: position}:
                    await asyncio.sleep(0.05)


async def test_a_group_that_cannot_be_told_changes_nothing(
    kafka: str, make_topic: MakeTopic, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(kafka, group, topic := await make_topic())
    async with (
        joined(settings, lanes=1) as (source, member, vitals),
        reading(source, {lane(topic): Position(0)}) as found,
    ):
        # What the group refuses: an offset of a lane that is another's by now.
        member.upkeep.hold([lane(topic), lane("another's")])
        member.upkeep.begin({lane(topic): Position(0), lane("another's"): Position(0)})
        await member.upkeep.acknowledge()
        assert await group_offsets(kafka, group, topic) == {}
        await send(kafka, topic, b"read on")
        await found.until(1)
        assert vitals.rebalances == 1
        # And what hangs.
        monkeypatch.setattr(member.consumer, "commit", lambda _: asyncio.Event().wait())
        member.upkeep.take_note({lane(topic): Position(1)})
        began = time.monotonic()
        await member.upkeep.acknowledge()
        assert time.monotonic() - began < 4
        monkeypatch.undo()


async def test_nobody_who_is_in_no_group_reads(kafka: str, group: str) -> None:
    source, _ = source_of(settings_of(kafka, group, "pages"))
    with pytest.raises(SourceUnavailable, match="not in the group"):
        await anext(source.read({lane("pages"): Position(0)}))
    await source.acknowledge({lane("pages"): Position(1)})
