"""A TCP proxy that does to connections what networks do: cuts, resets, delays, half-open silence, a lost reply.

It stands between the daemon and Postgres, or between the daemon and the source, on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 64 * 1024
COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message that ends a transaction, as Postgres's protocol (version 3, simple query) writes it."""
_SUBSTANTIAL: Final = 2048
"""Bytes. A piece of data from a server that is larger holds more than a mere confirmation."""


class Proxy:
    """Listens on 127.0.0.1 and forwards each connection to one port of the same machine.

    `listen`: the port that it listens on; 0: any free one.
    """

    def __init__(self, port: int, *, listen: int = 0) -> None:
        self._target = port
        self._listen = listen
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        """Seconds that each piece of data is held back, either way."""
        self.refusing = False
        """New connections are closed at once."""
        self.lose_commits = 0
        """That many replies to COMMIT will be lost with their connection, after the server has sent them."""
        self.commits_lost = 0
        self.mute_at_commit = False
        """When the next COMMIT comes, every connection is muted before it passes: within a transaction."""
        self.tear = 0
        """That many substantial pieces of data from the server will be passed on by half, and then cut off."""
        self.torn = 0
        self.accepted = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for pair in list(self._pairs):
            pair.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def connections(self) -> int:
        """Those over which data can pass."""
        return sum(pair.passes for pair in self._pairs)

    def cut(self) -> int:
        """End every connection in good order (FIN), wherever it is; how many they were."""
        return sum(pair.cut() for pair in list(self._pairs))

    def reset(self) -> int:
        """End every connection with a reset (RST); how many they were."""
        return sum(pair.reset() for pair in list(self._pairs))

    def mute(self) -> int:
        """Make every connection half-open, as a router does that forgets them; how many they were.

        Nothing passes over them any more, not even their end, until the proxy closes. New ones work.
        """
        return sum(pair.mute() for pair in list(self._pairs))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        try:
            if self.refusing:
                return
            theirs = await asyncio.open_connection("127.0.0.1", self._target)
            pair = _Pair(writer, theirs[1])
            self._pairs.add(pair)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, theirs[1], pair, from_client=True))
                    group.create_task(self._pump(theirs[0], writer, pair, from_client=False))
            finally:
                self._pairs.discard(pair)
                pair.close()
        except* OSError:
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair, *, from_client: bool
    ) -> None:
        while True:
            data = await reader.read(_CHUNK)
            if self.delay:
                await asyncio.sleep(self.delay)
            await pair.speaking.wait()
            if not data:
                break
            if from_client and self.mute_at_commit and data.endswith(COMMIT):
                self.mute_at_commit = False
                self.mute()
            if from_client and pair.passes and self.lose_commits and data.endswith(COMMIT):
                self.lose_commits -= 1
                pair.losing = True
            elif not from_client and pair.losing:
                # The server has answered, so it is durable; the client will never know.
                self.commits_lost += pair.reset()
                return
            torn = not from_client and pair.passes and self.tear > 0 and len(data) > _SUBSTANTIAL
            if pair.passes:
                with contextlib.suppress(OSError):
                    writer.write(data[: len(data) // 2] if torn else data)
                    await writer.drain()
            if torn:
                self.tear -= 1
                self.torn += pair.cut()
        pair.close()


class _Pair:
    """Both ends of a connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._ends = (client, server)
        self.losing = False
        self.passes = True
        self.speaking = asyncio.Event()
        self.speaking.set()

    def close(self) -> None:
        self.passes = False
        for end in self._ends:
            end.close()

    def cut(self) -> bool:
        """Tell each end that the other has no more to say; what still comes from either is dropped."""
        before, self.passes = self.passes, False
        for end in self._ends if before else ():
            # Closing would do, but makes a reset of it where something was not read yet.
            with contextlib.suppress(OSError):
                end.write_eof()
        return before

    def reset(self) -> bool:
        before, self.passes = self.passes, False
        for end in self._ends if before else ():
            connection = end.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()
        return before

    def mute(self) -> bool:
        before, self.passes = self.passes, False
        self.speaking.clear()
        return before
