"""Topics that lose their oldest records, vanish, come late or grow while a daemon reads them, or while none does."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError

from tests.kafka.admin import create_topic, delete_topic, move_log_start
from tests.kafka.endings import QUICK, Gap, ends_equal, ends_of, gaps_of, send_to, was_under_load
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import Daemon
from tests.live.probes import until_answers, until_metrics
from tests.live.truth import Places, durable_places, nobody_writes, places
from tests.live.world import SOURCE, a_day
from wikimirror.mirror.connect import connect

SEED, ACTIONS = 32, 800
RATE = 150.0
"""Records a second."""
BUSIEST: Final = "eqiad.mediawiki.page_content_change.v1"
"""Of the day's topics: half of its records are there."""
MEMORY: Final = 2**20
"""Bytes: the least that the settings allow."""
READ: Final = "wikimirror_records_read_total"
MISSING: Final = "wikimirror_source_missing_topics"
NOT_THERE: Final = "topics are not there: they are waited for"


@pytest.fixture
async def world(kafka: str, database_url: str, tmp_path: Path) -> AsyncIterator[KafkaWorld]:
    async with serve_kafka(a_day(SEED, ACTIONS), kafka, database_url, tmp_path, partitions=2) as served:
        yield served


@pytest.fixture
async def late(kafka: str) -> AsyncIterator[Callable[[str], str]]:
    """`late("a")` is the name of a topic that the test may make; it is deleted after it."""
    run, named = secrets.token_hex(4), list[str]()

    def name(letter: str) -> str:
        named.append(f"late-{run}-{letter}")
        return named[-1]

    yield name
    for each in named:
        with suppress(UnknownTopicOrPartitionError):
            await delete_topic(kafka, each)


async def read_and_stopped(world: KafkaWorld, share: float) -> int:
    """The beginning of the day is sent, in the mirror, and the daemon stopped; how many records that were."""
    beginning = round(len(world.day.arrivals) * share)
    await world.topics.send(world.day.arrivals[:beginning])
    async with Daemon(world.config(source=QUICK)) as daemon:
        await world.durable()
        assert await daemon.stop() == 0
    return beginning


async def test_a_log_start_that_moves_below_the_position_is_no_gap(kafka: str, world: KafkaWorld) -> None:
    async with Daemon(world.config(source=QUICK)) as daemon:
        await daemon.line("reading")
        world.publish(RATE)
        for share in (0.2, 0.4, 0.6):
            await until_metrics(daemon, lambda now, part=share: now.of(READ, SOURCE) > part * world.publication.total)  # type: ignore[misc]
            async with await connect(world.database_url) as session:
                reached = await places(session)
            for (topic, partition), position in reached.items():
                await move_log_start(kafka, topic, partition, position)
        was_under_load(world)
        await ends_equal(world, daemon)


async def test_a_log_start_that_moved_past_the_position_while_nobody_read_opens_gaps_and_the_rest_is_read(
    kafka: str, world: KafkaWorld
) -> None:
    beginning = await read_and_stopped(world, 0.5)
    before = world.ends
    # What will be lost is there for the second time, so that the mirror can still be equal to the wiki.
    await world.topics.send(world.day.arrivals[:beginning])
    lost, kept = list[Gap](), max(before)
    for (topic, partition), begin in before.items():
        if (topic, partition) != kept:
            end = begin + (world.ends[topic, partition] - begin + 1) // 2
            await move_log_start(kafka, topic, partition, end)
            lost.append(Gap(topic, partition, begin, end, "retention"))
    async with Daemon(world.config(source=QUICK)) as daemon:
        await world.topics.send(world.day.arrivals[beginning:])
        await ends_equal(world, daemon, gaps=lost)
        told = {line["lane"]: (line["position"], line["reason"]) for line in daemon.lines("gap", level="error")}
    assert told == {f"{SOURCE} {each.topic}[{each.partition}]": (each.begin, each.reason) for each in lost}


async def test_a_log_start_that_overtakes_a_daemon_which_a_slow_postgres_holds_back_opens_gaps(
    kafka: str, world: KafkaWorld
) -> None:
    async with Daemon(world.config(source=QUICK, memory={"bytes": MEMORY})) as daemon:
        await daemon.line("reading")
        async with nobody_writes(world.database_url):
            await world.topics.send(world.day.arrivals)
            await until_metrics(daemon, lambda now: now.of("wikimirror_waiting_bytes", SOURCE) > MEMORY / 2)
            ends = world.ends
            for (topic, partition), end in ends.items():
                await move_log_start(kafka, topic, partition, end)
            await world.topics.send(world.day.arrivals)
        await durable_places(world.database_url, world.ends)
        lost = await gaps_of(world.database_url)
        await ends_equal(world, daemon, gaps=lost)
    assert lost
    assert {(each.end, each.reason) for each in lost} == {(ends[each[:2]], "retention") for each in lost}
    read = daemon.report["sources"][0]["records"]["read"]
    assert read == world.topics.sent - sum(each.end - each.begin for each in lost), "no record less, and none twice"


async def test_a_gap_halts_a_daemon_that_was_told_so_before_anything_after_it_is_written(
    kafka: str, world: KafkaWorld
) -> None:
    beginning = await read_and_stopped(world, 0.5)
    lane, begin = max(world.ends.items(), key=lambda each: each[1])
    await world.topics.send(world.day.arrivals[:beginning])
    end = world.ends[lane]
    await move_log_start(kafka, *lane, end)
    async with Daemon(world.config(source={**QUICK, "on_gap": "halt"})) as daemon:
        assert await daemon.end() == 1
    error = daemon.report["error"]
    assert error["kind"] == "GapFound"
    assert f"{SOURCE} {lane[0]}[{lane[1]}]" in error["message"]
    assert f"position {begin} " in error["message"]
    assert "retention" in error["message"]
    assert 'on_gap = "continue"' in error["remedy"]
    assert await gaps_of(world.database_url) == []
    async with await connect(world.database_url) as session:
        assert (await places(session))[lane] == begin
    async with Daemon(world.config(source=QUICK)) as daemon:
        await world.topics.send(world.day.arrivals[beginning:])
        await ends_equal(world, daemon, gaps=[Gap(*lane, begin, end, "retention")])


