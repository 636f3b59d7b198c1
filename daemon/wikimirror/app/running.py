"""Running a piece of work to its end: the event loop, signals, and Python's collector."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import uvloop

T = TypeVar("T")

_TERMINATED: Final = 128 + signal.SIGTERM


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end, or until interrupted: either way everything that was opened is closed."""
    tune_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_terminated(work))


def tune_collector() -> None:
    """Lets Python's cycle collector run seldom: a batch is thousands of objects without cycles (docs/benchmarks.md)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _until_terminated(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            task.cancel()
            await asyncio.wait({task})
            raise
        raise SystemExit(_TERMINATED) from None
