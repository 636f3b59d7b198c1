"""How many histories are tried, and which: by WIKIMIRROR_HISTORIES and WIKIMIRROR_SEED."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

HISTORIES = "WIKIMIRROR_HISTORIES"
SEED = "WIKIMIRROR_SEED"
USUAL = 2000
_NUMBER = re.compile(r"[0-9]{1,18}")
_SEED = re.compile(r"(?P<seed>[0-9]{1,18})(?:/(?P<only>[0-9]{1,18}))?")


class Budget(NamedTuple):
    """`only`: the number of the one history to try, by itself and through every fault."""

    histories: int
    seed: int
    only: int | None = None

    def share(self, part: float) -> int:
        """So many of the histories, at least one."""
        return max(1, round(self.histories * part))


@cache
def run_budget() -> Budget:
    """The run's, drawn once."""
    return read_budget()


def read_budget(environment: Mapping[str, str] = os.environ) -> Budget:
    """Raises ValueError where a variable says something else than a number of histories, or SEED or SEED/NUMBER."""
    histories, seed = environment.get(HISTORIES, ""), environment.get(SEED, "")
    if histories and (not _NUMBER.fullmatch(histories) or int(histories) == 0):
        raise ValueError(f"{HISTORIES}={histories!r} is not a number of histories, such as {USUAL}")
    said = _SEED.fullmatch(seed)
    if seed and said is None:
        raise ValueError(f"{SEED}={seed!r} is not a seed, such as 17, nor one of its histories, such as 17/204")
    count = int(histories) if histories else USUAL
    if said is None:
        return Budget(count, secrets.randbelow(10**9))
    return Budget(count, int(said["seed"]), None if said["only"] is None else int(said["only"]))
