"""Who reads which lanes of a source that several processes share: the source's own group decides.

The group only decides who works. That a former owner writes nothing more rests on the epoch of its lanes, which each
transaction compares (promise P5). Each assignment is one pipeline over all its lanes, under a writer's name of its own:

    assigned ─▶ end what former writers of the lanes left open ─▶ take the lanes over ─▶ pipeline
    revoked  ─▶ drain, as long as there is time, then abort ─▶ release        lost ─▶ abort ─▶ release
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Final

from structlog.contextvars import bind_contextvars

from wikimirror.errors import (
    ConfigurationError,
    Fenced,
    SourceRefused,
    SourceUnavailable,
    TooManySetAside,
    WikimirrorError,
)
from wikimirror.mirror.checkpoints import Held, read_positions, take_over_all
from wikimirror.mirror.connect import Session
from wikimirror.mirror.evict import evict
from wikimirror.mirror.starts import known_topics, note_starts
from wikimirror.model import Lane, Position
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Role, Stage, Vitals, Waiting
from wikimirror.pipeline.halting import halt
from wikimirror.pipeline.pipeline import OnDurable, Pipeline, Plan
from wikimirror.pipeline.waiting import patiently, pause, resume, unless
from wikimirror.pipeline.writing import Connect, passes
from wikimirror.sources import Assignment, GroupSource, Membership

_LOG = get_logger(__name__)
_STEADY: Final = 60.0
"""Seconds. A stay in the group that was over sooner was no good one."""
_BEGINNING: Final = Position(0)
"""Never used: each lane has a position by then."""
_FENCED: Final = "another writer has taken the lanes over; this process joins the group anew"

_NUMBERS: Final = itertools.count(1)
"""Of assignments. One count for the process: of two sources, the writers' names must differ."""

ConnectAs = Callable[[str], Connect]
"""Gives what opens the sessions of a writer with this name."""


