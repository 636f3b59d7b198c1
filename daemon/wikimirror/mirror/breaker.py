"""The breaker: where too much would be set aside, the fault is not in the records, and reading must stop.

A wrong deployment, or a source that changed its language, makes every record unreadable. Setting all of them aside
would be a second backlog that somebody has to redrive. So a batch that would go past a limit is not written at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from wikimirror.errors import TooManySetAside
from wikimirror.model import Coordinates


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be set aside."""

    consecutive: int = 100
    """Records in a row. 0: any number."""
    share: float = 0.5
    """Of the last `window` records. 1: any share."""
    window: int = 1000
    """Records."""


class _Counted(NamedTuple):
    """What the breaker will know once a batch is durable."""

    run: int
    read: int
    set_aside: int


_NOTHING: Final = _Counted(0, 0, 0)


class Breaker:
    """Counts for one pipeline. `judge` before a batch is durable, `settle` after."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._run = 0
        """Records set aside in a row, up to now."""
        self._window: deque[tuple[int, int]] = deque()
        """Of the last batches how many records were read and how many of these were set aside."""
        self._read = self._set_aside = 0
        self._judged = _NOTHING

    def judge(self, order: Sequence[Coordinates], set_aside: Collection[Coordinates]) -> None:
        """Count a batch that is about to become durable. Raises TooManySetAside where it must not.

        `order`: all its records in reading order; `set_aside` are objects of it, for a frame that cannot be read may
        bear the coordinates of its neighbour. It may be judged more than once before it is settled.
        """
        run = longest = self._run
        if set_aside:
            bad = {id(at) for at in set_aside}
            for at in order:
                run = run + 1 if id(at) in bad else 0
                longest = max(longest, run)
        elif order:
            run = 0
        limits, count = self._limits, self._set_aside + len(set_aside)
        # A few records after a start are no share; a batch may be larger than the window.
        window = max(limits.window, self._read + len(order))
        if set_aside and limits.consecutive and longest >= limits.consecutive:
            raise TooManySetAside(f"{longest} records in a row would be set aside, the last from {_last(set_aside)}")
        if set_aside and limits.share < 1 and count >= limits.share * window:
            raise TooManySetAside(
                f"{count} of the last {window} records would be set aside, the last from {_last(set_aside)}"
            )
        self._judged = _Counted(run, len(order), len(set_aside))

    def settle(self) -> None:
        """What was judged last is durable."""
        counted, self._judged = self._judged, _NOTHING
        if not counted.read:
            return
        self._run = counted.run
        self._window.append((counted.read, counted.set_aside))
        self._read += counted.read
        self._set_aside += counted.set_aside
        while self._read - self._window[0][0] >= self._limits.window:
            read, set_aside = self._window.popleft()
            self._read -= read
            self._set_aside -= set_aside


def _last(set_aside: Collection[Coordinates]) -> Coordinates:
    return max(set_aside)
