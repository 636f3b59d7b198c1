"""What has become of a replay's records so far: kept in Postgres with each batch, so that it outlives its process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from wikimirror.mirror.apply import Applied
from wikimirror.model import Lane, Lost, Position


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over all runs of a replay."""

    read: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    lost: tuple[Lost, ...] = ()

    @classmethod
    def of(cls, source: str, records_read: int, summary: Mapping[str, Any] | None) -> Self:
        """From what the replay's row holds."""
        told = summary or {}
        ignored, applied, refused, set_aside = (
            Counter(told.get(name, {})) for name in ("ignored", "applied", "refused", "set_aside")
        )
        lost = tuple(_lost(source, row) for row in told.get("lost", ()))
        return cls(records_read, ignored, applied, refused, set_aside, lost)

    @property
    def summary(self) -> dict[str, object]:
        """As the replay's row holds it."""
        return {
            "ignored": dict(self.ignored),
            "applied": dict(self.applied),
            "refused": dict(self.refused),
            "set_aside": dict(self.set_aside),
            "lost": [[*each.lane[1:], *each.after, *each.until, each.reason] for each in self.lost],
        }

    def plus(self, read: int, ignored: Counter[str], applied: Applied, lost: tuple[Lost, ...]) -> Tally:
        """With another batch."""
        # A stretch may be met again where reading was cut off before what follows it; its end may have moved.
        stretches = {(each.lane, each.after, each.reason): each for each in (*self.lost, *lost)}
        return Tally(
            self.read + read,
            self.ignored + ignored,
            self.applied + applied.applied,
            self.refused + applied.refused,
            self.set_aside + applied.set_aside,
            tuple(stretches.values()),
        )


def _lost(source: str, row: list[Any]) -> Lost:
    topic, partition, after, after_time, until, until_time, reason = row
    return Lost(Lane(source, topic, partition), Position(after, after_time), Position(until, until_time), reason)
