"""A source whose connections do what a test says, and records to go through it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.wire.records import page, page_change, revision
from wikimirror.errors import WikimirrorError
from wikimirror.model import Coordinates, Lane, Lost, Position, Record
from wikimirror.sources import Positions

SOURCE = "scripted"
TOPIC = "eqiad.mediawiki.page_change.v1"
LANE = Lane(SOURCE, TOPIC, 0)
BEGINNING = Position(0)

Step = Record | Lost | WikimirrorError | asyncio.Event | Callable[[], None]
"""Yield it; raise it; wait for it; call it."""


def edits(first: int, count: int, *, size: int = 0, again: bool = False) -> list[Record]:
    """Edits of pages of their own, one each, at consecutive offsets from `first`; `size` bytes of a long summary."""
    return [_edit(offset, size, again=again) for offset in range(first, first + count)]


def _edit(offset: int, size: int, *, again: bool) -> Record:
    said = page_change(page=page(page_id=10 + offset), revision=revision(5001 + offset, comment="x" * size))
    said["meta"]["id"] = f"edit {offset}"
    now = time.time_ns() // 1000
    return Record(Coordinates(SOURCE, TOPIC, 0, offset), json.dumps(said).encode(), now, now, again)


@dataclass
class Scripted:
    """Each connection follows the next script; after the last the source is quiet until it is closed."""

    scripts: list[Sequence[Step]]
    start: Position = BEGINNING
    name: str = SOURCE
    asked: list[Positions] = field(default_factory=list)
    """The positions that each connection was asked for."""
    acknowledged: dict[Lane, Position] = field(default_factory=dict)
    closed: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever something is acknowledged or asked for."""
    sent: int = 0

    async def starting_positions(self) -> Positions:
        return {LANE: self.start}

    async def read(self, positions: Positions) -> AsyncGenerator[Record | Lost]:
        self.asked.append(dict(positions))
        self.changed.set()
        script: Iterable[Step] | None = self.scripts.pop(0) if self.scripts else None
        try:
            for step in [asyncio.Event()] if script is None else script:
                if isinstance(step, WikimirrorError):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, (Record, Lost)):
                    self.sent += 1
                    yield step
                else:
                    step()
        finally:
            self.closed += 1

    async def acknowledge(self, positions: Positions) -> None:
        self.acknowledged.update(positions)
        self.changed.set()

    async def until(self, holds: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until something holds, looking whenever something was acknowledged or asked for."""
        async with asyncio.timeout(seconds):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def until_applied(self, position: int) -> None:
        """Wait until everything before a position is durable."""
        await self.until(lambda: self.acknowledged.get(LANE, Position(0)).offset >= position)
