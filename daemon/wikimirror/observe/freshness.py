"""How fresh the mirror was within the last minutes: from the counts of a histogram, looked at now and then."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Freshness(NamedTuple):
    """Seconds from publication to durable, of the changes of all sources that became durable lately."""

    seconds: float
    """The time that this covers. Less than asked for where the process is younger."""
    changes: int
    p50: float
    p99: float
    """Estimated within the buckets of wikimirror_freshness_seconds; no more than the greatest of them."""


class FreshnessWindow:
    """Counts by bucket, each since the beginning, at several instants."""

    def __init__(self, bounds: Sequence[float], looks: int) -> None:
        """`bounds`: the upper ones of the buckets, the infinite one left out: counts have one more. So many `looks`
        are kept.
        """
        self._bounds = tuple(bounds)
        self._noted: deque[tuple[float, tuple[int, ...]]] = deque(maxlen=looks)

    def note(self, at: float, counts: Sequence[int]) -> None:
        """How many there were in each bucket, since the beginning, at a monotonic instant."""
        self._noted.append((at, tuple(counts)))

    def within(self, seconds: float, at: float, counts: Sequence[int]) -> Freshness | None:
        """The last so many seconds before `at`, when the counts are these. None: nothing became durable, or no look
        was taken before.
        """
        if not self._noted:
            return None
        # The newest that is old enough; the oldest where none is.
        index = bisect_right(self._noted, at - seconds, key=lambda noted: noted[0])
        since, before = self._noted[max(0, index - 1)]
        new = [max(0, count - former) for count, former in zip(counts, before, strict=True)]
        if not (total := sum(new)):
            return None
        return Freshness(at - since, total, self._quantile(new, 0.5), self._quantile(new, 0.99))

    def _quantile(self, counts: Sequence[int], share: float) -> float:
        wanted = share * sum(counts)
        below = 0.0
        lower = (0.0, *self._bounds)
        for number, reached in enumerate(accumulate(counts)):
            if reached >= wanted and counts[number]:
                if number == len(self._bounds):
                    break
                return lower[number] + (self._bounds[number] - lower[number]) * (wanted - below) / counts[number]
            below = reached
        return self._bounds[-1]
