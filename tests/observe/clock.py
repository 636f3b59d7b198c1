"""Vitals on clocks that a test sets."""

from __future__ import annotations

from wikimirror.observe.health import Thresholds
from wikimirror.observe.vitals import Role, Vitals

THRESHOLDS = Thresholds(stalled_after=60, silent_after=300, behind_after=60)


class Clock:
    """A clock that never steps and a time of day that may."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.wall = 1_800_000_000.0

    def run(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def step(self, seconds: float) -> None:
        self.wall += seconds

    def vitals(self, source: str = "eventstreams") -> Vitals:
        return Vitals(source, monotonic=lambda: self.monotonic, wall=lambda: self.wall)

    def active(self, source: str = "eventstreams") -> Vitals:
        """Of a pipeline that is connected, and has received nothing yet."""
        vitals = self.vitals(source)
        vitals.role, vitals.positioned = Role.ACTIVE, True
        vitals.joined()
        return vitals

    def published(self, ago: float) -> int:
        """Microseconds, as a record tells when it was published."""
        return round((self.wall - ago) * 1e6)
