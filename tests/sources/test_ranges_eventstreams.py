"""Reading stretches of EventStreams again, over real sockets: from the rehearsal's server, and from scripted ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from tests.sources.sse_server import CODFW, DEADLINE, EQIAD, NOON, Connection, Server, frame, serving
from wikimirror.errors import ConfigurationError, SourceRefused, SourceUnavailable
from wikimirror.model import Coordinates, Lane, Lost, Position, Record
from wikimirror.rehearsal import EventStreamsServer, Log
from wikimirror.rehearsal.faults import Faults
from wikimirror.settings import EventStreamsSettings
from wikimirror.sources.base import position_after
from wikimirror.sources.eventstreams_ranges import EventStreamsRanges
from wikimirror.sources.http import HttpClient
from wikimirror.sources.ranges import Bound, Done, Range, read_one

EAST, WEST = Lane("wm", EQIAD, 0), Lane("wm", CODFW, 0)
HOUR_AGO = time.time_ns() // 1_000_000 - 3_600_000
"""Milliseconds."""
OK = b":ok\n\n"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wikimirror.sources.eventstreams_ranges._PAUSE", 0.01)
    monkeypatch.setattr("wikimirror.sources.eventstreams_ranges._GRACE", timedelta(seconds=1))
    for name in ("HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def wiki() -> AsyncIterator[EventStreamsServer]:
    """A log of one stream in two datacentres, and its server."""
    async with EventStreamsServer(Log(["page_change"])) as server:
        yield server


def _now() -> int:
    return time.time_ns() // 1000


def ranges_of(server: EventStreamsServer | Server, now: Callable[[], int] = _now, **said: Any) -> EventStreamsRanges:
    keys = {"streams": ["page_change"], "overlap": "5s", "idle_timeout": "3s"} | said
    settings = EventStreamsSettings(type="eventstreams", url=server.url, **keys)
    return EventStreamsRanges("wm", settings, HttpClient("ops@example.org"), now)


def publish(server: EventStreamsServer, lane: Lane, *seconds: float) -> None:
    """A record at each of these seconds after HOUR_AGO."""
    for each in seconds:
        server.log.append(lane.topic, b'{"at": "%g"}' % each, HOUR_AGO + int(each * 1000))


def at(seconds: float) -> int:
    """Microseconds."""
    return (HOUR_AGO + int(seconds * 1000)) * 1000


async def resolved(
    source: EventStreamsRanges, start: float, end: float | None = None, **which: Any
) -> dict[Lane, Range]:
    until = None if end is None else Bound(time=at(end))
    return await source.resolve(Bound(time=at(start)), until, **{"topics": (), "partitions": ()} | which)


async def all_of(source: EventStreamsRanges, ranges: Mapping[Lane, Range]) -> list[Record | Lost | Done]:
    async with asyncio.timeout(DEADLINE), aclosing(source.read(ranges)) as items:
        return [item async for item in items]


async def offsets(source: EventStreamsRanges, ranges: Mapping[Lane, Range]) -> dict[Lane, list[int]]:
    """Each lane is told as done once, after its last record, and nothing is lost."""
    found: dict[Lane, list[int]] = {lane: [] for lane in ranges}
    done: set[Lane] = set()
    for item in await all_of(source, ranges):
        if isinstance(item, Done):
            assert item.lane not in done
            done.add(item.lane)
        else:
            assert isinstance(item, Record), item
            assert not item.again
            assert item.at[:3] not in done
            found[Lane(*item.at[:3])].append(item.at.offset)
    assert done == ranges.keys()
    return found


async def test_a_range_has_what_was_published_at_its_start_and_not_what_was_at_its_end(
    wiki: EventStreamsServer,
) -> None:
    publish(wiki, EAST, 8, 10, 10, 15, 20, 20, 25)
    publish(wiki, WEST, 9, 11, 21)
    source = ranges_of(wiki)

    ranges = await resolved(source, 10, 20)

    assert ranges == {lane: Range(Position(0, at(10)), end_time=at(20)) for lane in (EAST, WEST)}
    assert await offsets(source, ranges) == {EAST: [1, 2, 3], WEST: [1]}
    assert await source.total(ranges) is None
    assert (await all_of(source, ranges))[-1] in {Done(EAST), Done(WEST)}
    records = [item for item in await all_of(source, ranges) if isinstance(item, Record)]
    assert [each.published for each in records if each.at.topic == EQIAD] == [at(10), at(10), at(15)]


async def test_topics_can_be_chosen_and_others_are_not_asked_for(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 10, 20, 3600)
    publish(wiki, WEST, 10, 20)
    source = ranges_of(wiki)

    some = await resolved(source, 5, 15, topics=[CODFW], partitions=[0])
    sent = wiki.counts.records

    assert await offsets(source, some) == {WEST: [0]}
    assert wiki.counts.records - sent == 2
    with pytest.raises(ConfigurationError, match=r"has no topic esams\.page_change"):
        await resolved(source, 5, 15, topics=["esams.page_change"])
    with pytest.raises(ConfigurationError, match="has no partition 1"):
        await resolved(source, 5, 15, partitions=[1])


async def test_offsets_are_no_bounds_here_and_nothing_after_now_is_waited_for(wiki: EventStreamsServer) -> None:
    source = ranges_of(wiki)

    for start, end in ((Bound(offset=5), None), (Bound(time=at(0)), Bound(offset=5))):
        with pytest.raises(ConfigurationError, match="read by time") as wrong:
            await source.resolve(start, end, topics=(), partitions=())
        assert "instant" in wrong.value.remedy
    before = time.time_ns() // 1000
    for end in (None, Bound(time=at(10**6))):
        found = await source.resolve(Bound(time=at(0)), end, topics=(), partitions=())
        for each in found.values():
            assert each.end_time is not None
            assert before <= each.end_time <= time.time_ns() // 1000


async def test_a_silent_lane_is_done_soon_after_another_was_read_to_its_end(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 10, 15, 20)
    publish(wiki, WEST, 12)
    source = ranges_of(wiki, idle_timeout="1m")

    began = time.monotonic()
    assert await offsets(source, await resolved(source, 10, 20)) == {EAST: [0, 1], WEST: [0]}
    assert time.monotonic() - began < 10


async def test_where_all_lanes_are_silent_they_are_done_after_the_idle_time(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 10, 15)
    source = ranges_of(wiki, idle_timeout="1s")

    assert await offsets(source, await resolved(source, 0)) == {EAST: [0, 1], WEST: []}


async def test_empty_ranges_are_done_without_asking_anybody(wiki: EventStreamsServer) -> None:
    source = ranges_of(wiki)

    assert await offsets(source, await resolved(source, 20, 20)) == {EAST: [], WEST: []}
    assert wiki.counts.requests == 0


async def test_it_goes_on_in_the_middle_from_the_position_reached(wiki: EventStreamsServer) -> None:
    times = [1, 2, 2, 2, 3, 2.5, 4, 5]
    publish(wiki, EAST, *times, 100)
    source = ranges_of(wiki)
    (wanted,) = (await resolved(source, 0, 90, topics=[EQIAD])).values()

    records = [item for item in await all_of(source, {EAST: wanted}) if isinstance(item, Record)]

    assert len(records) == len(times)
    for each in records:
        rest = wanted._replace(start=position_after(each))
        assert await offsets(source, {EAST: rest}) == {EAST: [*range(each.at.offset + 1, len(times))]}


@pytest.mark.parametrize("shift", [100, -100])
async def test_where_the_service_numbers_otherwise_nothing_is_left_out(wiki: EventStreamsServer, shift: int) -> None:
    times = [1, 2, 2, 2, 3, 2.5, 4, 5]
    publish(wiki, EAST, *[-1000] * 150, *times, 100)
    source = ranges_of(wiki)
    (wanted,) = (await resolved(source, 0, 90, topics=[EQIAD])).values()

    for number, seconds in enumerate(times):
        # As if it had been read from a cluster that numbers so much higher than the server.
        rest = wanted._replace(start=Position(151 + number + shift, at(seconds)))
        items = await all_of(source, {EAST: rest})
        found = [item.at.offset - 150 for item in items if isinstance(item, Record)]
        assert found == sorted(set(found))
        assert {*range(number + 1, len(times))} <= {*found}, "what follows is there"
        assert all(times[each] >= seconds or each > number for each in found), "and what was before it is not"


async def test_a_connection_that_ends_in_good_order_is_followed_by_another(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, *range(10, 20), 60)
    publish(wiki, WEST, 12, 61)
    wiki.faults = Faults(cut_after=5)
    source = ranges_of(wiki, overlap="1s")

    assert await offsets(source, await resolved(source, 10, 50)) == {EAST: [*range(10)], WEST: [0]}
    assert wiki.counts.requests > 2


async def test_what_is_in_doubt_when_a_lane_falls_silent_is_read(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 1, 2, 3)
    source = ranges_of(wiki, idle_timeout="1s")

    # As if it had been read from a cluster that numbers higher.
    rest = Range(Position(901, at(1)), end_time=at(90))
    assert await offsets(source, {EAST: rest}) == {EAST: [0, 1, 2]}


async def test_nothing_is_left_out_where_each_connection_is_to_another_cluster(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, *(number / 10 for number in range(100)), 60)
    wiki.faults = Faults(cut_after=30, renumbered_by=1000)
    source = ranges_of(wiki, overlap="1s")

    items = await all_of(source, await resolved(source, 0, 50, topics=[EQIAD]))

    found = [item.published for item in items if isinstance(item, Record)]
    assert sorted(set(found)) == [at(number / 10) for number in range(100)]
    assert len(found) < 110, "little of it twice"
    assert len(items) == len(found) + 1
    assert wiki.counts.requests > 4


async def test_a_connection_that_is_cut_is_told_after_what_came() -> None:
    async def cut(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK, frame(EQIAD, 500, 5))
        connection.reset()

    async with serving(cut) as server:
        source = ranges_of(server, retention="366d")
        found: list[Record | Lost | Done] = []
        with pytest.raises(SourceUnavailable, match="was cut"):
            await collect(source, {EAST: Range(Position(0, NOON * 1000), end_time=(NOON + 1000) * 1000)}, found)

    assert [item.at.offset for item in found if isinstance(item, Record)] == [500]
    assert len(found) == 1


async def collect(source: EventStreamsRanges, ranges: Mapping[Lane, Range], found: list[Record | Lost | Done]) -> None:
    async with asyncio.timeout(DEADLINE), aclosing(source.read(ranges)) as items:
        async for item in items:
            found.append(item)  # noqa: PERF401  # what came before an error counts


async def test_a_service_that_falls_silent_is_not_taken_for_the_end() -> None:
    async def some(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK, frame(EQIAD, 500, 5))
        await connection.until_left()

    async def silent(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK)
        await connection.until_left()

    async with serving(some, silent) as server:
        source = ranges_of(server, idle_timeout="1s", retention="366d")
        found: list[Record | Lost | Done] = []
        with pytest.raises(SourceUnavailable, match="sent nothing"):
            await collect(source, {EAST: Range(Position(0, NOON * 1000), end_time=(NOON + 1000) * 1000)}, found)

    assert [item.at.offset for item in found if isinstance(item, Record)] == [500]
    assert len(found) == 1


async def test_a_service_that_refuses_is_told(wiki: EventStreamsServer) -> None:
    source = ranges_of(wiki, streams=["no_stream_of_it"])

    with pytest.raises(SourceRefused, match="answered 400"):
        await all_of(source, await resolved(source, 10, 20))


async def test_what_the_service_no_longer_keeps_is_told_as_lost_and_the_rest_is_read(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 100, 3000, 3100)
    publish(wiki, WEST, 3050, 3101)
    # The run may be long: the clock is that of the records.
    source = ranges_of(wiki, now=lambda: at(3600), retention="30m")

    items = await all_of(source, await resolved(source, 60, 3100))

    lost = [item for item in items if isinstance(item, Lost)]
    assert {(each.lane, each.after, each.reason) for each in lost} == {
        (lane, Position(0, at(60)), "retention") for lane in (EAST, WEST)
    }
    assert len(lost) == 2
    assert {each.until for each in lost} == {Position(-1, at(1800))}
    assert sorted(item.at.offset for item in items if isinstance(item, Record)) == [0, 0, 1]
    assert {item.lane for item in items if isinstance(item, Done)} == {EAST, WEST}
    assert items.index(lost[-1]) < min(n for n, item in enumerate(items) if isinstance(item, Record))


@pytest.mark.parametrize("start", ["latest", "earliest"])
async def test_a_range_that_is_wholly_gone_is_lost_up_to_its_end(wiki: EventStreamsServer, start: str) -> None:
    source = ranges_of(wiki, retention="30m", start=start)

    items = await all_of(source, await resolved(source, 60, 120))

    assert sorted(item for item in items if isinstance(item, Lost)) == [
        Lost(lane, Position(0, at(60)), Position(-1, at(120)), "retention") for lane in (WEST, EAST)
    ]
    assert {item.lane for item in items if isinstance(item, Done)} == {EAST, WEST}


async def test_one_record_is_read_again_with_its_own_coordinates(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 1, 2, 2, 2, 3)
    source = ranges_of(wiki)

    async with asyncio.timeout(DEADLINE):
        for offset, seconds in ((0, 1), (1, 2), (2, 2), (3, 2), (4, 3)):
            record = await read_one(source, EAST, offset, at(seconds))
            assert record is not None
            assert (record.at, record.published, record.again) == (Coordinates(*EAST, offset), at(seconds), False)
            assert record.value is not None
            assert b'"offset":%d' % offset in record.value.replace(b" ", b"")


async def test_one_record_that_is_numbered_otherwise_by_now_is_known_by_its_time(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 1, 2, 3, 3, 100)
    source = ranges_of(wiki)

    async with asyncio.timeout(DEADLINE):
        record = await read_one(source, EAST, 901, at(2))
        assert record is not None
        assert record.at == Coordinates(*EAST, 901)
        assert b'"at":"2"' in (record.value or b"").replace(b" ", b"")
        assert await read_one(source, EAST, 902, at(3)) is None, "either of two"


async def test_one_record_that_is_gone_is_none(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, 1, 2, 100)
    source = ranges_of(wiki, idle_timeout="1s")

    async with asyncio.timeout(DEADLINE):
        assert await read_one(source, EAST, 1, at(1.5)) is None, "others are there"
        assert await read_one(source, WEST, 1, at(1.5)) is None, "nothing is there"


async def test_one_record_without_its_time_is_refused(wiki: EventStreamsServer) -> None:
    source = ranges_of(wiki)

    with pytest.raises(SourceRefused, match="by time"):
        await read_one(source, EAST, 1, 0)
    with pytest.raises(SourceRefused, match="by time"):
        await all_of(source, {EAST: Range(Position(3, at(1)), 9)})
    assert wiki.counts.requests == 0


async def test_closing_it_leaves_the_service_at_once(wiki: EventStreamsServer) -> None:
    publish(wiki, EAST, *range(1000))
    source = ranges_of(wiki)

    async with asyncio.timeout(DEADLINE):
        async with aclosing(source.read(await resolved(source, 0, 5000))) as items:
            await anext(items)
        while wiki.counts.connections:  # no event tells of it
            await asyncio.sleep(0.01)
