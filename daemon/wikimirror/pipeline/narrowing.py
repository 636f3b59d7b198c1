"""Reading only a part of what a source sends: some wikis, some pages, some kinds of change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wikimirror.model import Change, Kind, UnreadableRecordLike

FILTERED: Final = "filtered"
"""Why a record that was left out is ignored. The daemon leaves nothing out, so it reaches no metric."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is let through: all that is named must fit. An empty set names nothing, and all fits."""

    wikis: frozenset[str] = frozenset()
    pages: frozenset[int] = frozenset()
    kinds: frozenset[Kind] = frozenset()

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.wikis or self.pages or self.kinds)

    def admits(self, change: Change) -> bool:
        """Whether a change is let through. An undeletion that gave a page a new number concerns the old one too."""
        if self.wikis and change.page.wiki_id not in self.wikis:
            return False
        if self.pages and self.pages.isdisjoint({change.page.page_id, change.former_page_id}):
            return False
        return not self.kinds or change.kind in self.kinds

    def may_concern(self, error: UnreadableRecordLike) -> bool:
        """Whether a record that cannot be read may be one of these: what is not known of it does not leave it out."""
        if self.wikis and error.wiki_id is not None and error.wiki_id not in self.wikis:
            return False
        return not (self.pages and error.page_id is not None and error.page_id not in self.pages)
