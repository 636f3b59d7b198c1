"""`wikimirror run` as a process of its own: its log lines as they come, its probes and metrics, its signals, its end.

async with Daemon(config) as daemon:
    line = await daemon.line("first write")
    await daemon.kill()
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

DEADLINE: Final = 60.0
"""Seconds that anything may take, unless told otherwise."""
_PROGRAM: Final = Path(sys.executable).with_name("wikimirror")
_LONGEST_LINE: Final = 2**24
_TOLD: Final = 30
"""Last lines of the log that a failed wait quotes."""


class Answer(NamedTuple):
    """What a probe said."""

    status: int
    body: dict[str, Any]


class Scrape(NamedTuple):
    """One answer of /metrics: values by (series, source)."""

    values: dict[tuple[str, str], float]

    def of(self, series: str, source: str) -> float:
        """The sum over the other labels; 0 where nothing is told."""
        return self.values.get((series, source), 0.0)


class Daemon:
    """One process. What is still running when the block is left is killed."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._reading: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._next: dict[str, int] = {}
        self._came = asyncio.Event()
        self.started = 0.0
        """Monotonic."""
        self.log: list[dict[str, Any]] = []
        """Every line so far that is JSON, each with `heard`: when it was read, monotonic."""
        self.stderr = bytearray()
        self.stdout = bytearray()

    async def __aenter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WIKIMIRROR_", "PG"))}
        self.started = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            _PROGRAM, "run", "--json", "--config", self._config,
            env=kept, cwd=self._config.parent, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=_LONGEST_LINE,
        )  # fmt: skip
        self._reading = [asyncio.create_task(self._read_log()), asyncio.create_task(self._read_report())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        if self._session is not None:
            await self._session.close()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def status(self) -> int | None:
        """The exit code, negative for a signal; None: it runs."""
        return self._running.returncode

    @property
    def report(self) -> dict[str, Any]:
        """What it said on standard output at its end."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    def lines(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """All such lines so far."""
        return [line for line in self.log if _is(line, event, fields)]

    async def line(self, event: str, *, within: float = DEADLINE, **fields: object) -> dict[str, Any]:
        """The next line that says this; asked again for the same `event` it is the one after. Fails if none comes."""
        deadline = time.monotonic() + within
        while True:
            # The end is looked up first: lines that came before it must not be missed.
            ended = all(task.done() for task in self._reading)
            for number in range(self._next.get(event, 0), len(self.log)):
                if _is(self.log[number], event, fields):
                    self._next[event] = number + 1
                    return self.log[number]
            left = deadline - time.monotonic()
            assert not ended, f"ended ({self.status}) without saying {event!r}: {self.tail}"
            assert left > 0, f"{within} s without {event!r}: {self.tail}"
            self._came.clear()
            try:
                async with asyncio.timeout(left):
                    await self._came.wait()
            except TimeoutError:
                continue

    def skip(self, event: str) -> None:
        """Of such lines those that came so far are not waited for any more."""
        self._next[event] = len(self.log)

    def send(self, sign: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.status is None:
            self._running.send_signal(sign)

    def freeze(self) -> None:
        """Stop it where it is."""
        self.send(signal.SIGSTOP)

    def wake(self) -> None:
        """Let a frozen one go on."""
        self.send(signal.SIGCONT)

    async def kill(self) -> None:
        """End it where it is, and read what it said last."""
        self.send(signal.SIGKILL)
        await self.end()

    async def stop(self, sign: signal.Signals = signal.SIGTERM, *, within: float = DEADLINE) -> int:
        """Ask it to drain and wait until it has ended; the exit code."""
        self.send(sign)
        return await self.end(within=within)

    async def end(self, *, within: float = DEADLINE) -> int:
        """Wait until it has ended; the exit code."""
        try:
            async with asyncio.timeout(within):
                await asyncio.wait(self._reading)
                return await self._running.wait()
        except TimeoutError:
            raise AssertionError(f"{within} s without an end: {self.tail}") from None

    async def get(self, path: str) -> Answer:
        """Ask a probe. The setting admin.listen must be on; `127.0.0.1:0` is any free port."""
        status, text = await self._get(path)
        return Answer(status, json.loads(text))

    async def metrics(self) -> Scrape:
        """Scrape once."""
        status, text = await self._get("/metrics")
        assert status == 200
        values: dict[tuple[str, str], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, sample.labels.get("source", ""))
                values[key] = values.get(key, 0.0) + sample.value
        return Scrape(values)

    @property
    def tail(self) -> str:
        """The last lines of its log, for a failure's message."""
        lines = bytes(self.stderr).decode(errors="replace").splitlines()
        return "\n".join([f"pid {self._running.pid}, {len(lines)} lines", *lines[-_TOLD:], bytes(self.stdout).decode()])

    async def _get(self, path: str) -> tuple[int, str]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE))
        url = self.lines("probes and metrics")[0]["url"]
        async with self._session.get(f"{url}{path}") as answer:
            return answer.status, await answer.text()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def _read_log(self) -> None:
        assert self._running.stderr is not None
        async for raw in self._running.stderr:
            self.stderr += raw
            self.log.extend(_parsed(raw))
            self._came.set()
        self._came.set()

    async def _read_report(self) -> None:
        assert self._running.stdout is not None
        self.stdout += await self._running.stdout.read()
        self._came.set()


async def first_to_read(daemons: Iterable[Daemon]) -> Daemon:
    """The one that next says that it reads: of several that wait for a lease, nobody knows which gets it."""
    waits = {asyncio.create_task(each.line("reading")): each for each in daemons}
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(waits)
    (first,) = done
    first.result()
    return waits[first]


def _parsed(raw: bytes) -> Iterator[dict[str, Any]]:
    try:
        line = json.loads(raw)
    except ValueError:
        return
    if isinstance(line, dict):
        yield {**line, "heard": time.monotonic()}


def _is(line: dict[str, Any], event: str, fields: dict[str, object]) -> bool:
    return line.get("event") == event and all(line.get(name) == value for name, value in fields.items())
