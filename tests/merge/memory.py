"""Tables in memory that hold exactly the stored rows: the registers tried without a server, with the same codecs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from wikimirror.merge.fold import Mirror
from wikimirror.merge.law import FORMATS, Law, PageRow, RevisionRow
from wikimirror.merge.page import PageState
from wikimirror.merge.refusals import Refusal
from wikimirror.merge.workspace import Reconcile, Settled, Workspace, pages_of, revisions_of
from wikimirror.mirror.rows import page_row, page_state, revision_row, revision_state
from wikimirror.model import Change, PageKey, RevKey


class Tables:
    """The tables `page`, `revision` and `body`; every revision of a page whose gate closes is loaded."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self.pages: dict[PageKey, tuple[Any, ...]] = {}
        self.revisions: dict[RevKey, tuple[Any, ...]] = {}
        self.bodies: dict[tuple[str, int, str], str] = {}
        self.wanted: set[Reconcile] = set()

    def apply(self, batch: Sequence[Change]) -> list[Refusal | None]:
        """Absorb one batch; returns the verdict of each change."""
        workspace = Workspace(self.law, {}, {})
        self._load_revisions(workspace, revisions_of(batch))
        self._load_pages(workspace, pages_of(batch))
        while extra := workspace.extra_pages():
            self._load_pages(workspace, extra)
        verdicts = [workspace.absorb(change) for change in batch]
        closed = workspace.closed_gates()
        named = [key for key in self.revisions if self._pages_of(key) & closed.keys()]
        load, drop = workspace.superseded()
        merged = [key for key in drop if len(self._pages_of(key)) > 1]
        self._load_revisions(workspace, [*named, *load, *merged])
        while extra := workspace.extra_pages():
            self._load_pages(workspace, extra)
        self._store(workspace.settle())
        return verdicts

    def mirror(self) -> Mirror:
        """The public columns."""
        return Mirror(
            {key: PageRow(*row[2:11]) for key, row in self.pages.items()},
            {key: RevisionRow(*row[2:15]) for key, row in self.revisions.items()},
            dict(self.bodies),
        )

    def _load_pages(self, workspace: Workspace, keys: Iterable[PageKey]) -> None:
        for key in keys:
            row = self.pages.get(key)
            workspace.add_page(PageState(key, self.law) if row is None else page_state(row, self.law))

    def _load_revisions(self, workspace: Workspace, keys: Iterable[RevKey]) -> None:
        for key in keys:
            if key in self.revisions and key not in workspace.revisions:
                formats = [f for f in FORMATS if (*key, f) in self.bodies]
                workspace.revisions[key] = revision_state(self.revisions[key], formats, self.law)

    def _store(self, settled: Settled) -> None:
        for page in settled.pages:
            self.pages[page.key] = page_row(page)
        for revision in settled.revisions:
            self.revisions[revision.key] = revision_row(revision)
            for dropped in revision.dropped:
                self.bodies.pop((*revision.key, dropped), None)
            texts = revision.new_texts()
            for format_, text in texts:
                self.bodies[(*revision.key, format_)] = text
        for key in settled.superseded:
            for format_ in FORMATS:
                self.bodies.pop((*key, format_), None)
        self.wanted |= settled.wanted

    def _pages_of(self, key: RevKey) -> set[PageKey]:
        row = self.revisions.get(key)
        if row is None:
            return set()
        return {PageKey(key.wiki_id, page_id) for page_id in revision_state(row, (), self.law).pages}
