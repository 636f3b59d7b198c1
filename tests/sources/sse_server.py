"""A server that does as a test's script says, byte by byte: over real sockets, in TLS if wanted, and a proxy for it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

DEADLINE = 20.0
EQIAD, CODFW = "eqiad.page_change", "codfw.page_change"
NOON = 1_790_510_400_000
"""Milliseconds since the epoch: a noon in 2026."""


@dataclass
class Request:
    """The head of a request: its first line, and its fields by lower-cased name."""

    line: str
    fields: dict[str, str]

    @property
    def asked(self) -> dict[str, Any]:
        """The milliseconds that Last-Event-ID asks each topic for."""
        entries = json.loads(self.fields["last-event-id"])
        assert all(entry.keys() == {"topic", "partition", "timestamp"} for entry in entries)
        return {entry["topic"]: entry["timestamp"] for entry in entries}


class Connection:
    """The server's end of one connection, with its request read."""

    def __init__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self._reader = reader
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int = 200, **fields: str) -> None:
        """Answer; a body in chunks follows. Underscores in names are dashes."""
        said = {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"}
        said |= {name.replace("_", "-"): value for name, value in fields.items()}
        lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in said.items()), "", ""]
        await self.raw("\r\n".join(lines).encode())

    async def send(self, *pieces: bytes) -> None:
        """Send pieces of the body, an HTTP chunk and a segment each."""
        for piece in pieces:
            if piece:
                await self.raw(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def end(self) -> None:
        """End the body in good order."""
        await self.raw(b"0\r\n\r\n")

    def go_deaf(self) -> None:
        """Take nothing in any more, not even that the other side leaves."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can read too

    def reset(self) -> None:
        """Break off with a reset instead of an end."""
        connected: socket.socket = self._writer.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def until_left(self) -> None:
        """Wait until the other side has closed."""
        async with asyncio.timeout(DEADLINE):
            with suppress(ConnectionError):
                while await self._reader.read(2**16):
                    pass


Script = Callable[[Connection], Awaitable[None]]


@dataclass
class Server:
    """A running server: what it was asked, how many connections it has now and had at most."""

    port: int
    scheme: str
    requests: list[Request] = field(default_factory=list)
    open: int = 0
    most: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"


@asynccontextmanager
async def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve, each connection by the next script, the last script by all further ones. A script that fails is raised."""
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.open += 1
        server.most = max(server.most, server.open)
        try:
            request = await _request(reader)
            if request is not None:
                script = scripts[min(len(server.requests), len(scripts) - 1)]
                server.requests.append(request)
                await script(Connection(request, reader, writer))
        except ConnectionError:
            pass
        except Exception as failure:  # noqa: BLE001  # told at the end
            failures.append(failure)
        finally:
            server.open -= 1
            writer.transport.abort() if tls else writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async with _listening(serve, tls) as port:
        server = Server(port, "https" if tls else "http")
        yield server
    if failures:
        raise failures[0]


@asynccontextmanager
async def proxying(only: str = "") -> AsyncIterator[tuple[str, list[Request]]]:
    """An HTTP proxy, for CONNECT and for whole URLs: its host and port, and what it was asked.

    `only`: the one Proxy-Authorization that it lets pass; else it answers 407.
    """
    asked: list[Request] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _request(reader)
        if request is None:
            return
        asked.append(request)
        verb, target, _ = request.line.split(" ")
        if only and request.fields.get("proxy-authorization") != only:
            writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        place, _, path = target.removeprefix("http://").partition("/")
        host, _, port = place.rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        if verb == "CONNECT":
            writer.write(b"HTTP/1.1 200 Go on\r\n\r\n")
        else:
            fields = "".join(f"{name}: {value}\r\n" for name, value in request.fields.items())
            there[1].write(f"{verb} /{path} HTTP/1.1\r\n{fields}\r\n".encode())
        try:
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        finally:
            there[1].close()
            writer.close()

    async with _listening(serve, None) as port:
        yield f"localhost:{port}", asked


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None
) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(accept, "localhost", 0, ssl=tls, family=socket.AF_INET)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head.decode().strip().split("\r\n")
    return Request(line, {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)})


def value(topic: str, offset: int, ms: int, **more: Any) -> bytes:
    """A record as the service sends it, published at `ms` milliseconds after NOON."""
    meta = {"topic": topic, "partition": 0, "offset": offset, "dt": when(ms), "domain": "en.wikipedia.org"}
    return json.dumps({"page": {"page_title": "Straße"}, **more, "meta": meta}, ensure_ascii=False).encode()


def when(ms: int) -> str:
    """A time as records write it, in milliseconds after NOON."""
    seconds, rest = divmod(ms, 1000)
    return f"2026-09-27T12:{seconds // 60:02}:{seconds % 60:02}.{rest:03}Z"


def event_id(times: Iterable[tuple[str, int]]) -> bytes:
    """The id that follows a record: for each topic a millisecond after its newest."""
    entries = [{"topic": topic, "partition": 0, "timestamp": NOON + ms + 1} for topic, ms in times]
    return json.dumps(entries).encode()


def frame(topic: str, offset: int, ms: int, **more: Any) -> bytes:
    """A record's frame; the id names its own topic and one that never had a record."""
    other = json.dumps({"topic": "other.page_change", "partition": 0, "offset": -1}).encode()
    ids = event_id([(topic, ms)])[:-1] + b", " + other + b"]"
    return b"event: message\nid: " + ids + b"\ndata: " + value(topic, offset, ms, **more) + b"\n\n"
