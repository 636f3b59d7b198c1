"""Who reads a source: one process at a time, by a lease; the others stand by.

The lease only decides who works. That a former owner writes nothing more rests on the epoch of its lanes, which each
transaction compares (promise P5): a process that was frozen past its lease finds it out at its first statement.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from structlog.contextvars import bind_contextvars

from wikimirror.errors import Fenced, TooManySetAside, WikimirrorError
from wikimirror.mirror.checkpoints import Held, take_over_all
from wikimirror.mirror.connect import Session
from wikimirror.mirror.evict import evict
from wikimirror.mirror.leases import Lease, acquire, release, renew
from wikimirror.model import Lane
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Role, Stage, Vitals, Waiting
from wikimirror.pipeline.halting import halt
from wikimirror.pipeline.pipeline import OnDurable, Pipeline, Plan
from wikimirror.pipeline.waiting import patiently, resume, unless
from wikimirror.pipeline.writing import Connect, passes
from wikimirror.sources import LiveSource

T = TypeVar("T")
_LOG = get_logger(__name__)
_RENEWALS: Final = 3
"""A lease is renewed that often in its life: two renewals may fail."""
_LONGEST_POLL: Final = 1.0
"""Seconds between a standby's looks at the lease: what a takeover takes beyond the lease's own time."""
_FAREWELL: Final = 5.0
"""Seconds that giving the lease back may take; without it the lease ends by itself."""


class LeaseLost(Exception):
    """Another process has the lease: this one must stand by."""


class Supervisor:
    """Keeps one source's pipeline running wherever this process may, until it is drained."""

    def __init__(
        self,
        source: LiveSource,
        connect: Connect,
        plan: Plan,
        vitals: Vitals,
        on_durable: OnDurable,
        *,
        holder: str,
        lease: float,
    ) -> None:
        """`holder` names this process, unlike any other; `lease` is its length in seconds."""
        self._source = source
        self._connect = connect
        self._plan = plan
        self._vitals = vitals
        self._on_durable = on_durable
        self._holder = holder
        self._lease = lease
        self._session: Session | None = None
        self._connected_before = False
        self._draining = asyncio.Event()
        self._pipeline: Pipeline | None = None

    @property
    def vitals(self) -> Vitals:
        """What it is doing."""
        return self._vitals

    def drain(self) -> None:
        """Stop reading, apply what was read, give the lease back; then `run` returns."""
        self._draining.set()
        self._vitals.role = Role.DRAINING
        if self._pipeline is not None:
            self._pipeline.drain()

    async def run(self) -> None:
        """Work until drained. Raises what no waiting will mend; then too the lease is given back.

        Where too much would be set aside it halts: the lease is given back, and the error comes when it is drained.
        """
        bind_contextvars(source=self._source.name)
        try:
            while not self._draining.is_set():
                held = await unless(self._become_active(), self._draining)
                if held is not None:
                    await self._work(held)
        except TooManySetAside as error:
            await self._leave()
            await halt(error, self._vitals, self._draining, _LOG)
        finally:
            await self._leave()
            self._vitals.role = Role.STOPPED

    async def _become_active(self) -> dict[Lane, Held]:
        """Wait for the lease, then take the lanes over."""
        told: str | None = None
        while True:
            answer = await self._ask(self._try_to_take)
            if isinstance(answer, dict):
                held = answer
                break
            self._vitals.role = Role.STANDBY
            if answer.holder != told:
                told = answer.holder
                _LOG.info("standing by", holder=answer.holder)
            # Standbys that look at the same instant would all be late together.
            poll = min(_LONGEST_POLL, self._lease / _RENEWALS)
            await asyncio.sleep(poll * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
        self._vitals.role = Role.ACTIVE
        self._vitals.positioned = True
        _LOG.info(
            "reading",
            lanes={f"{lane.topic}[{lane.partition}]": each.position for lane, each in held.items()},
            epoch=max(each.epoch for each in held.values()),
        )
        return held

    async def _try_to_take(self, session: Session) -> dict[Lane, Held] | Lease:
        """The lanes, or whose lease it is. One attempt: where the lanes are locked, the next renews the lease first."""
        lease = await acquire(session, self._source.name, self._holder, self._lease)
        if not lease.held:
            return lease
        starts = await self._source.starting_positions()
        if ended := await evict(session, starts, self._holder):
            _LOG.warning("ended what the former owner had left open", transactions=ended)
        return await take_over_all(session, starts, self._holder)

    async def _work(self, held: dict[Lane, Held]) -> None:
        """Run the pipeline while the lease is kept."""
        self._vitals.hold(held)
        self._pipeline = Pipeline(self._source, self._connect, self._plan, self._vitals, self._on_durable)
        if self._draining.is_set():
            self._pipeline.drain()
        keeper = asyncio.create_task(self._keep(), name=f"lease {self._source.name}")
        working = asyncio.create_task(self._pipeline.run(held), name=f"pipeline {self._source.name}")
        try:
            await asyncio.wait({keeper, working}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            else:
                keeper.result()
        except (Fenced, LeaseLost) as lost:
            self._vitals.lane_losses += 1
            self._vitals.role = Role.STANDBY
            _LOG.warning("another process has taken over; this one stands by", reason=str(lost))
        finally:
            self._vitals.positioned = False
            self._vitals.connected = False
            self._vitals.hold(())
            for task in (working, keeper):
                task.cancel()
            await asyncio.wait({working, keeper})
            self._pipeline = None

    async def _keep(self) -> None:
        """Renew the lease until another process has it. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self._lease / _RENEWALS)
            if not await self._ask(lambda session: renew(session, self._source.name, self._holder, self._lease)):
                raise LeaseLost(f"the lease of {self._source.name} is held by another process")

    async def _ask(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do something over this supervisor's own session, however long Postgres is away."""

        def passing(error: WikimirrorError) -> bool:
            return passes(error, connected_before=self._connected_before)

        pause = min(self._plan.longest_pause, max(1.0, self._lease / _RENEWALS))
        async for attempt in patiently(self._vitals, Waiting.LEASE, pause, passing, _LOG):
            with attempt:
                self._vitals.busy(Stage.LEASE)
                try:
                    if self._session is None:
                        self._session = await self._connect()
                        self._connected_before = True
                    answer = await work(self._session)
                except BaseException:
                    self._abandon()
                    raise
                finally:
                    self._vitals.idle(Stage.LEASE)
                resume(self._vitals, Waiting.LEASE, _LOG)
                return answer
        raise AssertionError  # attempts do not end

    async def _leave(self) -> None:
        """Give the lease back, so that a standby need not wait for its end."""
        if not self._connected_before:
            return
        self._connected_before = False
        try:
            async with asyncio.timeout(_FAREWELL):
                # A renewal that was cut off left no session.
                self._session = self._session or await self._connect()
                await release(self._session, self._source.name, self._holder)
                await self._session.close()
        except (TimeoutError, WikimirrorError):
            self._abandon()
        self._session = None

    def _abandon(self) -> None:
        if self._session is not None:
            self._session.connection.terminate()
            self._session = None
