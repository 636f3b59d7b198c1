"""What is done now and then beside the pipelines.

The ledger's partitions, a look at what waits for a person, and telling the other processes of this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from wikimirror.errors import WikimirrorError
from wikimirror.mirror.backlog import read_backlog
from wikimirror.mirror.connect import Session
from wikimirror.mirror.ledger import ensure_partitions, prune
from wikimirror.mirror.members import Member, leave, note_members
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.logging import get_logger
from wikimirror.observe.telemetry import Telemetry
from wikimirror.pipeline.writing import Connect

_LOG = get_logger(__name__)
_TELL_EVERY: Final = 5.0
"""Seconds between two tellings of this process: how old is what `wikimirror status` says of it."""
_LOOK_EVERY: Final = 15.0
"""Seconds between two looks at the backlog."""
_TIDY_EVERY: Final = 3600.0
"""Seconds between two looks at the ledger's partitions."""
_AHEAD: Final = timedelta(days=31)
_FAREWELL: Final = 2.0
"""Seconds that taking this process out of the members may take; without it the others see that it is gone."""


async def tidy_ledger(session: Session, keep: timedelta | None) -> None:
    """Partitions for this month and the next are there, and what is older than `keep` is not."""
    today = datetime.now(tz=UTC).date()
    await ensure_partitions(session, today, today + _AHEAD)
    if keep is not None:
        for pruned in await prune(session, keep):
            _LOG.info("ledger pruned", partition=pruned.partition, pruned=pruned.rows)


def members_of(telemetry: Telemetry, holder: str) -> list[Member]:
    """What the process of that name tells of each source that it follows, as it is now."""
    return [
        Member(
            source=source,
            holder=holder,
            member_id=(vitals := telemetry.vitals[source]).member_id,
            role=verdict.role,
            state=verdict.state,
            lanes=vitals.lanes,
            seconds_behind=verdict.seconds_behind,
            records_behind=vitals.all_records_behind,
            in_flight=vitals.accounts.in_flight,
            version=telemetry.build.version,
        )
        for source, verdict in telemetry.verdicts().items()
    ]


def _nobody() -> Sequence[Member]:
    return ()


class Housekeeper:
    """Runs until it is cancelled. What fails is told and done next time: nothing here holds up a pipeline."""

    def __init__(
        self,
        connect: Connect,
        *,
        keep: timedelta | None,
        on_backlog: Callable[[Backlog], None],
        members: Callable[[], Sequence[Member]] = _nobody,
    ) -> None:
        """`members` gives what this process is to the sources that it follows, as it is at that moment."""
        self._connect = connect
        self._keep = keep
        self._on_backlog = on_backlog
        self._members = members
        self._told: set[str] = set()
        self._session: Session | None = None
        self._tidied: float | None = None
        self._looked: float | None = None

    async def run(self) -> None:
        """Tell, look, tidy, sleep, again. In the end nothing is told of this process any more."""
        try:
            while True:
                for work in (self._tell, self._look, self._tidy):
                    await self._attempt(work)
                await asyncio.sleep(_TELL_EVERY)
        finally:
            await self._leave()

    async def _attempt(self, work: Callable[[Session], Awaitable[None]]) -> None:
        """What fails keeps nothing else from being done."""
        try:
            if self._session is None:
                self._session = await self._connect()
            await work(self._session)
        except WikimirrorError as error:
            # The pipelines meet the same server and say so aloud.
            _LOG.debug("housekeeping waits", reason=str(error))
            self._abandon()
        except Exception as error:  # noqa: BLE001  # whatever it was, the ledger needs its partitions next month
            _LOG.warning("housekeeping failed, and is done again later", exc_info=error)
            self._abandon()
        except BaseException:
            # Cut off in a statement, perhaps: what the session is in the middle of is not known.
            self._abandon()
            raise

    async def _tell(self, session: Session) -> None:
        if members := self._members():
            self._told.update(member.holder for member in members)
            await note_members(session, members)

    async def _look(self, session: Session) -> None:
        if self._due(self._looked, _LOOK_EVERY):
            self._on_backlog(await read_backlog(session))
            self._looked = self._now()

    async def _tidy(self, session: Session) -> None:
        if self._due(self._tidied, _TIDY_EVERY):
            await tidy_ledger(session, self._keep)
            self._tidied = self._now()

    def _due(self, done: float | None, every: float) -> bool:
        return done is None or self._now() - done >= every

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_FAREWELL):
                for holder in self._told:
                    self._session = self._session or await self._connect()
                    await leave(self._session, holder)
        except (TimeoutError, WikimirrorError) as error:
            _LOG.debug("did not take leave", reason=str(error))
        finally:
            self._abandon()

    def _abandon(self) -> None:
        if self._session is not None:
            self._session.connection.terminate()
            self._session = None
