"""EventStreams as a source, over real sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.sse_server import (
    CODFW,
    DEADLINE,
    EQIAD,
    NOON,
    Connection,
    Script,
    Server,
    event_id,
    frame,
    proxying,
    serving,
    value,
)
from wikimirror.errors import SourceRefused, SourceUnavailable, UnreadableRecord
from wikimirror.model import Coordinates, Lane, Lost, Position, Record
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import EventStreamsSettings
from wikimirror.sources import LiveSource, Positions
from wikimirror.sources.eventstreams import EventStreams
from wikimirror.sources.http import HttpClient
from wikimirror.wire import Reason, decode

SECOND = 1_000_000
NOON_US = NOON * 1000
NOW = NOON_US + 600 * SECOND
EAST, WEST = Lane("wm", EQIAD, 0), Lane("wm", CODFW, 0)
START = {EAST: Position(500, NOON_US), WEST: Position(70, NOON_US)}
OK = b":ok\n\n"
HTML = "text/html; charset=utf-8"


class Reading:
    """A source on a test's server, and the vitals that it keeps."""

    def __init__(self, url: str, **said: Any) -> None:
        said = {"streams": ["page_change"], "connect_timeout": "10s"} | said
        self.now = NOW
        self.vitals = Vitals("wm")
        self.source: LiveSource = EventStreams(
            "wm",
            EventStreamsSettings(type="eventstreams", url=url, **said),
            HttpClient("ops@example.org"),
            self.vitals,
            lambda: self.now,
        )

    async def all(self, positions: Positions = START) -> list[Record | Lost]:
        """What one connection brings, to its end."""
        async with asyncio.timeout(DEADLINE), aclosing(self.source.read(positions)) as items:
            return [item async for item in items]

    async def records(self, positions: Positions = START) -> list[Record]:
        return [item for item in await self.all(positions) if isinstance(item, Record)]

    async def until_unavailable(self, positions: Positions = START) -> tuple[list[Record | Lost], SourceUnavailable]:
        """What one connection brings, and the error that it ends with."""
        items: list[Record | Lost] = []
        try:
            async with asyncio.timeout(DEADLINE), aclosing(self.source.read(positions)) as reading:
                async for item in reading:
                    items.append(item)  # noqa: PERF401  # what came before the error counts
        except SourceUnavailable as error:
            return items, error
        pytest.fail("it came to a good end")

    @property
    def endings(self) -> dict[str, int]:
        assert not self.vitals.connected
        return dict(self.vitals.disconnects)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def saying(*pieces: bytes) -> Script:
    """A stream of these pieces that ends in good order."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK, *pieces)
        await connection.end()

    return script


def answering(status: int, **fields: str) -> Script:
    """Another answer than a stream, with a body that must not be quoted."""

    async def script(connection: Connection) -> None:
        await connection.head(status, **fields)
        await connection.send(b"<html>unmentionable</html>")
        await connection.end()

    return script


async def silent(connection: Connection) -> None:
    await connection.head()
    await connection.send(OK)
    await connection.until_left()


async def read_all(*pieces: bytes, positions: Positions = START, **said: Any) -> list[Record | Lost]:
    async with serving(saying(*pieces)) as server:
        return await Reading(server.url, **said).all(positions)


async def read_records(*pieces: bytes, positions: Positions = START, **said: Any) -> list[Record]:
    return [item for item in await read_all(*pieces, positions=positions, **said) if isinstance(item, Record)]


def places(items: list[Record] | list[Record | Lost]) -> list[tuple[str, int, bool]]:
    """Topic, offset and `again` of each record."""
    return [(item.at.topic, item.at.offset, item.again) for item in items if isinstance(item, Record)]


async def test_records_come_with_the_coordinates_bytes_and_times_of_the_service() -> None:
    records = await read_records(frame(EQIAD, 500, 250), frame(CODFW, 70, 1_250))

    assert records == [
        Record(Coordinates("wm", EQIAD, 0, 500), value(EQIAD, 500, 250), NOW, NOON_US + 250_000),
        Record(Coordinates("wm", CODFW, 0, 70), value(CODFW, 70, 1_250), NOW, NOON_US + 1_250_000),
    ]


async def test_every_stream_has_a_lane_in_every_datacentre() -> None:
    reading = Reading("http://localhost", streams=["a", "b"], datacentres=["eqiad", "codfw"], start="latest")

    starts = await reading.source.starting_positions()
    assert [lane.topic for lane in starts] == ["eqiad.a", "codfw.a", "eqiad.b", "codfw.b"]
    assert reading.source.name == "wm"


async def test_the_request_asks_for_all_streams_as_events_and_names_who_asks() -> None:
    async with serving(saying()) as server:
        await Reading(server.url, streams=["page_change", "visibility"]).all({})

    request = server.requests[0]
    assert request.line == "GET /v2/stream/page_change,visibility HTTP/1.1"
    assert request.fields["accept"] == "text/event-stream"
    assert request.fields["accept-encoding"] == "identity"
    assert "(ops@example.org)" in request.fields["user-agent"]


async def test_resuming_names_every_topic_by_its_own_time_less_the_overlap() -> None:
    positions = {EAST: Position(500, NOON_US), WEST: Position(70, NOON_US - 3600 * SECOND)}
    async with serving(saying()) as server:
        await Reading(server.url, overlap="90s").all(positions)

    assert server.requests[0].asked == {EQIAD: NOON - 90_000, CODFW: NOON - 3_690_000}


async def test_a_lane_without_a_position_is_named_too_from_the_start_on() -> None:
    async with serving(saying()) as server:
        await Reading(server.url).all({EAST: Position(500, NOON_US)})

    assert server.requests[0].asked == {EQIAD: NOON - 120_000, CODFW: NOON + 480_000}


@pytest.mark.parametrize(
    ("start", "time"),
    [
        ("latest", NOW),
        ("earliest", NOW - 7 * 86_400 * SECOND),
        (datetime(2026, 9, 27, 11, tzinfo=UTC), NOON_US - 3600 * SECOND),
    ],
)
async def test_lanes_start_where_the_setting_says(start: object, time: int) -> None:
    async with serving(saying(frame(EQIAD, 900, time // 1000 - NOON))) as server:
        reading = Reading(server.url, start=start)
        assert await reading.source.starting_positions() == {EAST: Position(0, time), WEST: Position(0, time)}

        assert [type(item) for item in await reading.all({})] == [Record]
    assert server.requests[0].asked == dict.fromkeys((EQIAD, CODFW), time // 1000 - 120_000)


async def test_an_instant_older_than_what_is_kept_is_told_as_lost() -> None:
    instant = datetime(2026, 9, 1, tzinfo=UTC)
    items = await read_all(start=instant, positions={})

    kept = NOW - 7 * 86_400 * SECOND
    after = Position(0, int(instant.timestamp()) * SECOND)
    assert items == [Lost(lane, after, Position(-1, kept), "retention") for lane in (EAST, WEST)]


async def test_records_of_the_overlap_are_marked_as_read_again() -> None:
    records = await read_records(
        frame(EQIAD, 480, -90_000), frame(CODFW, 70, 5_000), frame(EQIAD, 499, 0), frame(EQIAD, 500, 0)
    )

    assert places(records) == [(EQIAD, 480, True), (CODFW, 70, False), (EQIAD, 499, True), (EQIAD, 500, False)]


async def test_a_renumbered_datacentre_is_no_loss_when_the_overlap_proves_it() -> None:
    items = await read_all(frame(EQIAD, 8_000, -90_000), frame(EQIAD, 8_020, 0), frame(EQIAD, 8_021, 10))

    assert places(items) == [(EQIAD, 8_000, True), (EQIAD, 8_020, True), (EQIAD, 8_021, False)]
    assert len(items) == 3


async def test_a_jump_is_told_before_the_record_that_shows_it_and_once() -> None:
    items = await read_all(frame(EQIAD, 640, 60_000), frame(EQIAD, 790, 61_000), frame(CODFW, 70, 70_000))

    assert items[0] == Lost(EAST, START[EAST], Position(640, NOON_US + 60 * SECOND), "jump")
    assert places(items) == [(EQIAD, 640, False), (EQIAD, 790, False), (CODFW, 70, False)]
    assert len(items) == 4


WEEK = timedelta(days=7) // timedelta(microseconds=1)
OLD = {EAST: Position(500, NOON_US), WEST: Position(70, NOW - WEEK - 1)}
KEPT = NOW - WEEK


async def test_a_position_older_than_retention_is_told_as_lost_at_once() -> None:
    async with serving(silent) as server, aclosing(Reading(server.url).source.read(OLD)) as items:
        async with asyncio.timeout(DEADLINE):
            assert await anext(items) == Lost(WEST, OLD[WEST], Position(-1, KEPT), "retention")


async def test_what_is_still_there_from_before_a_loss_is_read_and_moves_nothing() -> None:
    before, after = KEPT // 1000 - NOON - 100_000, KEPT // 1000 - NOON + 5
    items = await read_all(frame(CODFW, 90, before), frame(CODFW, 95, after), positions=OLD)

    assert [type(item) for item in items] == [Lost, Record, Record]
    assert places(items) == [(CODFW, 90, True), (CODFW, 95, False)]


async def test_the_earliest_start_is_no_loss_when_connecting_took_a_while() -> None:
    started = {lane: Position(0, KEPT - 3600 * SECOND) for lane in (EAST, WEST)}

    assert await read_all(start="earliest", positions=started) == []


async def test_a_clock_of_ours_that_stepped_ahead_opens_no_gap() -> None:
    async def dated(connection: Connection) -> None:
        await connection.head(Date="Sun, 27 Sep 2026 12:00:00 GMT")
        await connection.send(frame(CODFW, 69, (OLD[WEST].time - NOON_US) // 1000), frame(CODFW, 70, 0))
        await connection.end()

    async with serving(dated) as server:
        items = await Reading(server.url).all(OLD)

    assert [type(item) for item in items] == [Record, Record]


async def test_a_lane_that_stays_silent_is_told_as_lost_once() -> None:
    async with serving(saying()) as server:
        reading = Reading(server.url)
        assert len(await reading.all(OLD)) == 1

        reading.now += 900 * SECOND
        assert await reading.all({**OLD, WEST: Position(70, KEPT)}) == []


async def test_a_lane_that_was_listened_to_has_lost_nothing_however_old_its_last_record() -> None:
    async with serving(saying()) as server:
        reading = Reading(server.url, retention="12m", overlap="1m")
        assert await reading.all() == []

        reading.now += 600 * SECOND
        assert await reading.all() == []
        assert len(await reading.all({**START, WEST: Position(70, NOON_US + 1)})) == 1

        reading.now += 3600 * SECOND
        assert len(await reading.all()) == 2


async def test_an_id_by_offset_leaves_the_time_to_meta_dt() -> None:
    ids = json.dumps([{"topic": EQIAD, "partition": 0, "offset": 501}]).encode()
    record = (await read_records(b"id: " + ids + b"\ndata: " + value(EQIAD, 500, 7_123) + b"\n\n"))[0]

    assert record.published == NOON_US + 7_123_000


@pytest.mark.parametrize("ids", [b"", b"id: 7\n", b"id: [\n", b'id: [{"topic": 1}]\n'])
async def test_without_a_legible_id_the_time_is_meta_dt(ids: bytes) -> None:
    record = (await read_records(ids + b"data: " + value(EQIAD, 500, 7_123) + b"\n\n"))[0]

    assert (record.at.offset, record.published) == (500, NOON_US + 7_123_000)


@pytest.mark.parametrize("dt", ["null", "7", '"yesterday"', '"2026-13-27T12:00:00Z"'])
async def test_without_any_time_a_record_has_that_of_the_one_before(dt: str) -> None:
    text = b'{"meta": {"topic": "%b", "partition": 0, "offset": 501, "dt": %b}}' % (EQIAD.encode(), dt.encode())
    records = await read_records(frame(EQIAD, 500, 3_000), b"data: " + text + b"\n\n")

    assert [record.published for record in records] == [NOON_US + 3 * SECOND] * 2
    assert not records[1].again


BROKEN = [
    b"not JSON",
    b"",
    b'{"meta": {}}',
    b'{"page": 1}',
    b"[]",
    b"null",
    b'{"meta": {"topic": "codfw.page_change", "partition": 0, "offset": -1}}',
    b'{"meta": {"topic": "codfw.page_change", "partition": 0, "offset": 9223372036854775807}}',
    b'{"meta": {"topic": "codfw.page_change", "partition": 0, "offset": "71"}}',
    b"[" * 100_000,
    b'{"a": "\xff\xfe", "meta": 5}',
]


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
async def test_a_record_without_coordinates_has_those_that_its_id_tells_and_is_not_lost(broken: bytes) -> None:
    both = event_id([(EQIAD, 100), (CODFW, 200)])
    records = await read_records(
        b"id: " + event_id([(EQIAD, 100), (CODFW, 0)]) + b"\ndata: " + value(EQIAD, 500, 100) + b"\n\n",
        b"id: " + both + b"\ndata: " + broken + b"\n\n",
        b"id: " + both + b"\ndata: " + value(CODFW, 71, 300) + b"\n\n",
    )

    assert places(records) == [(EQIAD, 500, False), (CODFW, 70, False), (CODFW, 71, False)]
    assert (records[1].value, records[1].published) == (broken, NOON_US + 200_000)


async def test_a_record_without_coordinates_or_id_is_told_as_the_first_lanes_and_moves_none() -> None:
    records = await read_records(frame(EQIAD, 500, 10), b"data: broken\n\n", frame(EQIAD, 502, 20))

    assert places(records) == [(EQIAD, 500, False), (EQIAD, 501, True), (EQIAD, 502, False)]
    assert records[1].published == NOON_US + 10_000


async def test_a_record_without_coordinates_that_begins_a_connection_moves_none_whatever_its_id() -> None:
    broken = b"id: " + event_id([(EQIAD, 50_000), (CODFW, 50_000)]) + b"\ndata: broken\n\n"
    records = await read_records(broken)

    assert [record.again for record in records] == [True]


async def test_a_lane_of_nothing_but_broken_records_moves_on() -> None:
    broken = [b"id: " + event_id([(EQIAD, ms)]) + b"\ndata: broken\n\n" for ms in (-50_000, 0, 10, 20)]
    records = await read_records(*broken)

    assert [record.again for record in records] == [True, True, False, False]


async def test_a_record_of_twenty_megabytes_is_read_whole_in_bounded_memory() -> None:
    large = b'{"a": "' + b"x" * (20 * 2**20 - 100) + b'"}'
    large = large[:-1] + b', "meta": {"topic": "%b", "partition": 0, "offset": 500}}' % EQIAD.encode()
    pieces = [large[at : at + 2**18] for at in range(0, len(large), 2**18)]

    tracemalloc.start()
    try:
        records = await read_records(b"data: ", *pieces, b"\n\n", frame(EQIAD, 501, 5))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [record.at.offset for record in records] == [500, 501]
    assert records[0].value == large
    assert peak < 5 * len(large)


async def test_a_record_past_the_limit_is_cut_just_beyond_it_and_costs_no_other() -> None:
    ids = event_id([(CODFW, 40)])
    records = await read_records(
        frame(EQIAD, 500, 5),
        b"id: " + ids + b"\ndata: " + value(CODFW, 70, 40, text="x" * 5_000) + b"\n\n",
        frame(CODFW, 71, 50),
        frame(EQIAD, 501, 60),
        record_bytes="1KiB",
    )

    assert places(records)[1:] == [(CODFW, 70, False), (CODFW, 71, False), (EQIAD, 501, False)]
    assert len(records[1].value or b"") == 1025
    with pytest.raises(UnreadableRecord) as caught:
        decode(records[1], max_bytes=1024)
    assert caught.value.reason == Reason.TOO_LARGE


async def test_a_record_of_the_very_limit_is_read_whole() -> None:
    padding = 1024 - len(value(EQIAD, 500, 5, text=""))
    records = await read_records(frame(EQIAD, 500, 5, text="x" * padding), record_bytes="1KiB")

    assert len(records[0].value or b"") == 1024
    assert records[0].value == value(EQIAD, 500, 5, text="x" * padding)


STREAM = b"".join(
    [
        OK,
        frame(EQIAD, 480, -9_000),
        frame(EQIAD, 500, 100, text="päge\u2028 " * 30),
        b": a comment\r\n\r\n",
        b"data: broken\r\rdata\r\r",
        frame(CODFW, 75, 90).replace(b"\n", b"\r\n"),
        frame(EQIAD, 502, 300, text="x" * 3_000),
        frame(EQIAD, 503, 400),
    ]
)


async def served_in(pieces: list[bytes]) -> list[Record | Lost]:
    async with serving(saying(*pieces)) as server:
        return await Reading(server.url, record_bytes="2KiB").all()


@pytest.fixture(scope="module")
def whole() -> list[Record | Lost]:
    """What the stream brings when it is sent at once."""
    items = asyncio.run(served_in([STREAM]))
    assert [type(item) for item in items] == [Record] * 4 + [Lost] + [Record] * 3
    return items


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, len(STREAM) - 1), max_size=40))
def test_however_the_bytes_are_cut_the_records_are_the_same(cuts: list[int], whole: list[Record | Lost]) -> None:
    bounds = [0, *sorted(set(cuts)), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(bounds)]

    assert asyncio.run(served_in(pieces)) == whole


async def test_a_stream_sent_byte_by_byte_has_the_same_records(whole: list[Record | Lost]) -> None:
    assert await served_in([STREAM[at : at + 1] for at in range(len(STREAM))]) == whole


async def test_a_body_that_ends_in_good_order_ends_the_reading() -> None:
    async with serving(saying(frame(EQIAD, 500, 5))) as server:
        reading = Reading(server.url)
        assert len(await reading.all()) == 1

    assert reading.endings == {"ended": 1}
    assert reading.vitals.connects == 1


async def test_a_record_cut_off_by_a_good_end_is_left_to_the_next_connection() -> None:
    whole, half = frame(EQIAD, 500, 5), frame(EQIAD, 501, 6)

    for cut in (1, len(half) // 2, len(half) - 1):
        assert len(await read_all(whole, half[:cut])) == 1


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_body_cut_in_the_middle_of_a_record_is_told_after_what_came_whole(how: str) -> None:
    read = asyncio.Event()

    async def cut(connection: Connection) -> None:
        await connection.head()
        await connection.send(OK, frame(EQIAD, 500, 5), frame(EQIAD, 501, 6)[:50])
        await read.wait()
        if how == "reset":
            connection.reset()

    async with serving(cut) as server:
        reading = Reading(server.url)
        async with asyncio.timeout(DEADLINE), aclosing(reading.source.read(START)) as items:
            assert isinstance(await anext(items), Record)
            assert reading.vitals.connected
            read.set()
            with pytest.raises(SourceUnavailable, match="was cut") as caught:
                await anext(items)

    assert "Nothing is lost" in caught.value.remedy
    assert reading.endings == {"cut": 1}


async def test_reading_goes_on_at_the_position_reached() -> None:
    async def cut(connection: Connection) -> None:
        await connection.head()
        await connection.send(frame(EQIAD, 500, 5), frame(EQIAD, 501, 80_000))
        await connection.until_left()

    async with serving(cut, saying(frame(EQIAD, 501, 80_000), frame(EQIAD, 502, 80_000))) as server:
        reading = Reading(server.url)
        async with aclosing(reading.source.read(START)) as items:
            assert [places([await anext(items)])[0][1] for _ in range(2)] == [500, 501]
        again = await reading.records({**START, EAST: Position(502, NOON_US + 80 * SECOND)})

    assert server.requests[1].asked[EQIAD] == NOON - 40_000
    assert places(again) == [(EQIAD, 501, True), (EQIAD, 502, False)]


async def test_silence_ends_the_reading() -> None:
    async with serving(silent) as server:
        reading = Reading(server.url, idle_timeout="1s")
        _, error = await reading.until_unavailable()

    assert str(error) == f"localhost:{server.port} sent nothing for 1 s"
    assert reading.endings == {"idle": 1}


async def test_anything_that_comes_feeds_the_watchdog() -> None:
    async def slow(connection: Connection) -> None:
        await connection.head()
        for piece in (b":", b"ok\n", b"\n", b": still", b" here\n", frame(EQIAD, 500, 5, domain="canary")):
            await asyncio.sleep(0.4)  # less than the limit each time, more in all
            await connection.send(piece)
        await connection.end()

    async with serving(slow) as server:
        assert len(await Reading(server.url, idle_timeout="1s").all()) == 1


async def test_an_error_frame_ends_the_reading_and_is_not_quoted() -> None:
    error_frame = b'event: error\ndata: {"message": "unmentionable"}\n\n'
    async with serving(saying(frame(EQIAD, 500, 5), error_frame, frame(EQIAD, 501, 6))) as server:
        reading = Reading(server.url)
        items, error = await reading.until_unavailable()

    assert len(items) == 1
    assert "unmentionable" not in f"{error}{error.remedy}"
    assert reading.endings == {"error_frame": 1}


@pytest.mark.parametrize(
    ("status", "fields", "ending", "wait"),
    [
        (429, {}, "throttled", None),
        (429, {"Retry-After": "7"}, "throttled", 7.0),
        (429, {"Retry-After": "Sun, 27 Sep 2026 12:11:00 GMT"}, "throttled", 60.0),
        (
            429,
            {"Retry-After": "Sun, 27 Sep 2026 12:11:00 GMT", "Date": "Sun, 27 Sep 2026 12:10:50 GMT"},
            "throttled",
            10,
        ),
        (429, {"Retry-After": "whenever"}, "throttled", None),
        (408, {}, "unavailable", None),
        (500, {}, "unavailable", None),
        (502, {"Content-Type": HTML}, "unavailable", None),
        (503, {"Retry-After": "120"}, "unavailable", 120.0),
        (200, {"Content-Type": HTML}, "not_a_stream", None),
        (200, {"Content-Type": "application/json"}, "not_a_stream", None),
        (200, {"Content-Type": "text/event-streams"}, "not_a_stream", None),
        (202, {}, "not_a_stream", None),
    ],
)
async def test_what_is_no_stream_now_is_told_and_tried_again(
    status: int, fields: dict[str, str], ending: str, wait: float | None
) -> None:
    async with serving(answering(status, **fields)) as server:
        reading = Reading(server.url)
        items, error = await reading.until_unavailable()

    assert items == []
    assert str(error).startswith(f"localhost:{server.port} answered {status}")
    assert error.remedy
    assert "unmentionable" not in f"{error}{error.remedy}"
    assert error.retry_after == wait
    assert reading.endings == {ending: 1}
    assert reading.vitals.connects == 0


async def test_a_page_instead_of_a_stream_is_told_by_its_type() -> None:
    async with serving(answering(200, Content_Type=HTML)) as server:
        _, error = await Reading(server.url).until_unavailable()

    assert str(error).endswith("answered 200 with text/html, not with an event stream")
    assert "login page" in error.remedy


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, "streams"), (401, "url"), (403, "http.contact"), (404, "streams"), (407, "HTTPS_PROXY"), (418, "url")],
)
async def test_a_request_that_is_refused_is_told_with_what_to_change(status: int, hint: str) -> None:
    async with serving(answering(status)) as server:
        reading = Reading(server.url)
        with pytest.raises(SourceRefused, match=f"answered {status}") as caught:
            await reading.all()

    assert hint in caught.value.remedy
    assert reading.endings == {"refused": 1}


@pytest.mark.parametrize(
    ("topic", "told"),
    [
        ("esams.page_change", r" esams\.page_change\[0\],"),
        ("eqiad.other", r" eqiad\.other\[0\],"),
        ("Straße?\n", "no topic's name"),
    ],
)
async def test_a_topic_that_was_not_asked_for_is_refused_and_not_dropped(topic: str, told: str) -> None:
    with pytest.raises(SourceRefused, match=told) as caught:
        await read_all(frame(EQIAD, 500, 5), frame(topic, 1, 6))

    assert "datacentres" in caught.value.remedy
    assert "Straße" not in str(caught.value)


async def test_another_partition_of_a_topic_is_refused_likewise() -> None:
    with pytest.raises(SourceRefused, match=r"\[1\], which was not asked for"):
        await read_all(frame(EQIAD, 500, 5).replace(b'"partition": 0, "offset": 500', b'"partition": 1, "offset": 500'))


async def test_a_server_that_is_not_there_is_told(unused_tcp_port: int) -> None:
    reading = Reading(f"http://localhost:{unused_tcp_port}")
    _, error = await reading.until_unavailable()

    assert "cannot be reached: Connection refused" in str(error)
    assert reading.endings == {"unreachable": 1}
    assert reading.vitals.connects == 0


async def test_a_redirect_is_followed_with_the_place_to_go_on() -> None:
    async def elsewhere(connection: Connection) -> None:
        await connection.raw(b"HTTP/1.1 302 Said\r\nLocation: /v3/there\r\nContent-Length: 0\r\n\r\n")

    async with serving(elsewhere, saying(frame(EQIAD, 500, 5))) as server:
        assert len(await Reading(server.url).all()) == 1

    assert server.requests[1].line == "GET /v3/there HTTP/1.1"
    assert server.requests[1].asked == {EQIAD: NOON - 120_000, CODFW: NOON - 120_000}


async def test_it_is_read_over_tls_with_a_private_authority_and_through_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async with serving(saying(frame(EQIAD, 500, 5)), tls=context) as server, proxying() as (proxy, asked):
        assert len(await Reading(server.url).all()) == 1
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
        assert len(await Reading(server.url).all()) == 1

    assert [request.line.split()[0] for request in asked] == ["CONNECT"]


async def test_reading_no_further_holds_the_sender_back() -> None:
    sent = 0

    async def endless(connection: Connection) -> None:
        nonlocal sent
        await connection.head()
        while True:
            await connection.send(frame(EQIAD, 500 + sent, sent, text="x" * 2_000) * 20)
            sent += 1

    async with serving(endless) as server, aclosing(Reading(server.url).source.read(START)) as items:
        async with asyncio.timeout(DEADLINE):
            await anext(items)
            await steady(lambda: sent)
            assert sent * 40_000 < 16 * 2**20
            before = sent
            for _ in range(20 * (before + 5)):
                await anext(items)
        assert sent > before


async def steady(measure: Callable[[], int]) -> None:
    """Wait until a number has stopped growing."""
    last, still = measure(), 0
    while still < 20:
        await asyncio.sleep(0.02)  # the pace of looking, not a guess at how long it takes
        still = still + 1 if measure() == last else 0
        last = measure()


@pytest.fixture
async def endless_server() -> AsyncIterator[tuple[Server, asyncio.Event]]:
    """A server that sends without end, and an event that tells when it has been left."""
    left = asyncio.Event()

    async def endless(connection: Connection) -> None:
        try:
            await connection.head()
            for number in range(10**9):
                await connection.send(frame(EQIAD, 500 + number, number))
        finally:
            left.set()

    async with serving(endless) as server:
        yield server, left


async def test_closing_between_two_records_leaves_at_once(endless_server: tuple[Server, asyncio.Event]) -> None:
    server, left = endless_server
    reading = Reading(server.url)
    async with asyncio.timeout(DEADLINE):
        async with aclosing(reading.source.read(START)) as items:
            await anext(items)
        await left.wait()

    assert reading.endings == {"stopped": 1}


async def test_cancelling_while_it_waits_for_a_record_leaves_at_once() -> None:
    joined, left = asyncio.Event(), asyncio.Event()

    async def quiet(connection: Connection) -> None:
        await connection.head()
        joined.set()
        await connection.until_left()
        left.set()

    async with serving(quiet) as server, asyncio.timeout(DEADLINE):
        reading = Reading(server.url)
        task = asyncio.create_task(reading.all())
        await joined.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await left.wait()

    assert reading.endings == {"stopped": 1}


async def test_cancelling_while_it_waits_for_an_answer_leaves_at_once() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def mute(connection: Connection) -> None:
        asked.set()
        await connection.until_left()
        left.set()

    async with serving(mute) as server, asyncio.timeout(DEADLINE):
        task = asyncio.create_task(Reading(server.url).all())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await left.wait()


async def test_sources_of_one_process_share_the_two_connections_that_a_host_allows() -> None:
    async with serving(silent) as server, AsyncExitStack() as stack:
        client = HttpClient("ops@example.org")
        tasks = []
        for name in ("one", "two", "three"):
            source_settings = EventStreamsSettings(type="eventstreams", url=server.url, streams=["page_change"])
            source = EventStreams(name, source_settings, client, Vitals(name), lambda: NOW)
            reading = await stack.enter_async_context(aclosing(source.read({})))
            tasks.append(asyncio.ensure_future(anext(reading)))
        async with asyncio.timeout(DEADLINE):
            done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.wait(tasks)

        assert len(done) == 1
        error = done.pop().exception()
        assert isinstance(error, SourceUnavailable)
        assert "2 connections to localhost" in str(error)


async def test_acknowledging_does_nothing() -> None:
    await Reading("http://localhost").source.acknowledge(START)
