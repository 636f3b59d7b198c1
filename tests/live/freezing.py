"""Freezing a daemon with a transaction open that has written, or between two."""

from __future__ import annotations

from typing import Final

import pytest

from tests.live.daemon import Daemon
from tests.live.killing import last_steps, moving
from tests.live.truth import places
from wikimirror.mirror.connect import connect

WITHIN: Final = "within a transaction"
BETWEEN: Final = "between two transactions"
_TRIES: Final = 20


async def freeze(database_url: str, owner: Daemon, where: str) -> None:
    """Freeze it with a transaction open that has written, or just after one is durable."""
    for _ in range(_TRIES):
        await (moving(owner, 1) if where == WITHIN else owner.line("durable"))
        owner.freeze()
        if where == BETWEEN:
            return
        steps = last_steps(owner)
        async with await connect(database_url) as session:
            found = await places(session)
        if steps.after != steps.before == {place: found[place] for place in steps.lanes if place in found}:
            return
        owner.wake()
    pytest.fail(f"{_TRIES} times it was not within a transaction")