@pytest.mark.parametrize("running", [True, False], ids=["while it is read", "while nobody reads"])
async def test_a_topic_that_was_deleted_and_made_anew_opens_gaps_and_is_read_from_its_first_record_on(
    kafka: str, world: KafkaWorld, *, running: bool
) -> None:
    # Less comes afterwards than before: only so can it be told from the topic that was.
    beginning, topic = round(0.6 * len(world.day.arrivals)), world.topics.name_of(BUSIEST)
    async with Daemon(world.config(source=QUICK)) as daemon:
        await world.topics.send(world.day.arrivals[:beginning])
        await world.durable()
        before = world.ends
        if not running:
            assert await daemon.stop() == 0
        await delete_topic(kafka, topic)
        if running:
            await daemon.line(NOT_THERE, level="warning")
        await create_topic(kafka, topic, 2)
        if running:
            await ends_renewed(kafka, world, daemon, beginning, before)
    if not running:
        async with Daemon(world.config(source=QUICK)) as daemon:
            await ends_renewed(kafka, world, daemon, beginning, before)


async def ends_renewed(kafka: str, world: KafkaWorld, daemon: Daemon, beginning: int, before: Places) -> None:
    topic = world.topics.name_of(BUSIEST)
    await world.topics.send(world.day.arrivals[beginning:])
    ends = {**world.ends, **await ends_of(kafka, topic)}
    lost = [Gap(topic, partition, before[topic, partition], 0, "truncated") for partition in (0, 1)]
    assert all(ends[each[:2]] < each.begin for each in lost)
    await ends_equal(world, daemon, gaps=lost, ends=ends)


async def test_a_topic_that_is_missing_at_the_start_is_told_and_read_as_soon_as_it_is_made(
    kafka: str, world: KafkaWorld, late: Callable[[str], str]
) -> None:
    topic = late("a")
    async with Daemon(world.config(source={**QUICK, "topics": [topic]})) as daemon:
        assert (await daemon.line(NOT_THERE, level="warning"))["topics"] == [topic]
        await until_answers(daemon, "/readyz", 503, f"waits for topics that are not there: {topic}")
        await until_metrics(daemon, lambda now: now.of(MISSING, SOURCE) == 1)
        await create_topic(kafka, topic, 3)
        await send_to(kafka, topic, world.day.arrivals, 3)
        await until_answers(daemon, "/readyz", 200)
        await until_metrics(daemon, lambda now: now.of(MISSING, SOURCE) == 0)
        await ends_equal(world, daemon, ends=await ends_of(kafka, topic))
        assert len(daemon.lines(NOT_THERE)) == 1


async def test_of_two_topics_one_is_read_while_the_other_is_missing(
    kafka: str, world: KafkaWorld, late: Callable[[str], str]
) -> None:
    there, missing, half = late("a"), late("b"), len(world.day.arrivals) // 2
    await create_topic(kafka, there, 2)
    await send_to(kafka, there, world.day.arrivals[:half], 2)
    async with Daemon(world.config(source={**QUICK, "topics": [there, missing]})) as daemon:
        assert (await daemon.line(NOT_THERE, level="warning"))["topics"] == [missing]
        await durable_places(world.database_url, await ends_of(kafka, there))
        await until_answers(daemon, "/readyz", 200)
        await until_metrics(daemon, lambda now: now.of(MISSING, SOURCE) == 1)
        await create_topic(kafka, missing, 2)
        await send_to(kafka, missing, world.day.arrivals[half:], 2)
        await ends_equal(world, daemon, ends=await ends_of(kafka, there, missing))


async def test_partitions_that_are_added_under_load_are_found_and_read_from_their_first_record_on(
    world: KafkaWorld,
) -> None:
    # What was there before it came is not for it, but a partition that comes later has no such past.
    async with Daemon(world.config(source={**QUICK, "start": "latest"})) as daemon:
        await daemon.line("reading")
        world.publish(RATE)
        for total in (3, 5):
            await world.topics.add_partitions(BUSIEST, total)
            await until_metrics(
                daemon,
                lambda now, lanes=10 + total: now.of("wikimirror_source_lanes", SOURCE) == lanes,  # type: ignore[misc]
            )
        was_under_load(world)
        await ends_equal(world, daemon)
    topic = world.topics.name_of(BUSIEST)
    assert {(topic, partition) for partition in range(5)} <= set(world.ends)


async def test_a_topic_that_matches_the_pattern_and_is_made_later_is_read_and_others_are_not(
    kafka: str, world: KafkaWorld, late: Callable[[str], str]
) -> None:
    first, second, other = late("a"), late("b"), late("b-other")
    keys = {**QUICK, "topics": [], "topic_pattern": first.removesuffix("a") + "[ab]"}
    half = len(world.day.arrivals) // 2
    await create_topic(kafka, first)
    async with Daemon(world.config(source=keys)) as daemon:
        await send_to(kafka, first, world.day.arrivals[:half])
        await durable_places(world.database_url, await ends_of(kafka, first))
        for topic in (other, second):
            await create_topic(kafka, topic, 2)
        await send_to(kafka, other, world.day.arrivals[:half], 2)
        await send_to(kafka, second, world.day.arrivals[half:], 2)
        await ends_equal(world, daemon, ends=await ends_of(kafka, first, second))
