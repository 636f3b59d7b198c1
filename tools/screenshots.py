"""Take the pictures of the status page in docs/pictures, of a daemon that follows a simulated wiki.

Needs Chromium (Debian's package; another one by $CHROMIUM). The last picture is of a bad night: records that cannot be
read, a retraction among them, and a source that is away.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
from playwright.async_api import Browser, async_playwright

from wikimirror.app.live import follow
from wikimirror.app.places import Place
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.rehearsal import (
    NO_FAULTS,
    STREAMS,
    WIKIS,
    Answer,
    EventStreamsServer,
    Faults,
    Log,
    publish,
    simulate_day,
)
from wikimirror.settings import Reloader

TARGET: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"
CHROMIUM: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_RUNBOOKS: Final = "https://wikis.example.org/runbooks"
_ACTIONS: Final = 9_000
_RATE: Final = 120.0
"""Records a second: of the order of Wikimedia's own."""
_LONGEST: Final = 90.0
"""Seconds that anything may take."""


class Picture(NamedTuple):
    """How a picture is taken."""

    name: str
    width: int
    height: int
    scheme: str


def main() -> int:
    """0: written."""
    asyncio.run(_take_all())
    return 0


async def _take_all() -> None:
    async with AsyncExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="wm-")))
        log = Log()
        server = await opened.enter_async_context(EventStreamsServer(log))
        postgres = await opened.enter_async_context(EmbeddedPostgres(directory / "postgres", fsync=False))
        day = await asyncio.to_thread(simulate_day, 7, _ACTIONS)
        publication = publish(day, log, rate=_RATE)
        opened.callback(publication.cancel)
        port = _free_port()
        config = _settings(directory, server.url, postgres.dsn(), port)
        await opened.enter_async_context(_following(config, Place(postgres.dsn(), embedded=False)))
        playwright = await opened.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened.push_async_callback(browser.close)
        page = _Page(f"http://127.0.0.1:{port}", browser)
        await page.until(_is_well)
        await page.take(Picture("status-phone", 390, 844, "dark"))
        await page.take(Picture("status-desktop", 1120, 960, "light"))
        _spoil(log)
        await page.until(_has_set_aside)
        server.faults = Faults(answer=Answer.UNAVAILABLE, answers=10_000, cut_after=0)
        await page.until(_is_away)
        await page.take(Picture("status-trouble", 390, 1240, "light"))
        server.faults = NO_FAULTS


class _Page:
    """The page of one daemon, in one browser."""

    def __init__(self, url: str, browser: Browser) -> None:
        self._url, self._browser = url, browser

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for a status."""
        async with aiohttp.ClientSession(self._url) as session, asyncio.timeout(_LONGEST):
            while True:
                with suppress(aiohttp.ClientConnectionError):
                    async with session.get("/status.json") as answer:
                        if holds(await answer.json()):
                            return
                await asyncio.sleep(0.5)

    async def take(self, picture: Picture) -> None:
        """Write one picture."""
        context = await self._browser.new_context(
            viewport={"width": picture.width, "height": picture.height},
            color_scheme="dark" if picture.scheme == "dark" else "light",
        )
        page = await context.new_page()
        await page.goto(self._url)
        path = TARGET / f"{picture.name}.png"
        await page.screenshot(path=path)
        await context.close()
        print(f"{path.name}: {path.stat().st_size // 1024} KiB")


def _is_well(status: dict[str, Any]) -> bool:
    return bool(status["level"] == "well" and len(status["lanes"]) > 1 and status["sources"][0]["read"] > 20 * _RATE)


def _has_set_aside(status: dict[str, Any]) -> bool:
    return bool(status["backlog"]["retractions_set_aside"])


def _is_away(status: dict[str, Any]) -> bool:
    return bool(status["sources"][0]["state"] == "waiting")


def _spoil(log: Log) -> None:
    """Records that cannot be read: some that are no JSON, and a deletion in a version that nobody here knows."""
    topic = "eqiad.mediawiki.page_change.v1"
    for number in range(3):
        log.append(topic, b"{" * (number + 1))
    deletion = next(value for value in _values(log) if json.loads(value).get("page_change_kind") == "delete")
    unknown = json.loads(deletion) | {"$schema": "/mediawiki/page/change/9.0.0"}
    log.append(topic, json.dumps(unknown).encode())


def _values(log: Log) -> list[bytes]:
    _, entries = log.read(0, 100_000)
    return [entry.value for entry in entries if entry.value is not None]


def _settings(directory: Path, source: str, postgres: str, port: int) -> Path:
    path = directory / "wikimirror.toml"
    path.write_text(
        f"""
[postgres]
url = "{postgres}"
[http]
contact = "screenshots@example.org"
[scope]
wikis = {json.dumps(list(WIKIS))}
[admin]
listen = "127.0.0.1:{port}"
runbooks = "{_RUNBOOKS}"
[sources.eventstreams]
type = "eventstreams"
url = "{source}"
streams = {json.dumps(list(STREAMS))}
start = "earliest"
overlap = "1s"
""",
        encoding="utf-8",
    )
    return path


@asynccontextmanager
async def _following(config: Path, place: Place) -> AsyncIterator[None]:
    reloader = Reloader(config)
    daemon = asyncio.create_task(follow(reloader.current().settings, place, reloader))
    try:
        yield
    finally:
        daemon.cancel()
        await asyncio.wait({daemon})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
