"""The report of purging wikis."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WikiRows:
    """What of a wiki was or would be deleted. Counts by table."""

    wiki: str
    rows: dict[str, int]
    corrections: int
    """These stay: they are append-only, and hold numbers, kinds and times only."""
    came_back: int
    """Changes of the wiki that were applied while it was purged: somebody still has it in scope."""

    @property
    def total(self) -> int:
        """Rows of all tables."""
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What a purge did, or would do."""

    purged: bool
    """False: nothing was deleted."""
    wikis: list[WikiRows]
    in_scope: list[str]
    """Those that the settings still mirror: as long as there are any, it is refused."""

    @property
    def total(self) -> int:
        """Rows of all wikis and tables."""
        return sum(each.total for each in self.wikis)

    @property
    def came_back(self) -> list[str]:
        """Wikis that somebody still mirrors."""
        return [each.wiki for each in self.wikis if each.came_back]
