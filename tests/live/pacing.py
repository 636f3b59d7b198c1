"""Publishing a day in shares, one for each kill."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from wikimirror.rehearsal import Publication

_LOOK: Final = 0.002


class Pace:
    """Publishes so that no part of the day is left over, nor missing, while daemons are killed: within `async with`."""

    def __init__(self, publication: Publication, kills: int) -> None:
        self._publication = publication
        self._kills = kills
        self._due = 0
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        self._running.cancel()

    def after(self, kills: int) -> None:
        """So many have been killed: the share of the next may be published."""
        self._due = self._publication.total * (kills + 1) // self._kills
        self._publication.resume()

    async def _run(self) -> None:
        while True:
            if self._publication.published >= self._due:
                self._publication.pause()
            await asyncio.sleep(_LOOK)
