"""What is done now and then beside the pipelines.

The ledger's partitions, a look at what waits for a person, and telling the other processes of this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from wikimirror.errors import WikimirrorError
from wikimirror.mirror.backlog import read_backlog
from wikimirror.mirror.connect import Session
from wikimirror.mirror.lanes import forget_lanes, note_lanes
from wikimirror.mirror.ledger import ensure_partitions, prune
from wikimirror.mirror.members import Member, leave, note_members
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.lanes import LaneReport
from wikimirror.observe.logging import get_logger
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.window import EVERY
from wikimirror.pipeline.writing import Connect

_LOG = get_logger(__name__)
_SAMPLE_EVERY: Final = EVERY
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
            why=verdict.why,
        )
        for source, verdict in telemetry.verdicts().items()
    ]


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of this process every few seconds, as it is at that moment."""

    holder: str
    sample: Callable[[], None]
    """Looks at the lanes once more."""
    members: Callable[[], Sequence[Member]]
    """What it is to each source that it follows."""
    lanes: Callable[[], Sequence[LaneReport]]
    """How the lanes fare that it holds."""


def telling_of(telemetry: Telemetry, holder: str) -> Telling:
    """What the process of that name tells."""
    return Telling(holder, telemetry.sample, lambda: members_of(telemetry, holder), telemetry.lanes)


class Housekeeper:
    """Runs until it is cancelled. What fails is told and done next time: nothing here holds up a pipeline."""

    def __init__(
        self,
        connect: Connect,
        *,
        keep: timedelta | None,
        on_backlog: Callable[[Backlog], None],
        telling: Telling,
    ) -> None:
        """`telling` gives what is told of this process."""
        self._connect = connect
        self._keep = keep
        self._on_backlog = on_backlog
        self._telling = telling
        self._told_members = self._told_lanes = False
        self._session: Session | None = None
        self._tidied: float | None = None
        self._looked: float | None = None

    async def run(self) -> None:
        """Tell, look, tidy, sleep, again. In the end nothing is told of this process any more."""
        # Beside the rest: while Postgres hangs, what becomes of the lanes is to be seen.
        sampling = asyncio.create_task(self._sample(), name="samples")
        try:
            while True:
                for work in (self._tell_members, self._tell_lanes, self._look, self._tidy):
                    await self._attempt(work)
                await asyncio.sleep(_TELL_EVERY)
        finally:
            sampling.cancel()
            await self._leave()

    async def _sample(self) -> None:
        while True:
            try:
                self._telling.sample()
            except Exception as error:  # noqa: BLE001  # whatever it was, the next sample is to be taken
                _LOG.warning("a look at the lanes failed", exc_info=error)
            await asyncio.sleep(_SAMPLE_EVERY)

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

    async def _tell_members(self, session: Session) -> None:
        if members := self._telling.members():
            self._told_members = True
            await note_members(session, members)

    async def _tell_lanes(self, session: Session) -> None:
        lanes = self._telling.lanes()
        if lanes or self._told_lanes:
            self._told_lanes = True
            await note_lanes(session, self._telling.holder, lanes)

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
                if self._told_members or self._told_lanes:
                    self._session = self._session or await self._connect()
                    await leave(self._session, self._telling.holder)
                    await forget_lanes(self._session, self._telling.holder)
        except (TimeoutError, WikimirrorError) as error:
            _LOG.debug("did not take leave", reason=str(error))
        finally:
            self._abandon()

    def _abandon(self) -> None:
        if self._session is not None:
            self._session.connection.terminate()
            self._session = None
