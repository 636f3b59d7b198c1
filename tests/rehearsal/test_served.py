"""The served wiki speaks EventStreams' protocol: reference upstream.md b.1, KafkaSSE and ES:routes/stream.js."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import trustme

from tests.rehearsal.served import (
    CONTACT,
    HERE,
    SEEN,
    T0,
    THERE,
    Client,
    Json,
    compact,
    eventually,
    filled,
    said,
    serving,
)
from wikimirror.rehearsal import Day, EventStreamsServer, Log, day_to_ndjson, publish
from wikimirror.rehearsal.streams import CONTENT, PLAIN, STREAMS, VISIBILITY


def assigned(**place: Any) -> Json:
    return {"topic": HERE, "partition": 0, **place}


async def test_a_stream_begins_with_a_greeting_and_each_record_is_a_frame_of_three_lines() -> None:
    log = filled(1)
    async with serving(log) as client, client.get(since=1) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert await response.content.readuntil(b"\n\n") == b":ok\n\n"
        assert await response.content.readuntil(b"\n\n") == (
            b"event: message\n"
            b'id: [{"topic":"eqiad.mediawiki.page_change.v1","partition":0,"timestamp":1790000000001},'
            b'{"topic":"codfw.mediawiki.page_change.v1","partition":0,"offset":-1}]\n'
            b'data: {"n":0,"meta":{"stream":"mediawiki.page_change.v1","id":"0",'
            b'"topic":"eqiad.mediawiki.page_change.v1","partition":0,"offset":0}}\n\n'
        )


async def test_a_day_is_served_as_its_capture_says_and_no_byte_else_differs(day: Day) -> None:
    log = Log()
    await publish(day, log)
    async with serving(log) as client, client.stream(",".join(STREAMS)) as stream:
        for line in day_to_ndjson(day):
            assert (await stream.frame()).record == json.loads(line)


async def test_without_a_place_to_begin_a_stream_begins_at_its_live_end() -> None:
    log = filled(3)
    async with serving(log) as client, client.live() as stream:
        log.append(HERE, said(7))
        assert await stream.numbers(1) == [7]


@pytest.mark.parametrize("since", [str(T0 + 2), datetime.fromtimestamp((T0 + 2) / 1000, UTC).isoformat()])
async def test_since_begins_with_the_first_record_of_that_time_or_later(since: str) -> None:
    async with serving(filled(5)) as client, client.stream(since=since) as stream:
        assert await stream.numbers(3) == [2, 3, 4]


async def test_a_date_without_a_zone_is_utc_wherever_the_server_is(in_tokyo: None) -> None:  # noqa: ARG001  # it is a place
    log = Log()
    for number, hour in enumerate(("00:59", "01:00")):
        moment = datetime.fromisoformat(f"2026-09-30T{hour}Z")
        log.append(HERE, said(number), round(moment.timestamp() * 1000))
    async with serving(log) as client, client.stream(since="2026-09-30T01:00") as stream:
        assert await stream.numbers(1) == [1]


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


async def test_since_a_time_after_all_records_is_the_live_end_even_for_records_of_an_earlier_time() -> None:
    log = filled(3)
    async with serving(log) as client, client.stream(since=T0 + 100) as stream:
        log.append(HERE, said(7), T0 + 50)
        assert await stream.numbers(1) == [7]


async def test_times_need_not_rise_and_the_first_late_enough_one_counts() -> None:
    log = Log()
    for number, timestamp in enumerate((T0, T0 + 10, T0 + 5, T0 + 20)):
        log.append(HERE, said(number), timestamp)
    async with serving(log) as client:
        for since, first in ((0, 0), (3, 1), (7, 1), (10, 1), (11, 3)):
            async with client.stream(since=T0 + since) as stream:
                assert await stream.numbers(1) == [first]


async def test_an_id_names_every_topic_of_the_connection_with_the_time_after_its_last_record() -> None:
    log = Log()
    log.append(HERE, said(0), T0)
    log.append(THERE, said(1), T0 + 5)
    log.append(HERE, said(2), T0 + 9)
    async with serving(log) as client, client.stream(f"{PLAIN},{VISIBILITY}") as stream:
        ids = [frame.id for frame in await stream.frames(3)]
    assert [[each["topic"] for each in every] for every in ids] == [
        [HERE, THERE, SEEN, SEEN.replace("eqiad", "codfw")]
    ] * 3
    assert ids[1][:2] == [assigned(timestamp=T0 + 1), {"topic": THERE, "partition": 0, "timestamp": T0 + 6}]
    assert ids[2][:2] == [assigned(timestamp=T0 + 10), {"topic": THERE, "partition": 0, "timestamp": T0 + 6}]
    assert all(each == {"topic": each["topic"], "partition": 0, "offset": -1} for each in ids[2][2:])


async def test_a_topic_to_be_read_from_the_past_is_in_ids_with_the_offset_found_for_it() -> None:
    log = filled(4)
    log.append(THERE, said(4), T0 + 4)
    async with serving(log) as client, client.stream(since=T0 + 3) as stream:
        assert (await stream.frame()).id[1] == {"topic": THERE, "partition": 0, "offset": 0}


async def test_topics_are_merged_in_the_order_of_arrival() -> None:
    log = Log()
    for number in range(40):
        log.append((HERE, SEEN, THERE)[number % 3], said(number), T0)
    async with serving(log) as client:
        async with client.stream(f"{PLAIN},{VISIBILITY}") as stream:
            assert await stream.numbers(40) == list(range(40))
        async with client.stream(VISIBILITY) as stream:
            assert await stream.numbers(13) == list(range(1, 40, 3))


async def test_a_last_event_id_replaces_the_assignment_and_a_topic_that_it_does_not_name_is_never_sent() -> None:
    log = filled(2)
    async with serving(log) as client, client.stream(last_id=[assigned(timestamp=T0)]) as stream:
        await stream.numbers(2)
        log.append(THERE, said(8))
        log.append(HERE, said(9))
        frame = await stream.frame()
    assert frame.number == 9
    assert [each["topic"] for each in frame.id] == [HERE]


async def test_each_topic_begins_at_a_place_of_its_own() -> None:
    log = Log()
    for number in range(8):
        log.append((HERE, THERE)[number % 2], said(number), T0)
    places = [assigned(offset=0), {"topic": THERE, "partition": 0, "offset": 2}]
    async with serving(log) as client, client.stream(last_id=places) as stream:
        assert await stream.numbers(6) == [0, 2, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("place", "first"),
    [
        ({"timestamp": T0 + 3}, 3),
        ({"offset": 4}, 4),
        ({"offset": 4, "timestamp": T0}, 4),
        ({"offset": 0}, 0),
        ({"offset": 6}, 99),
        ({"offset": -1}, 99),
        ({"offset": -1, "timestamp": T0}, 99),
        ({"offset": 1000}, 99),
        ({"timestamp": T0 + 1000}, 99),
    ],
)
async def test_an_offset_wins_over_a_timestamp_and_what_is_not_there_is_the_live_end(place: Json, first: int) -> None:
    log = filled(6)
    async with serving(log) as client, client.stream(last_id=[assigned(**place)], since=1) as stream:
        log.append(HERE, said(99))
        assert await stream.numbers(1) == [first]


async def test_whoever_resumes_by_the_id_of_a_frame_loses_the_other_records_of_its_millisecond() -> None:
    log = Log()
    for number, timestamp in enumerate((T0, T0, T0 + 1)):
        log.append(HERE, said(number), timestamp)
    async with serving(log) as client:
        async with client.stream() as stream:
            last_id = (await stream.frame()).id
        async with client.stream(last_id=last_id) as stream:
            assert await stream.numbers(1) == [2]


async def test_a_null_record_takes_an_offset_and_is_not_sent() -> None:
    log = filled(1)
    log.append(HERE, None)
    log.append(HERE, said(2))
    async with serving(log) as client, client.stream() as stream:
        assert [frame.record["meta"]["offset"] for frame in await stream.frames(2)] == [0, 2]


async def test_a_value_that_is_no_json_object_is_sent_as_it_is() -> None:
    log = filled(1)
    log.append(HERE, b"{not json")
    async with serving(log) as client, client.stream() as stream:
        assert [frame.data for frame in await stream.frames(2)][1] == b"{not json"


async def test_who_accepts_json_gets_a_record_a_line_without_ids() -> None:
    log = filled(2)
    async with serving(log) as client, client.get(since=1, headers={"Accept": "application/json"}) as response:
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert await response.content.readline() == b"\n"
        lines = [json.loads(await response.content.readline()) for _ in range(2)]
    assert [line["n"] for line in lines] == [0, 1]
    assert lines[1]["meta"]["offset"] == 1


async def test_every_reader_that_waits_gets_a_record_at_once() -> None:
    log = Log()
    async with serving(log) as client, client.live() as one, client.live() as other:
        began = time.monotonic()
        log.append(HERE, said(1))
        assert [await one.numbers(1), await other.numbers(1)] == [[1], [1]]
        assert time.monotonic() - began < 1


async def test_after_the_start_of_the_log_moved_offsets_count_on_and_what_is_gone_is_not_sent() -> None:
    log = filled(10)
    assert log.expire(T0 + 4) == 4
    async with serving(log) as client:
        async with client.stream(since=1) as stream:
            frames = await stream.frames(6)
            assert [frame.record["meta"]["offset"] for frame in frames] == [4, 5, 6, 7, 8, 9]
        async with client.stream(since=T0 + 7) as stream:
            assert await stream.numbers(1) == [7]
        async with client.stream(last_id=[assigned(offset=3)]) as stream:
            assert log.append(HERE, said(99)).offset == 10
            assert await stream.numbers(1) == [99]


async def test_a_reader_that_is_overtaken_by_the_start_of_the_log_goes_on_from_there() -> None:
    log = filled(2)
    async with serving(log) as client, client.stream() as stream:
        await stream.numbers(2)
        for number in range(2, 10):
            log.append(HERE, said(number), T0 + number)
        log.expire(T0 + 4)
        assert await stream.numbers(6) == [4, 5, 6, 7, 8, 9]


# What is refused.


@pytest.mark.parametrize("streams", ["mediawiki.unheard-of", f"{PLAIN},nothing", ","])
async def test_an_unknown_stream_is_answered_with_400_and_json_that_names_it(streams: str) -> None:
    async with serving(Log()) as client, client.get(streams) as response:
        assert response.status == 400
        assert "Invalid streams" in (await response.json())["detail"]


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "NaN"])
async def test_a_since_that_is_no_time_is_answered_with_400(since: str) -> None:
    async with serving(Log()) as client, client.get(since=since) as response:
        assert response.status == 400
        assert (await response.json())["type"] == "invalid_timestamp"


@pytest.mark.parametrize(
    "last_id",
    [
        [], {}, "eqiad", [1], [{"topic": HERE, "partition": 0}], [{"topic": HERE, "timestamp": 1}],
        [assigned(offset="1")], [assigned(timestamp=1.5)], [assigned(timestamp=True)],
        [{**assigned(offset=1), "topic": 1}],
    ],
)  # fmt: skip
async def test_a_bad_last_event_id_is_answered_with_400(last_id: object) -> None:
    async with serving(filled(1)) as client, client.get(last_id=last_id) as response:
        assert response.status == 400
        assert (await response.json())["type"] == "invalid_assignment"


async def test_a_last_event_id_that_is_not_json_is_answered_with_400() -> None:
    async with serving(filled(1)) as client, client.get(headers={"Last-Event-ID": "[{"}) as response:
        assert response.status == 400


async def test_a_topic_of_no_asked_stream_is_answered_with_404() -> None:
    async with serving(filled(1)) as client, client.get(VISIBILITY, last_id=[assigned(offset=0)]) as response:
        assert response.status == 404
        assert HERE in (await response.json())["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", f"/v2/stream/{PLAIN}"),
        ("POST", f"/v2/stream/{PLAIN}"),
        ("GET", "/v2/stream/"),
        ("GET", f"/v1/stream/{PLAIN}"),
        ("GET", "/"),
    ],
)
async def test_whatever_else_is_asked_is_answered_with_404(method: str, path: str) -> None:
    async with serving(Log()) as client, client.session.request(method, client.server.url + path) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("agent", "status"),
    [("", 403), ("Python/3.11 aiohttp/3.14", 403), (CONTACT, 200), ("mirror/1 (https://example.org)", 200)],
)
async def test_a_user_agent_without_a_contact_is_answered_with_403(agent: str, status: int) -> None:
    async with serving(Log()) as client, client.get(headers={"User-Agent": agent}) as response:
        assert response.status == status


async def test_a_third_stream_at_once_is_answered_with_429_until_one_of_the_two_is_left() -> None:
    async with serving(filled(1)) as client:
        async with client.stream():
            async with client.stream(), client.get(since=1) as response:
                assert response.status == 429
                assert response.headers["Retry-After"] == "1"
            await eventually(lambda: client.server.counts.connections == 1)
            async with client.stream() as stream:
                assert await stream.numbers(1) == [0]
        counts = client.server.counts
        await eventually(lambda: counts.connections == 0)
        assert (counts.requests, counts.most_connections, dict(counts.refused)) == (4, 3, {429: 1})


# The server.


async def test_a_server_counts_what_it_did() -> None:
    log = filled(5)
    async with serving(log) as client:
        async with client.stream() as stream:
            await stream.numbers(5)
            assert client.server.counts.connections == 1
        async with client.get("nothing"):
            pass
        counts = client.server.counts
        await eventually(lambda: counts.connections == 0)
    assert (counts.requests, counts.records, counts.most_connections) == (2, 5, 1)
    assert dict(counts.refused) == {400: 1}
    assert (counts.cuts, counts.throttled, counts.redacted) == (0, 0, 0)


async def test_a_stream_with_nothing_to_send_notices_that_its_client_left() -> None:
    async with serving(Log()) as client:
        async with client.live():
            assert client.server.counts.connections == 1
        await eventually(lambda: client.server.counts.connections == 0)


async def test_a_server_that_leaves_cuts_its_streams_and_another_can_take_its_port() -> None:
    log = filled(1)
    async with serving(log) as client, client.stream() as stream:
        await stream.numbers(1)
        began = time.monotonic()
        await client.server.__aexit__(None, None, None)
        assert time.monotonic() - began < 2
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get(since=1)
        async with EventStreamsServer(log, port=client.server.port) as again:
            assert again.url == client.server.url
            async with client.stream() as anew:
                assert await anew.numbers(1) == [0]


async def test_several_servers_may_serve_one_log() -> None:
    log = filled(1)
    async with serving(log) as one, serving(log) as other, one.stream() as here, other.stream() as there:
        log.append(HERE, said(1))
        assert [await here.numbers(2), await there.numbers(2)] == [[0, 1], [0, 1]]


async def test_it_speaks_https_with_a_certificate_of_a_private_authority() -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with EventStreamsServer(filled(3), tls=tls) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        session = aiohttp.ClientSession(headers={"User-Agent": CONTACT}, connector=aiohttp.TCPConnector(ssl=trusting))
        async with session, Client(session, server).stream() as stream:
            assert await stream.numbers(3) == [0, 1, 2]


async def test_twenty_thousand_records_of_two_kilobytes_take_less_than_three_seconds_of_a_processor() -> None:
    log, count = Log(), 20_000
    value = compact({"text": "x" * 1900, "meta": {"stream": CONTENT}})
    for number in range(count):
        log.append(f"eqiad.{STREAMS[number % 3]}", value, T0 + number)
    async with serving(log) as client, client.get(",".join(STREAMS), since=1) as response:
        began, seen, tail = time.process_time(), 0, b""
        async with asyncio.timeout(30):
            while seen < count:
                data = tail + await response.content.readany()
                seen += data.count(b"}\n\n")
                tail = b"" if data.endswith(b"}\n\n") else data[-2:]
        # Client and server are both in here. Unloaded it is a third of a second.
        assert time.process_time() - began < 3
