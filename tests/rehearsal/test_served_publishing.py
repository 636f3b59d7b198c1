"""A day is published into a log at a pace that holds, and canaries come whatever else does."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from itertools import pairwise

import pytest

from tests.rehearsal.served import HERE, T0, eventually, filled, said, serving
from wikimirror.rehearsal import Day, Entry, Log, Publication, publish, publish_canaries, simulate_day
from wikimirror.rehearsal.log import milliseconds
from wikimirror.rehearsal.streams import STREAMS


@pytest.fixture(scope="module")
def short() -> Day:
    return simulate_day(4, 300)


def entries(log: Log) -> list[Entry]:
    return log.read(0, log.end)[1]


def times_by_topic(log: Log) -> dict[str, list[int]]:
    times = defaultdict(list)
    for entry in entries(log):
        times[entry.topic].append(entry.timestamp)
    return times


async def finished(publication: Publication) -> float:
    """Seconds to the end of a publication."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        await publication
    return time.monotonic() - began


async def test_a_day_is_published_in_reading_order_with_the_offsets_it_has_in_it(day: Day) -> None:
    log = Log()
    await publish(day, log)
    assert [(each.topic, each.offset, each.value) for each in entries(log)] == [
        (arrival.topic, arrival.offset, arrival.value) for arrival in day.arrivals
    ]


async def test_bytes_are_those_of_the_day_and_no_copies(short: Day) -> None:
    log = Log()
    await publish(short, log)
    pairs = zip(entries(log), short.arrivals, strict=True)
    assert all(entry.value is arrival.value for entry, arrival in pairs)


async def test_times_are_of_the_publication_not_of_the_simulated_day(short: Day) -> None:
    log, before = Log(), milliseconds()
    await publish(short, log)
    assert all(before <= entry.timestamp <= milliseconds() for entry in entries(log))


async def test_a_pace_in_seconds_holds(short: Day) -> None:
    publication = publish(short, Log(), seconds=0.5)
    took = await finished(publication)
    assert 0.49 < took < 1.5
    assert publication.published == publication.total == len(short.arrivals)


