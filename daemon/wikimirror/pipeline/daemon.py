"""The daemon: one supervisor for each source, what is done beside them, and how it all ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from wikimirror.errors import WikimirrorError
from wikimirror.observe.logging import get_logger
from wikimirror.pipeline.group import GroupSupervisor
from wikimirror.pipeline.housekeeping import Housekeeper
from wikimirror.pipeline.supervise import Supervisor

_LOG = get_logger(__name__)


class Aborted(WikimirrorError):
    """The daemon was stopped before it had drained."""

    remedy = "Nothing is lost: what was read and not applied is read again by the next that starts."


class Daemon:
    """Runs until every source has drained, or one may not go on: then the others drain first."""

    def __init__(
        self, supervisors: Sequence[Supervisor | GroupSupervisor], housekeeper: Housekeeper, *, drain_timeout: float
    ) -> None:
        """`drain_timeout`: seconds from the first `stop` to the abort."""
        self._supervisors = supervisors
        self._housekeeper = housekeeper
        self._drain_timeout = drain_timeout
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._aborted = False

    async def run(self) -> None:
        """Work until stopped. Raises what ended a source, or Aborted."""
        housekeeping = asyncio.create_task(self._housekeeper.run(), name="housekeeping")
        self._running = {asyncio.create_task(each.run(), name="supervisor") for each in self._supervisors}
        tasks = set(self._running)
        # In the order in which they ended: what ended the others is told, not what one that halted says at the end.
        failed: list[BaseException] = []
        try:
            pending = tasks
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                failed += [error for task in done if not task.cancelled() and (error := task.exception()) is not None]
                if failed and not self._stopping:
                    self.stop()
        finally:
            for task in (*tasks, housekeeping):
                task.cancel()
            await asyncio.wait({*tasks, housekeeping})
        if failed:
            raise failed[0]
        if self._aborted:
            left = sum(each.vitals.accounts.given_back for each in self._supervisors)
            raise Aborted(f"stopped before all that was read could be applied: {left:,} records are given back")

    def stop(self) -> None:
        """Drain; a second time, or when draining takes too long, abort."""
        if self._stopping:
            self._abort()
            return
        self._stopping = True
        _LOG.info("draining")
        for each in self._supervisors:
            each.drain()
        asyncio.get_running_loop().call_later(self._drain_timeout, self._abort)

    def _abort(self) -> None:
        left = [task for task in self._running if not task.done()]
        if left:
            self._aborted = True
            _LOG.warning("aborting", sources=len(left))
        for task in left:
            task.cancel()
