"""What the status page is made of: what this process knows by itself at one instant, Postgres not asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from wikimirror.observe.backlog import Backlog
from wikimirror.observe.build import Build
from wikimirror.observe.collector import Seen
from wikimirror.observe.freshness import Freshness
from wikimirror.observe.lanes import LaneReport


class Facts(NamedTuple):
    """Everything at one instant."""

    build: Build
    started: bool
    now: float
    """Seconds since the epoch."""
    sources: list[Seen]
    fresh: Freshness | None
    """None: nothing became durable lately."""
    backlog: Backlog | None
    """None: Postgres has not told yet."""
    backlog_read: float | None
    """Seconds since the epoch."""

    @property
    def lanes(self) -> Iterator[LaneReport]:
        """Of all sources."""
        return (report for seen in self.sources for report in seen.lanes)