async def test_a_pace_of_two_thousand_records_a_second_holds_and_is_even(day: Day) -> None:
    log = Log()
    publication = publish(day, log, rate=2000.0)
    took, wished = await finished(publication), publication.total / 2000
    assert wished - 0.01 < took < wished + 1
    times = [entry.timestamp for entry in entries(log)]
    quarter, half, rest = (times[publication.total * n // 4] - times[0] for n in (1, 2, 3))
    assert quarter < half < rest
    assert half == pytest.approx(wished * 500, abs=wished * 250)


async def test_pacing_does_not_keep_the_processor_busy(short: Day) -> None:
    began = time.process_time()
    await publish(short, Log(), seconds=1.0)
    assert time.process_time() - began < 0.5


async def test_a_pace_of_seconds_and_a_rate_are_not_both_given(short: Day) -> None:
    with pytest.raises(ValueError, match="not both"):
        _ = publish(short, Log(), seconds=1, rate=1)


async def test_hurrying_publishes_the_rest_at_once(short: Day) -> None:
    publication = publish(short, Log(), seconds=60)
    await eventually(lambda: publication.published > 0)
    assert not publication.done
    publication.hurry()
    assert await finished(publication) < 2
    assert publication.done
    assert publication.published == publication.total


async def test_a_paused_publication_publishes_nothing_until_resumed_and_then_at_its_pace(short: Day) -> None:
    log = Log()
    publication = publish(short, log, seconds=1.0)
    await eventually(lambda: publication.published > 10)
    publication.pause()
    stood = publication.published
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await log.changed()
    assert publication.published == log.end == stood
    publication.resume()
    left = 1.0 - stood / publication.total
    assert left - 0.01 < await finished(publication) < left + 1


async def test_a_paused_publication_can_hurry(short: Day) -> None:
    publication = publish(short, Log(), seconds=60)
    publication.pause()
    publication.hurry()
    assert await finished(publication) < 2


async def test_a_held_publication_waits_at_its_share_and_then_goes_on_at_its_pace(short: Day) -> None:
    publication = publish(short, Log(), seconds=1.0)
    publication.hold(0.2)
    await eventually(lambda: publication.published == round(0.2 * publication.total))
    publication.hurry()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.shield(publication)
    assert publication.published == round(0.2 * publication.total)
    publication.hold()
    assert await finished(publication) < 2
    publication.result()


async def test_a_cancelled_publication_stays_where_it_is(short: Day) -> None:
    log = Log()
    publication = publish(short, log, seconds=60)
    await eventually(lambda: log.end > 0)
    publication.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publication
    assert 0 < log.end < publication.total


async def test_readers_get_a_day_while_it_is_published(short: Day) -> None:
    log = Log()
    async with serving(log) as client, client.live(",".join(STREAMS)) as stream:
        publication = publish(short, log, rate=3000.0)
        kept = [arrival for arrival in short.arrivals if arrival.value is not None]
        frames = await stream.frames(len(kept))
        await publication
    assert [(f.record["meta"]["topic"], f.record["meta"]["offset"]) for f in frames] == [
        (arrival.topic, arrival.offset) for arrival in kept
    ]


async def test_times_of_a_topic_may_jitter_so_that_they_do_not_always_rise(short: Day) -> None:
    log, began = Log(), milliseconds()
    await publish(short, log, jitter_ms=400, seed=1)
    times = times_by_topic(log)
    assert sum(one > other for each in times.values() for one, other in pairwise(each)) > 20
    assert all(began - 400 <= each <= milliseconds() for every in times.values() for each in every)


async def test_neighbours_of_a_topic_may_share_a_millisecond_though_they_come_apart(short: Day) -> None:
    for share, shared in ((0.0, False), (1.0, True)):
        log = Log()
        await publish(short, log, seconds=0.3, same_ms=share)
        assert all((len(set(each)) == 1) is shared for each in times_by_topic(log).values() if len(each) > 20)


async def test_a_canary_comes_to_every_topic_again_and_again_in_real_time() -> None:
    log, began = Log(), milliseconds()
    canaries = publish_canaries(log, every=0.05)
    await eventually(lambda: log.end >= 18)
    canaries.cancel()
    for topic in (topic for topics in log.topics_of.values() for topic in topics):
        own = [entry for entry in entries(log) if entry.topic == topic]
        assert len(own) >= 3
        assert own[2].timestamp - own[0].timestamp >= 80
        assert own[0].timestamp >= began
        for entry in own:
            meta = json.loads(entry.value or b"")["meta"]
            assert meta["domain"] == "canary"
            assert topic.endswith(meta["stream"])
    assert len({json.loads(entry.value or b"")["meta"]["id"] for entry in entries(log)}) == log.end


# The log.


def test_offsets_count_by_topic_and_the_extent_tells_them() -> None:
    log = filled(3)
    assert log.extent(HERE) == range(3)
    log.expire(T0 + 2)
    assert log.extent(HERE) == range(2, 3)
    log.expire(T0 + 100)
    assert log.extent(HERE).start == log.extent(HERE).stop == 3
    assert log.append(HERE, said(3)).offset == 3


def test_expiring_stops_at_the_first_record_that_is_not_older() -> None:
    log = Log()
    for number, timestamp in enumerate((T0, T0 + 9, T0 + 1, T0 + 9)):
        log.append(HERE, said(number), timestamp)
    assert log.expire(T0 + 5) == 1
    assert log.extent(HERE) == range(1, 4)
    assert log.expire(T0 + 5) == 0


def test_the_ends_are_after_the_last_records_that_can_be_sent() -> None:
    log = filled(2)
    log.append(HERE, None)
    assert log.ends == {HERE: 2}


@pytest.mark.parametrize("value", [b'{"meta":{"id":"1"}\n}', b'{"a":"\r"}'])
def test_a_record_of_more_than_one_line_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        Log().append(HERE, value)


def test_a_topic_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        Log().append("mars.mediawiki.page_change.v1", said(1))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b'{"a":1,"meta":{"id":"1"}}', b'{"a":1,"meta":{"id":"1"}}'),
        (b'{"meta":{"id":"1"},"a":1}', b'{"a":1,"meta":{"stream":"mediawiki.page_change.v1","id":"1"}}'),
        (b'{"meta":{"id":"1"},"a":{}}', b'{"a":{},"meta":{"stream":"mediawiki.page_change.v1","id":"1"}}'),
        (b'{"a":1,"meta":{}}', b'{"a":1,"meta":{"stream":"mediawiki.page_change.v1"}}'),
        (b'{"a":1}', b'{"a":1,"meta":{"stream":"mediawiki.page_change.v1"}}'),
        (b'{"meta":{"id":"1","dt":{}}}', b'{"meta":{"id":"1","dt":{}}}'),
        (b'{"meta":1}', b'{"meta":1}'),
        (b"[1]", b"[1]"),
        (b"\xff{", b"\xff{"),
    ],
)
def test_a_record_is_kept_so_that_coordinates_can_be_put_into_its_meta(value: bytes, kept: bytes) -> None:
    entry = Log().append(HERE, value)
    assert entry.value == kept
    if entry.joint:
        whole = json.loads(kept[: entry.joint] + b',"offset":1' + kept[entry.joint :])
        assert whole["meta"]["offset"] == 1
