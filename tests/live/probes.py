"""Waiting for what a daemon's probes and metrics say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from tests.live.daemon import Daemon, Scrape
from tests.live.world import SOURCE

DEADLINE: Final = 30.0
"""Seconds that anything may take, unless told otherwise."""
_LOOK: Final = 0.02


async def until_answers(daemon: Daemon, path: str, status: int, why: str = "", *, within: float = DEADLINE) -> None:
    """Wait until a probe answers so, and says that of the source."""
    said: Any = None
    try:
        async with asyncio.timeout(within):
            while True:
                said = await daemon.get(path)
                if said.status == status and why in said.body["sources"][SOURCE]["why"]:
                    return
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        raise AssertionError(f"{within} s without {status} {why!r}, but {json.dumps(said)}: {daemon.tail}") from None


async def until_metrics(daemon: Daemon, hold: Callable[[Scrape], bool], *, within: float = DEADLINE) -> Scrape:
    """Wait until what is scraped holds; what it was then."""
    scrape = await daemon.metrics()
    try:
        async with asyncio.timeout(within):
            while not hold(scrape):
                await asyncio.sleep(_LOOK)
                scrape = await daemon.metrics()
    except TimeoutError:
        raise AssertionError(f"{within} s without it, the metrics are {scrape}: {daemon.tail}") from None
    return scrape
