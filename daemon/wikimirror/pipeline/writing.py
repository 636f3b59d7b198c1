"""Making a batch durable: over as many connections and attempts as it takes, and once only.

Here is the one place that decides what an error of applying means: the environment's fault is waited for, a batch that
takes too long is cut in two, everything else ends the pipeline. (A bad record never gets here: `mirror.apply` sets it
aside within the batch.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from wikimirror.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable, WikimirrorError
from wikimirror.merge.law import Law
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.breaker import Breaker
from wikimirror.mirror.checkpoints import took_place
from wikimirror.mirror.connect import Session
from wikimirror.mirror.splitting import split, statement_timed_out
from wikimirror.model import Batch
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Stage, Vitals, Waiting
from wikimirror.pipeline.waiting import patiently, resume

_LOG = get_logger(__name__)
Connect = Callable[[], Awaitable[Session]]
"""Opens a session with the settings as they are now: a password may have changed since the last."""

_TIMEOUTS: Final = 2
"""After that many statement timeouts in a row a batch is cut in two."""


def passes(error: WikimirrorError, *, connected_before: bool) -> bool:
    """Whether an error of Postgres is the environment's fault, so that waiting may help.

    A refusal at the first connection is a mistake in the settings and told at once. Later the same words mean a
    failover, a changed password or a revoked grant, which pass when someone has mended them.
    """
    if isinstance(error, DatabaseUnavailable):
        return True
    return connected_before and isinstance(error, (DatabaseRefused, ConfigurationError))


class Writer:
    """Writes batches over a session of its own, which it opens when it needs one."""

    def __init__(
        self, connect: Connect, law: Law, vitals: Vitals, *, longest_pause: float, breaker: Breaker | None = None
    ) -> None:
        """Whoever took the lanes over has been connected: what Postgres refuses from then on is waited for."""
        self._connect = connect
        self._law = law
        self._vitals = vitals
        self._longest_pause = longest_pause
        self._breaker = breaker
        self._applier: Applier | None = None
        self._timeouts = 0

    async def write(self, batch: Batch) -> Applied:
        """Apply a batch, however long Postgres is away. Raises Fenced, TooManySetAside, or a fault of this program."""
        self._timeouts = 0
        try:
            return await self._patiently(batch)
        except DatabaseUnavailable as error:
            halves = split(batch)
            if halves is None or not statement_timed_out(error):
                raise
            _LOG.warning("a batch takes longer than statement_timeout: it is cut in two", records=len(batch.entries))
        applied = await self.write(halves[0])
        applied.join(await self.write(halves[1]))
        return applied

    async def _patiently(self, batch: Batch) -> Applied:
        doubted: Applied | None = None
        splits = split(batch) is not None

        def passing(error: WikimirrorError) -> bool:
            if statement_timed_out(error):
                self._timeouts += 1
                if splits and self._timeouts >= _TIMEOUTS:
                    return False
            return passes(error, connected_before=True)

        async for attempt in patiently(self._vitals, Waiting.DATABASE, self._longest_pause, passing, _LOG):
            with attempt:
                applier = None
                try:
                    self._vitals.busy(Stage.APPLY)
                    applier = await self._open()
                    if doubted is not None and await took_place(applier.session, batch):
                        _LOG.info("a batch whose confirmation was lost is durable")
                        applied = doubted
                        if self._breaker is not None:
                            self._breaker.settle()
                    else:
                        applied = await applier.apply(batch)
                except BaseException:
                    if applier is not None and applier.unconfirmed is not None:
                        doubted = applier.unconfirmed
                    self.abandon()
                    self._vitals.idle(Stage.APPLY)
                    raise
                resume(self._vitals, Waiting.DATABASE, _LOG)
                return applied
        raise AssertionError  # attempts do not end

    async def _open(self) -> Applier:
        if self._applier is None:
            session = await self._connect()
            # A transaction of many statements, each within statement_timeout, is no stall.
            session.on_statement = lambda: self._vitals.busy(Stage.APPLY)
            self._applier = Applier(session, self._law, self._breaker)
        return self._applier

    def abandon(self) -> None:
        """Leave the session as it is, at once: an open transaction is rolled back by the server."""
        if self._applier is not None:
            self._applier.session.connection.terminate()
            self._applier = None

    async def close(self) -> None:
        """Leave politely."""
        if self._applier is not None:
            applier, self._applier = self._applier, None
            await applier.session.close()
