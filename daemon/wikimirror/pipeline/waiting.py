"""Waiting for the environment: without limit, ever more seldom, never all at once, and told.

stamina drives the attempts. The pauses are ours, for its own lose their jitter where they reach the longest, and then
every daemon that lost the same server comes back in the same instant.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar

import stamina
from structlog.stdlib import BoundLogger

from wikimirror.errors import WikimirrorError
from wikimirror.observe.vitals import Vitals, Wait, Waiting

T = TypeVar("T")

FIRST_PAUSE: Final = 0.1
"""Seconds before the second attempt, at most."""
_DOUBLINGS: Final = 20
_LONGEST_ASKED: Final = 3600.0


def pause(attempt: int, longest: float, asked: float | None, draw: float) -> float:
    """Seconds to wait after the given number of failed attempts (1, 2, …).

    It doubles from FIRST_PAUSE up to `longest`, and `draw` (0 to 1) takes away up to half of it. What the server asked
    for is the least, up to an hour; then `draw` adds up to a tenth.
    """
    own = min(longest, FIRST_PAUSE * 2.0 ** min(attempt - 1, _DOUBLINGS)) * (1 - draw / 2)
    if asked is None:
        return own
    return max(own, min(asked, _LONGEST_ASKED) * (1 + draw / 10))


def patiently(
    vitals: Vitals, what: Waiting, longest: float, passes: Callable[[WikimirrorError], bool], log: BoundLogger
) -> AsyncIterator[stamina.Attempt]:
    """Attempts without end, for `async for attempt in …: with attempt: …`; `vitals` tells of the waiting.

    An error that `passes` is the environment's fault: another attempt follows. Any other is raised.
    """
    failed, since = 0, vitals.monotonic()
    said: set[str] = set()

    def after(error: Exception) -> float | bool:
        nonlocal failed, since
        if not isinstance(error, WikimirrorError) or not passes(error):
            return False
        since = since if failed else vitals.monotonic()
        failed += 1
        vitals.wait(what, str(error))
        # A source that answers and then brings nothing new ends no wait: it has lasted since the first attempt failed.
        vitals.waits[what] = Wait(since, str(error), failed)
        seconds = pause(failed, longest, getattr(error, "retry_after", None), random.random())  # noqa: S311  # jitter
        told = {"waiting_for": what.value, "reason": str(error), "attempt": failed, "again_in": round(seconds, 1)}
        # Once for each reason in plain sight, each attempt for who looks closely: an outage must not fill the log, nor
        # one whose reasons alternate.
        if str(error) not in said:
            said.add(str(error))
            log.warning("waiting", **told, remedy=error.remedy)
        else:
            log.debug("still waiting", **told)
        return seconds

    return stamina.retry_context(on=after, attempts=None, timeout=None)


def resume(vitals: Vitals, what: Waiting, log: BoundLogger, waited: Wait | None = None) -> None:
    """What was waited for is there again; `waited` is that wait, where vitals may know already that it is over."""
    waited = vitals.waits.get(what, waited)
    vitals.resume(what)
    if waited is not None:
        log.info(
            "waiting is over",
            waiting_for=what.value,
            seconds=round(vitals.monotonic() - waited.since, 1),
            attempts=waited.attempts,
        )


async def unless(work: Coroutine[Any, Any, T], *events: asyncio.Event) -> T | None:
    """The result of `work`, or None when one of the events comes first: then it is stopped where it is."""
    working = asyncio.ensure_future(work)
    coming = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({working, *coming}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, *coming):
            task.cancel()
        await asyncio.wait({working, *coming})
