"""The served wiki misbehaves as it is told, and no more."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest

from tests.rehearsal.served import GOOD, HERE, T0, Client, Stream, compact, eventually, filled, said, serving
from wikimirror.rehearsal import Answer, Cut, Faults, Log
from wikimirror.rehearsal.streams import PLAIN

SOON = 0.05
"""Seconds."""


async def numbers_to_the_end(stream: Stream) -> list[int]:
    """The records up to the end of the body, which is one in good order."""
    return [json.loads(part.partition(b"data: ")[2])["n"] for part in (await stream.rest()).split(b"\n\n") if part]


async def test_a_clean_cut_after_some_records_ends_the_body_in_good_order() -> None:
    async with serving(filled(600), Faults(cut_after=300)) as client, client.stream() as stream:
        assert await numbers_to_the_end(stream) == list(range(300))
        assert client.server.counts.cuts == 1


async def test_a_cut_after_no_record_ends_the_body_after_the_greeting() -> None:
    async with serving(filled(1), Faults(cut_after=0)) as client, client.stream() as stream:
        assert await stream.rest() == b""


async def test_a_cut_in_mid_record_sends_a_part_of_the_next_one_and_never_ends_the_body() -> None:
    async with serving(filled(9), Faults(cut=Cut.MID_RECORD, cut_after=3)) as client, client.stream() as stream:
        assert await stream.numbers(3) == [0, 1, 2]
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()
        assert client.server.counts.cuts == 1


async def test_what_a_cut_in_mid_record_leaves_is_a_beginning_of_the_next_frame() -> None:
    async with serving(filled(9), Faults(cut=Cut.MID_RECORD, cut_after=3)) as client:
        reader, writer = await asking_for_all(client)
        async with asyncio.timeout(10):
            received = await reader.read()
        writer.close()
        await writer.wait_closed()
    last = received.split(b"\n\n")[-1]
    assert b"event: message\nid: [" in last
    assert not received.endswith(b"0\r\n\r\n")


async def asking_for_all(client: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket on which a stream from its beginning was asked for; it holds little, so the test says when it reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port, limit=2**10)
    writer.write(f"GET /v2/stream/{PLAIN}?since=1 HTTP/1.1\r\nHost: here\r\nUser-Agent: a@b\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("cut", Cut)
async def test_a_cut_after_some_seconds_ends_a_busy_stream_and_an_idle_one(cut: Cut) -> None:
    for log in (filled(3), Log()):
        async with serving(log, Faults(cut=cut, cut_seconds=SOON)) as client:
            began = time.monotonic()
            async with client.stream() as stream:
                if cut is Cut.CLEAN:
                    await stream.rest()
                else:
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await stream.rest()
            assert SOON <= time.monotonic() - began < 5
            assert client.server.counts.cuts == 1


async def test_faults_can_be_set_while_streams_are_open() -> None:
    async with serving(filled(2)) as client, client.stream() as one, client.stream() as other:
        await one.numbers(2)
        await other.numbers(2)
        client.server.faults = Faults(cut_after=2)
        assert [await one.rest(), await other.rest()] == [b"", b""]


async def test_a_cut_comes_through_to_a_reader_that_does_not_read() -> None:
    log = Log()
    for number in range(60):
        log.append(HERE, compact({"n": number, "pad": "x" * 2**20, "meta": {"id": "1"}}))
    async with serving(log, Faults(cut_seconds=0.4)) as client:
        reader, writer = await asking_for_all(client)
        await eventually(lambda: client.server.counts.cuts == 1)
        await eventually(lambda: client.server.counts.connections == 0)
        assert client.server.counts.records < 60
        received = bytearray()
        with suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                while chunk := await reader.read(2**20):
                    received += chunk
        assert not received.endswith(b"0\r\n\r\n")
        writer.transport.abort()


async def test_records_are_throttled_to_so_many_a_second() -> None:
    async with serving(filled(200), Faults(records_a_second=400.0)) as client, client.stream() as stream:
        began = time.monotonic()
        assert await stream.numbers(200) == list(range(200))
        took = time.monotonic() - began
        assert 0.44 < took < 1.4
        assert 10 < client.server.counts.throttled <= 200


async def test_bytes_are_throttled_to_so_many_a_second() -> None:
    async with serving(filled(200)) as client, client.get(since=1) as response:
        size = 0
        while size < 200 * 250:
            size += len(await response.content.readany())
    async with serving(filled(200), Faults(bytes_a_second=size * 2.0)) as client, client.stream() as stream:
        began = time.monotonic()
        await stream.numbers(200)
        assert 0.4 < time.monotonic() - began < 1.4


async def test_a_throttled_stream_is_cut_at_its_time_all_the_same() -> None:
    faults = Faults(records_a_second=0.1, cut_seconds=SOON)
    async with serving(filled(5), faults) as client, client.stream() as stream:
        began = time.monotonic()
        assert await numbers_to_the_end(stream) == [0]
        assert time.monotonic() - began < 5


async def test_a_throttle_that_is_taken_away_holds_nothing_back() -> None:
    async with serving(filled(50), Faults(records_a_second=10.0)) as client, client.stream() as stream:
        assert await stream.numbers(2) == [0, 1]
        client.server.faults = GOOD
        began = time.monotonic()
        assert (await stream.numbers(48))[-1] == 49
        assert time.monotonic() - began < 2


async def test_an_answer_may_be_late() -> None:
    async with serving(filled(1), Faults(answer_delay=SOON)) as client:
        began = time.monotonic()
        async with client.stream():
            assert time.monotonic() - began >= SOON


@pytest.mark.parametrize(
    ("answer", "status", "retry_after"),
    [(Answer.HTML, 200, None), (Answer.ERROR, 500, None), (Answer.UNAVAILABLE, 503, "7")],
)
async def test_the_next_requests_are_answered_otherwise_and_those_after_them_as_ever(
    answer: Answer, status: int, retry_after: str | None
) -> None:
    async with serving(filled(1), Faults(answer=answer, answers=2, retry_after=7)) as client:
        for _ in range(2):
            async with client.get(since=1) as response:
                assert response.status == status
                assert response.content_type == "text/html"
                assert response.headers.get("Retry-After") == retry_after
        async with client.stream() as stream:
            assert await stream.numbers(1) == [0]
        assert dict(client.server.counts.refused) == {status: 2}
        client.server.faults = Faults(answer=answer, answers=1)
        async with client.get(since=1) as response:
            assert response.status == status


async def test_an_error_frame_comes_after_some_records_and_ends_the_body() -> None:
    async with serving(filled(9), Faults(error_after=2)) as client, client.stream() as stream:
        frames = await stream.frames(3)
        assert [frame.event for frame in frames] == ["message", "message", "error"]
        assert frames[2].id == frames[1].id
        assert frames[2].record["origin"] == "kafka"
        assert await stream.rest() == b""


async def test_a_frozen_stream_sends_nothing_and_stays_open_until_it_thaws() -> None:
    log = filled(5)
    async with serving(log, Faults(freeze_after=2)) as client, client.stream() as stream:
        await stream.numbers(2)
        log.append(HERE, said(5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await stream.response.content.readany()
        assert client.server.counts.connections == 1
        client.server.faults = GOOD
        assert await stream.numbers(4) == [2, 3, 4, 5]


async def test_a_frozen_stream_can_be_cut_all_the_same() -> None:
    async with serving(filled(5), Faults(freeze_after=2, cut_seconds=SOON)) as client, client.stream() as stream:
        assert await numbers_to_the_end(stream) == [0, 1]


async def test_every_second_connection_reads_a_cluster_that_numbers_otherwise() -> None:
    async with serving(filled(5), Faults(renumbered_by=1000)) as client:
        seen = []
        for _ in range(3):
            async with client.stream(since=T0 + 3) as stream:
                frame = await stream.frame()
                seen.append((frame.record["meta"]["offset"], frame.id[0]["timestamp"], frame.number))
        assert seen == [(3, T0 + 4, 3), (1003, T0 + 4, 3), (3, T0 + 4, 3)]
        place = {"topic": HERE, "partition": 0, "offset": 1002}
        async with client.stream(last_id=[place]) as stream:
            assert (await stream.frame()).record["meta"]["offset"] == 1002


async def test_a_duplicate_is_the_same_frame_twice() -> None:
    async with serving(filled(4), Faults(duplicate_every=2)) as client, client.stream() as stream:
        frames = await stream.frames(6)
        assert [frame.number for frame in frames] == [0, 1, 1, 2, 3, 3]
        assert frames[1] == frames[2]
        await eventually(lambda: client.server.counts.records == 6)


async def test_a_poison_frame_has_data_that_is_not_json() -> None:
    async with serving(filled(2), Faults(poison_every=1)) as client, client.stream() as stream:
        frames = await stream.frames(4)
        assert [frame.number for frame in frames[::2]] == [0, 1]
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(frames[1].data)


async def test_an_oversized_record_is_a_canary_as_large_as_told() -> None:
    size = 2**21
    async with serving(filled(1), Faults(oversized_every=1, oversized_bytes=size)) as client, client.stream() as stream:
        _, large = await stream.frames(2)
        assert size < len(large.data) < size + 1000
        assert large.record["meta"]["domain"] == "canary"
        assert large.record["meta"]["offset"] == 0


async def test_oversized_records_are_larger_than_any_that_is_taken_unless_told_otherwise() -> None:
    assert Faults().oversized_bytes > 20 * 2**20


async def test_the_number_of_streams_at_once_can_be_limited_otherwise_or_not_at_all() -> None:
    async with serving(Log(), Faults(connections=1)) as client, client.stream():
        async with client.get() as response:
            assert response.status == 429
        client.server.faults = replace(client.server.faults, connections=None)
        async with client.stream(), client.stream():
            assert client.server.counts.connections == 3


async def test_a_contact_need_not_be_asked_for() -> None:
    async with serving(Log(), Faults(contact=False)) as client, client.get(headers={"User-Agent": ""}) as response:
        assert response.status == 200
