"""One batch against the registers it touches: absorb every change, then settle what the rows must be.

Pure. The mirror loads the pages and revisions that the batch names, locked; after `absorb` it loads what
`closed_gates` and `superseded` ask for, then `settle` gives the writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wikimirror.merge.gate import Gate
from wikimirror.merge.law import CANDIDATES, NEVER, PROOFS, SILENT, Law
from wikimirror.merge.page import PageState, deletion_of
from wikimirror.merge.refusals import Refusal
from wikimirror.merge.revision import RevisionState
from wikimirror.merge.statements import hidden_by
from wikimirror.model import Change, Field, Kind, PageKey, RevKey


class Reconcile(NamedTuple):
    """A row of `reconcile`: what to read again, and why. `rev_id` 0 is the page itself."""

    wiki_id: str
    page_id: int
    rev_id: int
    reason: str


@dataclass(slots=True)
class Retraction:
    """A change that took something away, gave it back or reverted it: a row of `correction` to be."""

    change: Change
    kind: str
    removed: tuple[str, ...]


@dataclass(slots=True)
class Settled:
    """What to write for a batch."""

    pages: list[PageState] = field(default_factory=list)
    revisions: list[RevisionState] = field(default_factory=list)
    gates: dict[PageKey, Gate] = field(default_factory=dict)
    """Pages whose gate closed further: their stored revisions obey it too."""
    superseded: list[RevKey] = field(default_factory=list)
    """Revisions that were not loaded and whose texts are no longer kept."""
    wanted: set[Reconcile] = field(default_factory=set)
    settled_pages: list[PageKey] = field(default_factory=list)
    settled_revisions: list[RevKey] = field(default_factory=list)


class Workspace:
    """The registers that a batch touches."""

    def __init__(self, law: Law, pages: dict[PageKey, PageState], revisions: dict[RevKey, RevisionState]) -> None:
        self.law = law
        self.pages = pages
        self.revisions = revisions
        self.retractions: list[Retraction] = []
        self.asked: set[Reconcile] = set()
        """What a change of the batch asks for whatever the registers hold."""
        self._seen: set[bytes] = set()
        self._superseded: set[RevKey] = set()

    def add_page(self, page: PageState) -> None:
        """A page loaded after the others."""
        if page.key not in self.pages:
            self.pages[page.key] = page

    def add_missing_pages(self, keys: Iterable[PageKey]) -> None:
        """Pages that were looked for and are not there yet."""
        for key in keys:
            self.add_page(PageState(key, self.law))

    def absorb(self, change: Change) -> Refusal | None:
        """Take one change in. Returns why it was refused, None when it was applied."""
        if change.identity in self._seen:
            return Refusal.DUPLICATE
        self._seen.add(change.identity)
        page = self.pages.get(change.page)
        if page is None:
            page = self.pages[change.page] = PageState(change.page, self.law)
        if self._absorb_plainly(change, page):
            return None
        altered, refusal = self._absorb_page(change, page)
        revision_altered = False
        if change.rev_id:
            if page.gate.drops_unproved(change.clock, change.time, change.rev_id) and _is_restatement(change):
                self.asked.add(Reconcile(*change.page, change.rev_id, "restored_revision"))
            revision = self._revision(change.rev)
            revision_altered = revision.absorb(change, page, self._other_pages(revision, page))
        hid = change.neighbours != () and self._absorb_neighbours(change)
        hides = change.hides
        if refusal is not None or change.kind not in CANDIDATES:
            if refusal in {Refusal.DELETED, Refusal.RESTORED}:
                if not (altered or hid or (hides and revision_altered)):
                    return refusal
            elif not (altered or revision_altered or hid):
                return Refusal.STALE
        if hides or hid or change.is_revert or change.kind not in _PLAIN or change.vacates:
            self._note_retraction(change, hid=hid)
        return None

    def _absorb_plainly(self, change: Change, page: PageState) -> bool:
        """The common case in few steps: the next revision of a page to which nothing ever happened but edits.

        Returns False, having done nothing, when the change is not that; the general way then gives the same.
        """
        if not (
            change.kind in _MAKERS
            and change.shows_all
            and page.reg is None
            and not (change.neighbours or change.vacates or change.is_revert)
        ):
            return False
        key = change.rev
        if key in self.revisions or not page.succeed(change):
            return False
        self.revisions[key] = RevisionState.born(key, self.law, change)
        return True

    def _absorb_neighbours(self, change: Change) -> bool:
        hid = False
        for neighbour in change.neighbours:
            key = RevKey(change.page.wiki_id, neighbour.rev_id)
            hid |= self._revision(key).absorb_neighbour(change, neighbour.fields)
        return hid

    def _absorb_page(self, change: Change, page: PageState) -> tuple[bool, Refusal | None]:
        kind = change.kind
        altered = False
        if kind in CANDIDATES:
            if kind in PROOFS:
                altered |= page.set_floor(change)
            if change.vacates or kind is Kind.WITHDRAWAL:
                altered |= page.vacate(change)
            if kind is Kind.WITHDRAWAL:
                altered |= page.withdraw(deletion_of(change))
                if change.rev_id and self._revision(change.rev).was_stated_by(change.page.page_id):
                    altered |= page.prove_withdrawals(change.rev_id)
            winner = page.contenders[0] if page.contenders else None
            refusal = page.offer(change)
            if kind is not Kind.WITHDRAWAL and page.reg is not None:
                altered |= page.prove_withdrawals(change.rev_id)
            if (
                winner is not None
                and page.contenders
                and page.contenders[0] is winner
                and change.parent_rev_id == winner.rev_id
                and change.rev_id != winner.rev_id
            ):
                self.asked.add(Reconcile(*change.page, change.rev_id, "losing_child"))
            return altered, refusal
        if kind is Kind.DELETE:
            altered = page.delete(deletion_of(change), change.published, suppresses=change.suppresses)
        elif kind is Kind.TITLE_VACATED:
            altered = page.vacate_title(change)
        return altered, None

    def _other_pages(self, revision: RevisionState, page: PageState) -> Sequence[PageState]:
        if revision.is_unknown or revision.pages == [page.key.page_id]:
            return ()
        keys = (PageKey(page.key.wiki_id, page_id) for page_id in revision.pages)
        return [self.pages[key] for key in keys if key != page.key and key in self.pages]

    def _revision(self, key: RevKey) -> RevisionState:
        revision = self.revisions.get(key)
        if revision is None:
            revision = self.revisions[key] = RevisionState(key, self.law)
        return revision

    def _note_retraction(self, change: Change, *, hid: bool) -> None:
        kind = change.kind
        hidden = _hidden_fields(change)
        if kind in {Kind.DELETE, Kind.WITHDRAWAL}:
            removed = tuple(f.value for f in Field)
            name = "suppression" if change.suppresses else "deletion"
            self.retractions.append(Retraction(change, name, (*removed, "title") if change.suppresses else removed))
        elif kind is Kind.UNDELETE:
            self.retractions.append(Retraction(change, "undeletion", hidden))
        elif kind in {Kind.VISIBILITY_CHANGE, Kind.REVISION_VISIBILITY} or hidden or hid:
            neighbours = {f.value for n in change.neighbours for f in n.fields} if hid else set()
            removed = tuple(f.value for f in Field if f.value in hidden or f.value in neighbours)
            self.retractions.append(Retraction(change, "visibility_change", removed))
        elif change.vacates or kind is Kind.TITLE_VACATED:
            self.retractions.append(Retraction(change, "vacation", ("text",)))
        if change.is_revert:
            self.retractions.append(Retraction(change, "revert", ()))

    def closed_gates(self) -> dict[PageKey, Gate]:
        """Pages whose gate closed further while absorbing."""
        return {
            key: page.gate
            for key, page in self.pages.items()
            if page.gate is not page.first_gate and page.gate != page.first_gate and not page.is_new
        }

    def superseded(self) -> tuple[set[RevKey], set[RevKey]]:
        """Stored revisions, not loaded, whose candidates were outranked: (must be loaded, texts may simply go).

        A revision must be loaded while another candidate that names it still contends. The caller must load those
        of the second set too that several pages were named for.
        """
        load: set[RevKey] = set()
        drop: set[RevKey] = set()
        if self.law.bodies == "all":
            return load, drop
        for key, page in self.pages.items():
            for rev_id in page.superseded:
                # Looked up as a bare tuple: nearly all are of the batch itself.
                if (key.wiki_id, rev_id) not in self.revisions:
                    rev = RevKey(key.wiki_id, rev_id)
                    (load if any(c.rev_id == rev_id for c in page.contenders) else drop).add(rev)
        self._superseded = drop
        return load, drop

    def extra_pages(self) -> set[PageKey]:
        """Pages, not loaded yet, that other changes named for the revisions in hand (L5)."""
        return {
            page
            for key, revision in self.revisions.items()
            if revision.change is None and not revision.is_unknown
            for page_id in revision.pages
            if (page := PageKey(key.wiki_id, page_id)) not in self.pages
        }

    def settle(self) -> Settled:
        """The rows to write, once everything wanted is loaded."""
        settled = Settled(gates=self.closed_gates())
        settled.superseded = sorted(self._superseded - self.revisions.keys())
        simple = settled.revisions.append
        for rev, revision in self.revisions.items():
            if revision.change is not None:
                page = self.pages[revision.change.page]
                if page.gate is not page.first_gate or revision.change.bodies:
                    revision.settle([page])
                if revision.change is not None:
                    simple(revision)
                    continue
            self._settle_revision(rev, revision, settled)
        self._settle_pages(settled)
        settled.wanted |= self.asked
        return settled

    def _settle_revision(self, key: RevKey, revision: RevisionState, settled: Settled) -> None:
        pages = [self.pages[PageKey(key.wiki_id, page_id)] for page_id in revision.pages]
        revision.settle(pages)
        if revision.dirty or revision.dropped:
            settled.revisions.append(revision)
        settled.settled_revisions.append(key)
        owner = PageKey(key.wiki_id, revision.page_id)
        if len(revision.pages) > 1:
            settled.wanted.add(Reconcile(*owner, key.rev_id, "merged"))
        if revision.lost_unproved:
            settled.wanted.add(Reconcile(*owner, key.rev_id, "restored_revision"))
        if self.pages[owner].row().state == "live" and revision.withheld():
            settled.wanted.add(Reconcile(*owner, key.rev_id, "withheld"))

    def _settle_pages(self, settled: Settled) -> None:
        for key, page in self.pages.items():
            if page.dirty:
                settled.pages.append(page)
            if page.reg is not None:
                settled.settled_pages.append(key)
                for reason in page.reconcile_reasons(page.row().state):
                    settled.wanted.add(Reconcile(*key, 0, reason))


_PLAIN: Final = frozenset({Kind.CREATE, Kind.EDIT, Kind.MOVE, Kind.UPDATE, Kind.ASSERT})
"""Kinds that take nothing away and give nothing back by themselves."""


_MAKERS: Final = frozenset({Kind.CREATE, Kind.EDIT, Kind.MOVE})


def _is_restatement(change: Change) -> bool:
    """Whether it speaks, unproved, of what is visible of its revision (L2, L4)."""
    flags = (change.text_visible, change.editor_visible, change.comment_visible)
    return change.kind not in PROOFS and change.kind not in SILENT and flags != (False, False, False)


def _hidden_fields(change: Change) -> tuple[str, ...]:
    return tuple(field.value for field in hidden_by(change))


def pages_of(changes: Iterable[Change]) -> list[PageKey]:
    """Every page that the changes name, sorted: the order in which rows are locked."""
    return sorted({change.page for change in changes})


def revisions_of(changes: Iterable[Change]) -> list[RevKey]:
    """Every revision that the changes name, sorted."""
    own = {change.rev for change in changes if change.rev_id}
    return sorted(own | {RevKey(c.page.wiki_id, n.rev_id) for c in changes for n in c.neighbours})


def revisions_to_read(changes: Iterable[Change], pages: Mapping[PageKey, PageState]) -> list[RevKey]:
    """Those of `revisions_of` that may be stored already, sorted.

    The next revision of a page that only ever saw edits is new, as a rule. It is a guess: where it is wrong, storing
    the revision collides with the stored one, and the batch is done again with all of them read.
    """
    latest: dict[PageKey, tuple[int, int, int]] = {}
    wanted: set[RevKey] = set()
    for change in changes:
        key = change.page
        last = latest.get(key)
        if last is None:
            last = latest[key] = _last_of(pages.get(key))
        this = (change.rev_dt, change.rev_id, change.time)
        if this > last and change.rev_id > last[1] and change.kind in _MAKERS and not change.neighbours:
            latest[key] = this
        else:
            wanted.add(change.rev)
            wanted.update(RevKey(key.wiki_id, n.rev_id) for n in change.neighbours)
    return sorted(key for key in wanted if key.rev_id)


_NOTHING: Final = (NEVER, 0, NEVER)
_EVERYTHING: Final = (-NEVER, 0, -NEVER)


def _last_of(page: PageState | None) -> tuple[int, int, int]:
    if page is None:
        return _NOTHING
    if page.reg is not None or len(page.contenders) != 1:
        return _EVERYTHING
    last = page.contenders[0]
    return last.rev_dt, last.rev_id, last.time
