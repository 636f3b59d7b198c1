"""The reports that operations return, and that the command line prints or gives out as JSON. Times are UTC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

OnProgress = Callable[[int, int | None, float], None]
"""Called with the records done, their total where it is known, and the rate in records a second."""


def no_progress(_done: int, _total: int | None, _rate: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class PlayReport:
    """What became of the records that were read (promise P4). Counts by reason, except `applied`: by kind of change."""

    read: int
    ignored: dict[str, int]
    applied: dict[str, int]
    refused: dict[str, int]
    set_aside: dict[str, int]
    in_flight: int
    seconds: float
    files: list[str] = field(default_factory=list)
    given_back: int = 0
    """Read and not applied: whoever reads next reads them again."""

    @property
    def unaccounted(self) -> int:
        """Records read of which nothing is told. 0, or promise P4 is broken."""
        told = (sum(counts.values()) for counts in (self.ignored, self.applied, self.refused, self.set_aside))
        return self.read - self.in_flight - self.given_back - sum(told)

    @property
    def rate(self) -> float:
        """Records a second over the whole run."""
        return self.read / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One column of one row that is not what the simulated wiki says. None: the row or the value is absent."""

    table: str
    key: str
    column: str
    expected: str | None
    found: str | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from publication to durable, over changes."""

    median: float
    most: float
    """The 99th percentile."""


@dataclass(frozen=True, slots=True)
class DemoReport:
    """A rehearsal: what was read, which situations came up, and the mirror compared with the wiki's own truth."""

    play: PlayReport
    freshness: Freshness | None
    upstream: dict[str, int]
    """What the simulated service did, by what it is called, and how often."""
    situations: dict[str, int]
    """How often each situation that must be rehearsed came up. A zero fails the demo."""
    compared: dict[str, int]
    """Rows compared, by table."""
    differences: list[Difference]
    waiting: dict[str, int]
    """Pages that wait for a reconcile row, by its reason; told apart from differences."""
    withholding: int
    """Pages among them that show less than the wiki: the others wait for what turned out to be so already."""
    forbidden_found: int
    """Removed values that are still in any table (promise P3)."""
    look_inside: str
    """A command that is ready to be typed."""
    seed: int | None = None
    """What the simulated wiki's day was drawn from; the same seed gives the same day."""

    @property
    def missing(self) -> list[str]:
        """The situations that did not come up."""
        return [name for name, count in self.situations.items() if count == 0]

    @property
    def differs(self) -> bool:
        """The mirror is not what it must be, or records are unaccounted for."""
        return bool(self.differences or self.forbidden_found or self.play.unaccounted)


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """A row of `revision`. What is hidden is None."""

    rev_id: int
    parent_rev_id: int | None
    rev_dt: datetime | None
    editor_name: str | None
    comment: str | None
    is_minor: bool | None
    size: int | None
    sha1: str | None
    content_visible: bool
    editor_visible: bool
    comment_visible: bool


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A row of `reconcile`: what is to be read again, and why. `rev_id` 0 is the page itself."""

    rev_id: int
    reason: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class PageReport:
    """A page as the mirror has it now."""

    wiki_id: str
    page_id: int
    state: str | None
    """None: known by its number only."""
    title: str | None
    namespace_id: int | None
    is_redirect: bool | None
    rev_id: int | None
    rev_dt: datetime | None
    deleted_at: datetime | None
    url: str | None
    wikibase_item_id: str | None
    current: RevisionRow | None
    bodies: dict[str, int]
    """Characters of the current revision's texts, by format."""
    waiting: list[WaitingRow]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of `change`: one change that named the page, and what came of it."""

    published: datetime
    applied: datetime
    kind: str
    rev_id: int | None
    outcome: str
    source: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """A page's entries in the ledger, oldest first, and its revisions, newest first."""

    wiki_id: str
    page_id: int
    title: str | None
    entries: list[LedgerRow]
    revisions: list[RevisionRow]


@dataclass(frozen=True, slots=True)
class SqlReport:
    """The answer to one query."""

    columns: list[str]
    rows: list[list[Any]]
