"""A source that may not be read on: the process stays, says so, and leaves it alone until it is started again.

If it ended instead, an orchestrator would start it over and over, and its metrics would be gone when they are needed.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from structlog.stdlib import BoundLogger

from wikimirror.errors import TooManySetAside
from wikimirror.observe.vitals import Role, Vitals


async def halt(error: TooManySetAside, vitals: Vitals, draining: asyncio.Event, log: BoundLogger) -> NoReturn:
    """Wait until the process drains, then raise the error: so that it does not end as if all were well."""
    vitals.halted = str(error)
    vitals.role = Role.HALTED
    log.error("halted", reason=str(error), remedy=error.remedy)
    await draining.wait()
    raise error
