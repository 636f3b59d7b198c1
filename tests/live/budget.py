"""How many daemons are killed, and which days they follow: by WIKIMIRROR_KILLS and WIKIMIRROR_SEED."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from tests.properties.budget import run_budget

KILLS: Final = "WIKIMIRROR_KILLS"
USUAL: Final = 25
ROUND: Final = 25
"""Kills during one day: each round has a day and a database of its own, and ends with a comparison."""
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}")


def read_kills(environment: Mapping[str, str] = os.environ) -> int:
    """Raises ValueError where the variable says something else than a number of kills."""
    said = environment.get(KILLS, "")
    if said and _NUMBER.fullmatch(said) is None:
        raise ValueError(f"{KILLS}={said!r} is not a number of kills, such as {USUAL}")
    return int(said) if said else USUAL


def rounds(kills: int, each: int = ROUND) -> list[int]:
    """The kills of each round."""
    return [min(each, kills - done) for done in range(0, kills, each)]


def seed_of(number: int) -> int:
    """The seed of a round."""
    return run_budget().seed + number
