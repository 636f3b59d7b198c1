"""What `explain` tells: for each source what holds it back, and what waits for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from wikimirror.observe.runbooks import Runbook


class Cause(StrEnum):
    """What holds a source back. In the order of blame: of two that apply the former is told."""

    NOBODY = "nobody"
    """No process reads it: its owner is frozen or dead, or was stopped."""
    HALTED = "halted"
    """The breaker opened: it reads no more until restarted."""
    STANDBY_ONLY = "standby-only"
    """Postgres, where the URL leads, does not take writes."""
    DISK = "disk"
    """Postgres has no room left."""
    LOCKS = "locks"
    """Another session holds what the writer waits for."""
    DATABASE = "database"
    """Postgres is not there, refuses, or is slower than the source."""
    LEASE = "lease"
    """The connection that keeps the lease does not work."""
    SOURCE = "source"
    """The source is not there, or gives no more than this."""
    SILENT = "silent"
    STALLED = "stalled"
    """A loop of the process does not get on with what it has in hand."""
    DECODING = "decoding"
    """The process's own work on records."""
    RETENTION = "retention"
    """Beside any other: the source deletes soon what is not read yet."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What holds one source back, or some of its lanes."""

    source: str | None
    """None: all of them."""
    cause: Cause
    headline: str
    words: str
    """Why, for a tired person."""
    numbers: Mapping[str, float]
    """Those that were judged by, by name; what is not known, and what never ends, is left out. Of several lanes: the
    sum of records and rates, the least headroom, the greatest of all else."""
    lanes: tuple[str, ...] = ()
    """Those that this is about, as topic[partition]."""
    lanes_known: int = 0
    runbook: Runbook | None = None
    """None: nothing holds it back."""
    next: str | None = None
    """A command that only looks, to run now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsForPerson:
    """Something that no waiting mends."""

    what: str
    count: int
    by: Mapping[str, int]
    """Counts by reason or source."""
    oldest: float | None
    """Seconds."""
    runbook: Runbook | None
    next: str
    wrong: bool = True
    """False: it is told, and is no fault by itself."""


@dataclass(frozen=True, slots=True)
class ExplainReport:
    """The worst first."""

    explanations: list[Explanation]
    waiting: list[WaitsForPerson] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What else is noteworthy of Postgres and of replays, a sentence each."""

    @property
    def wrong(self) -> bool:
        """Whether anything is to be done."""
        held_back = any(each.cause is not Cause.NONE for each in self.explanations)
        return held_back or any(each.wrong for each in self.waiting)
