"""A reader of a served log over a real socket: what it gets, frame by frame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from wikimirror.rehearsal import EventStreamsServer, Faults, Log
from wikimirror.rehearsal.streams import PLAIN, VISIBILITY

Json = dict[str, Any]
CONTACT = "wikimirror-tests/0 (tests@example.org)"
HERE, THERE = f"eqiad.{PLAIN}", f"codfw.{PLAIN}"
SEEN = f"eqiad.{VISIBILITY}"
T0 = 1_790_000_000_000
"""An instant, in milliseconds."""
GOOD = Faults()


class Frame(NamedTuple):
    event: str
    id: list[Json]
    data: bytes

    @property
    def record(self) -> Json:
        record: Json = json.loads(self.data)
        return record

    @property
    def number(self) -> int:
        """Which of the records that `said` made."""
        number: int = self.record["n"]
        return number


class Stream:
    """An open answer."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.greeting = b""

    async def frame(self) -> Frame:
        """The next frame. IncompleteReadError when the body ends before it, in whatever way."""
        event, frame_id, data = [
            line.partition(b": ")[2] for line in (await self._until(b"\n\n")).removesuffix(b"\n\n").split(b"\n")
        ]
        return Frame(event.decode(), json.loads(frame_id), data)

    async def frames(self, count: int) -> list[Frame]:
        return [await self.frame() for _ in range(count)]

    async def numbers(self, count: int) -> list[int]:
        return [(await self.frame()).number for _ in range(count)]

    async def greet(self) -> None:
        self.greeting = await self._until(b"\n\n")

    async def rest(self) -> bytes:
        """All up to the end of the body. ClientPayloadError when that is no end in good order."""
        async with asyncio.timeout(10):
            return await self.response.content.read()

    async def line(self) -> bytes:
        return await self._until(b"\n")

    async def _until(self, end: bytes) -> bytes:
        async with asyncio.timeout(10):
            found: bytes = await self.response.content.readuntil(end)
        if not found.endswith(end):
            raise asyncio.IncompleteReadError(found, None)
        return found


class Client:
    """A client of one server, with a session of its own."""

    def __init__(self, session: aiohttp.ClientSession, server: EventStreamsServer) -> None:
        self.session, self.server = session, server

    def get(self, streams: str = PLAIN, **query: Any) -> Any:
        """A raw request. `last_id` is given as JSON, `headers` as they are; the rest is the query."""
        headers = dict(query.pop("headers", {}))
        if "last_id" in query:
            headers["Last-Event-ID"] = json.dumps(query.pop("last_id"))
        return self.session.get(f"{self.server.url}/v2/stream/{streams}", params=query, headers=headers)

    @asynccontextmanager
    async def stream(self, streams: str = PLAIN, **query: Any) -> AsyncIterator[Stream]:
        """A stream that was greeted, by default from the beginning of the log."""
        if "since" not in query and "last_id" not in query:
            query["since"] = 1
        async with self.get(streams, **query) as response:
            assert response.status == 200, await response.text()
            stream = Stream(response)
            await stream.greet()
            yield stream

    @asynccontextmanager
    async def live(self, streams: str = PLAIN) -> AsyncIterator[Stream]:
        """A stream from the live end."""
        async with self.get(streams) as response:
            assert response.status == 200, await response.text()
            stream = Stream(response)
            await stream.greet()
            yield stream


@asynccontextmanager
async def serving(log: Log, faults: Faults = GOOD, **options: Any) -> AsyncIterator[Client]:
    """A server of a log, and a client of it."""
    session = aiohttp.ClientSession(headers={"User-Agent": CONTACT}, read_bufsize=2**26)
    async with EventStreamsServer(log, faults, **options) as server, session:
        yield Client(session, server)


def said(number: int) -> bytes:
    """A record of no meaning."""
    return compact({"n": number, "meta": {"stream": PLAIN, "id": str(number)}})


def compact(record: Json) -> bytes:
    """JSON without spaces, as the event platform writes it."""
    return json.dumps(record, separators=(",", ":")).encode()


def filled(count: int, topic: str = HERE) -> Log:
    """A log with records 0, 1, … in one topic, published a millisecond apart."""
    log = Log()
    for number in range(count):
        log.append(topic, said(number), T0 + number)
    return log


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds, at most 10 seconds."""
    async with asyncio.timeout(10):
        while not condition():  # what is waited for has no signal of its own
            await asyncio.sleep(0.001)
