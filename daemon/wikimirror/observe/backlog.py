"""What waits in Postgres for a person or for another part: read there now and then, exported by `observe.metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backlog:
    """Rows of the whole mirror, whichever source they came from."""

    dead_letters: Mapping[str, int]
    """By reason."""
    gaps_open: int
    reconcile_open: Mapping[str, int]
    """By reason."""
    retractions_set_aside: int = 0
    """Of the dead letters, those that take something away."""
    replays: Mapping[str, int] = field(default_factory=dict)
    """By source, how many replays are at work."""