class GroupSupervisor:
    """Keeps a pipeline running over whatever lanes the group assigns, until it is drained."""

    def __init__(
        self,
        source: GroupSource,
        connect_as: ConnectAs,
        plan: Plan,
        vitals: Vitals,
        on_durable: OnDurable,
        *,
        holder: str,
    ) -> None:
        """`holder` names this process, unlike any other."""
        self._source = source
        self._connect_as = connect_as
        self._plan = plan
        self._vitals = vitals
        self._on_durable = on_durable
        self._holder = holder
        self._connected_before = False
        self._accepted = False
        """Whether the group ever took this process in."""
        self._in_group = False
        self._draining = asyncio.Event()
        self._pipeline: Pipeline | None = None

    @property
    def vitals(self) -> Vitals:
        """What it is doing."""
        return self._vitals

    def drain(self) -> None:
        """Stop reading, apply what was read, leave the group; then `run` returns."""
        self._draining.set()
        self._vitals.role = Role.DRAINING
        if self._pipeline is not None:
            self._pipeline.drain()

    async def run(self) -> None:
        """Work until drained. Raises what no waiting will mend.

        Where too much would be set aside it leaves the group and halts: the error comes when it is drained.
        """
        bind_contextvars(source=self._source.name)
        short, longest = 0, self._plan.longest_pause
        try:
            while not self._draining.is_set():
                began = self._vitals.monotonic()
                await self._stay_patiently()
                # Whoever is turned out soon after it came in must not hammer the group.
                short = 0 if self._vitals.monotonic() - began >= _STEADY else short + 1
                seconds = pause(1 + short, longest, None, random.random())  # noqa: S311  # jitter
                await unless(asyncio.sleep(seconds), self._draining)
        except TooManySetAside as error:
            await halt(error, self._vitals, self._draining, _LOG)
        finally:
            self._vitals.role = Role.STOPPED

    async def _stay_patiently(self) -> None:
        """One stay that brought lanes, however long the source is away; draining waits for neither."""
        staying = asyncio.create_task(self._attempts(), name=f"stay {self._source.name}")
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait({staying, draining}, return_when=asyncio.FIRST_COMPLETED)
            if self._in_group:
                # It drains by itself.
                await asyncio.wait({staying})
            if staying.done():
                staying.result()
        finally:
            for task in (staying, draining):
                task.cancel()
            await asyncio.wait({staying, draining})

    async def _attempts(self) -> None:
        async for attempt in patiently(self._vitals, Waiting.SOURCE, self._plan.longest_pause, self._passes, _LOG):
            with attempt:
                await self._stay()

    def _passes(self, error: WikimirrorError) -> bool:
        # Refused from the start, the request is wrong; refused after it was accepted, the brokers are in trouble.
        # So is a file of a secret or certificate that could be used then.
        return isinstance(error, SourceUnavailable) or (
            isinstance(error, SourceRefused | ConfigurationError) and self._accepted
        )

    async def _stay(self) -> None:
        """Be in the group until drained, or until the stay is over, which is no failure if it brought lanes."""
        assigned = False
        try:
            async with self._source.join() as member:
                self._in_group = True
                while not self._draining.is_set():
                    assignment = await unless(member.assigned(), self._draining)
                    if assignment is None:
                        return
                    if not assignment.lanes:
                        # Whoever has lanes is only through with the waiting when it reads.
                        resume(self._vitals, Waiting.SOURCE, _LOG)
                    assigned = self._accepted = True
                    await self._take(member, assignment)
        except (SourceUnavailable, SourceRefused) as error:
            # Whoever drains has nothing more to wait for. A refusal is told, and waited for, by whoever tries again.
            if not self._draining.is_set() and (not assigned or isinstance(error, SourceRefused)):
                raise
            _LOG.warning("the stay in the group is over", reason=str(error))
        finally:
            self._in_group = False
            if self._vitals.role is Role.STANDBY:
                # Outside of the group it stands by for nobody.
                self._vitals.role = Role.STARTING

    async def _take(self, member: Membership, assignment: Assignment) -> None:
        """Work on an assignment until it is revoked, and release it."""
        vitals = self._vitals
        try:
            if not assignment.lanes:
                vitals.role = Role.STANDBY
                _LOG.info("standing by: other members have all lanes")
                return
            writer = f"{self._holder}/{next(_NUMBERS)}"
            connect = self._connect_as(writer)
            taking = self._take_over(member, assignment.lanes, writer, connect)
            held = await unless(taking, assignment.revoked, self._draining)
            if held is not None:
                vitals.role = Role.ACTIVE
                vitals.positioned = True
                _LOG.info(
                    "reading",
                    lanes={f"{lane.topic}[{lane.partition}]": each.position for lane, each in held.items()},
                    epoch=max(each.epoch for each in held.values()),
                )
                await self._work(connect, assignment, held)
        finally:
            vitals.positioned = False
            vitals.connected = False
            # A take-over that was cut off may have waited; whoever has no lane waits for no writing.
            vitals.resume(Waiting.LEASE)
            vitals.hold(())
            assignment.release()

    async def _work(self, connect: Connect, assignment: Assignment, held: dict[Lane, Held]) -> None:
        """Run a pipeline over the lanes: drained when they are revoked, aborted when they are lost."""
        self._pipeline = Pipeline(self._source, connect, self._plan, self._vitals, self._on_durable)
        if self._draining.is_set():
            self._pipeline.drain()
        working = asyncio.create_task(self._pipeline.run(held), name=f"pipeline {self._source.name}")
        revoked, lost = (asyncio.create_task(each.wait()) for each in (assignment.revoked, assignment.lost))
        try:
            await asyncio.wait({working, revoked}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                _LOG.info("giving the lanes back", lanes=len(held))
            self._pipeline.drain()
            await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            else:
                self._vitals.lane_losses += 1
                _LOG.warning("the lanes are lost: what was read is given back")
        except Fenced as error:
            self._vitals.lane_losses += 1
            _LOG.warning("another writer has taken lanes over", reason=str(error))
            raise SourceUnavailable(_FENCED) from error
        finally:
            for task in (working, revoked, lost):
                task.cancel()
            await asyncio.wait({working, revoked, lost})
            self._pipeline = None

    async def _take_over(
        self, member: Membership, lanes: tuple[Lane, ...], writer: str, connect: Connect
    ) -> dict[Lane, Held]:
        """Become the writer of the lanes, however long Postgres is away, or the brokers do not tell where to begin."""

        def passing(error: WikimirrorError) -> bool:
            # To leave the group for a question that is not answered yet would only shake it.
            return isinstance(error, SourceUnavailable) or passes(error, connected_before=self._connected_before)

        async for attempt in patiently(self._vitals, Waiting.LEASE, self._plan.longest_pause, passing, _LOG):
            with attempt:
                self._vitals.busy(Stage.LEASE)
                try:
                    async with await connect() as session:
                        self._connected_before = True
                        held = await self._try_to_take(session, member, lanes, writer)
                finally:
                    self._vitals.idle(Stage.LEASE)
                resume(self._vitals, Waiting.LEASE, _LOG)
                return held
        raise AssertionError  # attempts do not end

    async def _try_to_take(
        self, session: Session, member: Membership, lanes: tuple[Lane, ...], writer: str
    ) -> dict[Lane, Held]:
        if ended := await evict(session, lanes, writer):
            _LOG.warning("ended what former owners had left open", transactions=ended)
        positioned = await read_positions(session, lanes)
        new = [lane for lane in lanes if lane not in positioned]
        if new:
            # Waiting for brokers is no stall of ours.
            self._vitals.idle(Stage.LEASE)
            await self._position(session, member, new)
            self._vitals.busy(Stage.LEASE)
        return await take_over_all(session, dict.fromkeys(lanes, _BEGINNING), writer)

    async def _position(self, session: Session, member: Membership, new: list[Lane]) -> None:
        """Note where lanes begin that nobody ever read: those of a new topic all together, by the setting `start`."""
        known = await known_topics(session, self._source.name)
        unread = {lane.topic for lane in new} - known
        starts = dict(await member.starting_positions(unread))
        starts.update(await member.first_positions([lane for lane in new if lane.topic in known]))
        if unknown := [str(lane) for lane in new if lane not in starts]:
            raise SourceUnavailable(f"the brokers do not tell yet where {', '.join(unknown)} begins")
        if not await note_starts(session, starts, together=unread):
            # Another process was there first, and a lane came since.
            await self._position(session, member, new)
