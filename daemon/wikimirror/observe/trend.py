"""Whether a number falls over time, and how fast. Pure functions of points (instant, value), oldest first.

A line through all points, not the first against the last: what is behind goes up and down with every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Point = tuple[float, float]

LEVEL: Final = 0.01
"""A fall of less than this in each second is none: it is noise, or takes days."""
_RECENT: Final = 60.0
"""Seconds. What happens now counts beside the whole window: an outage that is over must not hide that it is over."""
_FEW: Final = 3
"""Fewer points make no line."""


def slope(points: Sequence[Point]) -> float | None:
    """Change per second, by least squares; None where all points are of one instant."""
    count = len(points)
    if not count:
        return None
    middle = sum(at for at, _ in points) / count
    mean = sum(value for _, value in points) / count
    spread = sum((at - middle) ** 2 for at, _ in points)
    if not spread:
        return None
    return sum((at - middle) * (value - mean) for at, value in points) / spread


def falling(points: Sequence[Point], proof: float) -> float | None:
    """How much it falls in each second, now or else over all of the points.

    None: it does not fall, or the points span less than `proof` seconds.
    """
    for told in _slopes(points, proof):
        if told < -LEVEL:
            return -told
    return None


def is_level_or_rising(points: Sequence[Point], proof: float) -> bool:
    """Whether it falls neither now nor over all of the points, which span at least `proof` seconds."""
    slopes = _slopes(points, proof)
    return bool(slopes) and all(told >= -LEVEL for told in slopes)


def _slopes(points: Sequence[Point], proof: float) -> list[float]:
    """Of the last points and of all, in this order; nothing where that proves nothing."""
    if len(points) < _FEW or points[-1][0] - points[0][0] < proof:
        return []
    end = points[-1][0]
    recent = [point for point in points if point[0] >= end - _RECENT]
    # Points may be missing in between; then the last ones alone show nothing.
    spans = [points] if len(recent) < _FEW or end - recent[0][0] < proof else [recent, points]
    return [told for each in spans if (told := slope(each)) is not None]
