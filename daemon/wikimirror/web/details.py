"""Reading the details: one question to Postgres at a time, an answer that serves everybody for two seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from wikimirror.errors import WikimirrorError
from wikimirror.mirror.connect import Session
from wikimirror.mirror.recent import Recent, read_recent
from wikimirror.observe.withhold import mask_secrets

KEPT: Final = 2.0
"""Seconds that an answer, or the lack of one, is handed out."""
_LONGEST: Final = 5.0
"""Seconds that reading may take, connecting included. The page then says that Postgres is away."""
_SAID: Final = 300
"""Characters of an error that are repeated."""


class Answer(NamedTuple):
    """What Postgres told, or why it did not. Exactly one is None."""

    recent: Recent | None
    unavailable: str | None


class Details:
    """Reads in a session of its own, which is closed after each reading: nobody may look for hours."""

    def __init__(self, connect: Callable[[], Awaitable[Session]]) -> None:
        """`connect` opens a session that may be read-only."""
        self._connect = connect
        self._lock = asyncio.Lock()
        self._answer: Answer | None = None
        self._answered = 0.0

    async def read(self) -> Answer:
        """What is in Postgres now, or was two seconds ago. Raises nothing that has to do with Postgres."""
        async with self._lock:
            now = asyncio.get_running_loop().time
            if self._answer is None or now() - self._answered >= KEPT:
                self._answer = await self._ask()
                self._answered = now()
            return self._answer

    async def _ask(self) -> Answer:
        try:
            async with asyncio.timeout(_LONGEST):
                return Answer(await self._recent(), None)
        except TimeoutError:
            return Answer(None, f"no answer within {_LONGEST:.0f} s")
        except WikimirrorError as error:
            return Answer(None, mask_secrets(str(error))[:_SAID])

    async def _recent(self) -> Recent:
        session = await self._connect()
        try:
            recent = await read_recent(session)
            await session.close()
        except BaseException:
            # A server that does not answer is not taken leave of.
            session.connection.terminate()
            raise
        return recent
