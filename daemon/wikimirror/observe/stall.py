"""Noticing what does not get on, and telling once where it is: the event loop as a whole, or a stage of a pipeline.

A task of the loop beats; a thread listens. While no beat comes the loop is frozen: the thread tells where all threads
are, and touches nothing of asyncio's. While beats come but a stage has stalled, the task itself tells of all threads
and all tasks. The thread is a daemon: it ends with the process and does not keep it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Final, Self

from wikimirror.observe.logging import get_logger
from wikimirror.observe.stacks import task_stacks, thread_stacks
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Stage

_LOG = get_logger(__name__)
_FRACTION: Final = 4
"""Beats in the time after which something is stalled."""
_LONGEST: Final = 1.0
"""Seconds between two beats, at most."""
_FAREWELL: Final = 1.0
"""Seconds that the thread may take to end: it may be writing a line."""


class StallWatch:
    """`async with StallWatch(telemetry):` watches the running loop and the stages of every source."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._after = telemetry.thresholds.stalled_after
        self._every = min(_LONGEST, self._after / _FRACTION)
        self._beats = 0
        self._ended = threading.Event()
        self._stalled: dict[tuple[str, Stage], float] = {}
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._listen, name="stall watch", daemon=True)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat(), name="stall watch")
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()
        self._thread.join(_FAREWELL)

    async def _beat(self) -> None:
        """Runs in the loop."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._every
            await asyncio.sleep(self._every)
            self._beats += 1
            # After a freeze of the whole loop each stage first gets its turn.
            if clock() - due < self._every:
                self._look_at_stages()

    def _look_at_stages(self) -> None:
        sources = self._telemetry.vitals
        stalled = {(name, stage) for name, verdict in self._telemetry.verdicts().items() for stage in verdict.stalled}
        for source, stage in self._stalled.keys() - stalled:
            seconds = sources[source].monotonic() - self._stalled.pop((source, stage))
            _LOG.warning("a stage is no longer stalled", source=source, stage=stage, seconds=round(seconds, 1))
        new = sorted(stalled - self._stalled.keys())
        for source, stage in new:
            self._stalled[source, stage] = sources[source].beats[stage].at
        if new:
            _LOG.error(
                "a stage is stalled",
                stages=[f"{source} {stage}" for source, stage in new],
                after_seconds=self._after,
                threads=thread_stacks(),
                tasks=task_stacks(),
            )

    def _listen(self) -> None:
        """Runs in the thread."""
        heard, still, told, before = self._beats, 0.0, False, time.monotonic()
        while not self._ended.wait(self._every):
            now = time.monotonic()
            passed, before = now - before, now
            if passed >= self._after + self._every:
                _LOG.warning("the whole process stood still: stopped, starved or suspended", seconds=round(passed, 1))
            if self._beats != heard:
                if told:
                    _LOG.warning("the event loop is no longer frozen", seconds=round(still, 1))
                heard, still, told = self._beats, 0.0, False
                continue
            # When this thread did not run either, the loop is not to blame for it.
            still += min(passed, 2 * self._every)
            if still >= self._after and not told:
                told = True
                _LOG.error(
                    "the event loop is frozen",
                    after_seconds=self._after,
                    threads=thread_stacks(without=threading.get_ident()),
                )
