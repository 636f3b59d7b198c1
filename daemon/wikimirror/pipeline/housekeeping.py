"""What is done now and then beside the pipelines: the ledger's partitions, and a look at what waits for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from wikimirror.errors import WikimirrorError
from wikimirror.mirror.backlog import read_backlog
from wikimirror.mirror.connect import Session
from wikimirror.mirror.ledger import ensure_partitions, prune
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.logging import get_logger
from wikimirror.pipeline.writing import Connect

_LOG = get_logger(__name__)
_LOOK_EVERY: Final = 15.0
"""Seconds between two looks at the backlog."""
_TIDY_EVERY: Final = 3600.0
"""Seconds between two looks at the ledger's partitions."""
_AHEAD: Final = timedelta(days=31)


async def tidy_ledger(session: Session, keep: timedelta | None) -> None:
    """Partitions for this month and the next are there, and what is older than `keep` is not."""
    today = datetime.now(tz=UTC).date()
    await ensure_partitions(session, today, today + _AHEAD)
    if keep is not None:
        for pruned in await prune(session, keep):
            _LOG.info("ledger pruned", partition=pruned.partition, pruned=pruned.rows)


class Housekeeper:
    """Runs until it is cancelled. What fails is told and done next time: nothing here holds up a pipeline."""

    def __init__(self, connect: Connect, *, keep: timedelta | None, on_backlog: Callable[[Backlog], None]) -> None:
        self._connect = connect
        self._keep = keep
        self._on_backlog = on_backlog
        self._session: Session | None = None
        self._tidied: float | None = None

    async def run(self) -> None:
        """Look, tidy, sleep, again."""
        try:
            while True:
                try:
                    await self._once()
                except WikimirrorError as error:
                    # The pipelines meet the same server and say so aloud.
                    _LOG.debug("housekeeping waits", reason=str(error))
                    self._abandon()
                except Exception as error:  # noqa: BLE001  # whatever it was, the ledger needs its partitions next month
                    _LOG.warning("housekeeping failed, and is done again later", exc_info=error)
                    self._abandon()
                await asyncio.sleep(_LOOK_EVERY)
        finally:
            self._abandon()

    async def _once(self) -> None:
        if self._session is None:
            self._session = await self._connect()
        now = asyncio.get_running_loop().time()
        if self._tidied is None or now - self._tidied >= _TIDY_EVERY:
            await tidy_ledger(self._session, self._keep)
            self._tidied = now
        self._on_backlog(await read_backlog(self._session))

    def _abandon(self) -> None:
        if self._session is not None:
            self._session.connection.terminate()
            self._session = None
