"""The merge law as a definition: rows are a pure function of the set of changes ever accepted.

Slow and obvious on purpose. Each clause is cited by its name in docs/merge-law.md. The registers that the mirror
keeps (`page`, `revision`, `workspace`) are held against this module by the property tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from wikimirror.merge.law import CANDIDATES, FIELD_OF, PROOFS, SILENT, Law, PageRow, RevisionRow, beats, second
from wikimirror.model import Change, Field, Kind, PageKey, RevKey

T = TypeVar("T")


class Mirror(NamedTuple):
    """What the tables must hold. Bodies are keyed (wiki_id, rev_id, format)."""

    pages: dict[PageKey, PageRow]
    revisions: dict[RevKey, RevisionRow]
    bodies: dict[tuple[str, int, str], str]


class Supply(NamedTuple):
    """A value that one change states for one column of its revision."""

    column: str
    value: object
    flagged: bool
    change: Change


def fold(changes: Iterable[Change], law: Law) -> Mirror:
    """The mirror of a set of changes. Order and repetition of `changes` do not matter (P2)."""
    return _Fold({change.identity: change for change in changes}.values(), law).mirror()


def rank(change: Change) -> tuple[int, int, int, bytes]:
    """L2: of counting candidates the greatest by this is the page."""
    return (change.rev_dt, change.rev_id, change.time, change.identity)


def supplies(change: Change) -> Iterator[Supply]:
    """L4: what a change supplies. Stubs and changes that vacate supply nothing; a hidden field neither."""
    if change.kind in SILENT or change.kind is Kind.REVISION_VISIBILITY or change.vacates:
        return
    stated: dict[str, object] = {"sha1": change.sha1, "size": change.size, "content_model": change.content_model}
    stated |= {body.format.value: body.text for body in change.bodies}
    stated["editor"] = None if change.editor_name is None else (change.editor_name, change.editor_id)
    stated["comment"] = change.comment
    for column, value in stated.items():
        flag = flags(change)[FIELD_OF[column]]
        if value is not None and flag is not False:
            yield Supply(column, value, flag is True, change)


def flags(change: Change) -> dict[Field, bool | None]:
    """The visibility a change states for the fields of its own revision."""
    return {
        Field.TEXT: change.text_visible,
        Field.EDITOR: change.editor_visible,
        Field.COMMENT: change.comment_visible,
    }


class _Fold:
    def __init__(self, changes: Iterable[Change], law: Law) -> None:
        self.changes = list(changes)
        self.law = law

    def mirror(self) -> Mirror:
        pages = {key: self.page(key) for key in {change.page for change in self.changes}}
        revisions: dict[RevKey, RevisionRow] = {}
        bodies: dict[tuple[str, int, str], str] = {}
        for rev in self.named_revisions():
            values = self.held(rev)
            revisions[rev] = self.revision(rev, values)
            for column in ("wikitext", "html", "json"):
                if column in values:
                    bodies[(rev.wiki_id, rev.rev_id, column)] = str(values[column])
        return Mirror(pages, revisions, bodies)

    # Pages: L2, L3, L7, L9.

    def of_page(self, page: PageKey) -> list[Change]:
        return [change for change in self.changes if change.page == page]

    def deletions(self, page: PageKey) -> list[Change]:
        """L2, L7: real deletions, and withdrawals proved by a candidate that names the same revision."""
        named = {c.rev_id for c in self.of_page(page) if c.kind in CANDIDATES and c.kind is not Kind.WITHDRAWAL}
        return [
            c for c in self.of_page(page) if c.kind is Kind.DELETE or (c.kind is Kind.WITHDRAWAL and c.rev_id in named)
        ]

    def survives(self, change: Change, page: PageKey) -> bool:
        """L2, L3: whether a statement outlives the deletions and floors of a page.

        It beats every deletion, is not below a floor of its clock, and names a revision beyond every deleted one
        unless it is itself the proof that the page was restored.
        """
        deletions = self.deletions(page)
        floors = [c for c in self.of_page(page) if c.kind in PROOFS and c.clock == change.clock]
        return (
            all(self.beats(change, deletion) for deletion in deletions)
            and all(second(change.time) >= second(floor.time) for floor in floors)
            and (change.kind in PROOFS or all(change.rev_id > deletion.rev_id for deletion in deletions))
        )

    def counting(self, page: PageKey) -> list[Change]:
        """L2: the candidates that count, greatest first."""
        candidates = (c for c in self.of_page(page) if c.kind in CANDIDATES)
        return sorted((c for c in candidates if self.survives(c, page)), key=rank, reverse=True)

    def page(self, page: PageKey) -> PageRow:
        candidates = self.counting(page)
        if candidates:
            return self.stated_page(page, candidates)
        deletions = self.deletions(page)
        if not deletions:
            return PageRow(None)
        last = max(deletions, key=lambda c: (c.time, c.identity))
        suppressions = [c for c in deletions if c.suppresses]
        title = last.title if all(self.beats(last, s) for s in suppressions) else None
        return PageRow("deleted", title, last.namespace_id, last.is_redirect, deleted_at=last.time)

    def stated_page(self, page: PageKey, candidates: list[Change]) -> PageRow:
        winner = candidates[0]
        title = first_stated(c.title for c in candidates)
        namespace_id = first_stated(c.namespace_id for c in candidates)
        is_redirect = first_stated(c.is_redirect for c in candidates)
        left = any(
            c.kind is Kind.TITLE_VACATED and c.title == winner.title and winner.rev_id <= c.rev_id
            for c in self.of_page(page)
        )
        if winner.vacates or winner.kind is Kind.WITHDRAWAL or left:
            return PageRow("vacated", title, namespace_id, is_redirect)
        url = first_stated(c.url for c in candidates)
        item = first_stated(c.wikibase_item_id for c in candidates)
        return PageRow("live", title, namespace_id, is_redirect, winner.rev_id, winner.rev_dt, None, url, item)

    # Revisions: L4, L5, L9.

    def named_revisions(self) -> set[RevKey]:
        own = {c.rev for c in self.changes if c.rev_id}
        return own | {RevKey(c.page.wiki_id, n.rev_id) for c in self.changes for n in c.neighbours}

    def of_revision(self, rev: RevKey) -> list[Change]:
        return [change for change in self.changes if change.rev == rev]

    def naming(self, rev: RevKey) -> list[Change]:
        """L5: every change that names a revision, as its own or as a neighbour, the latest first."""
        named = [
            c
            for c in self.changes
            if c.rev == rev or (c.page.wiki_id == rev.wiki_id and any(n.rev_id == rev.rev_id for n in c.neighbours))
        ]
        return sorted(named, key=lambda c: (c.time, c.identity), reverse=True)

    def outlives(self, change: Change, rev: RevKey) -> bool:
        """L5: a statement about a revision must survive on every page that any change named for it."""
        return all(self.survives(change, page) for page in {c.page for c in self.naming(rev)})

    def hidings(self, rev: RevKey, field: Field) -> list[Change]:
        """L4: changes that state the field hidden: about their own revision, or about a neighbour."""
        return [
            c
            for c in self.naming(rev)
            if (c.rev == rev and flags(c)[field] is False)
            or any(n.rev_id == rev.rev_id and field in n.fields for n in c.neighbours)
        ]

    def held(self, rev: RevKey) -> dict[str, object]:
        """L4, L9: the values of a revision that may be kept, by column."""
        values: dict[str, object] = {}
        stated = [supply for change in self.of_revision(rev) for supply in supplies(change)]
        for supply in sorted(stated, key=lambda s: (s.change.time, s.change.identity)):
            if self.is_held(rev, supply):
                values[supply.column] = supply.value
        return values

    def is_held(self, rev: RevKey, supply: Supply) -> bool:
        field = FIELD_OF[supply.column]
        hidings = self.hidings(rev, field)
        return (
            (supply.flagged or not hidings)
            and all(self.beats(supply.change, hiding) for hiding in hidings)
            and self.outlives(supply.change, rev)
            and (field is not Field.TEXT or self.not_vacated(rev, supply.change))
            and (supply.column not in {"wikitext", "html", "json"} or self.is_wanted(supply.change))
        )

    def not_vacated(self, rev: RevKey, change: Change) -> bool:
        """L7: vacating a page takes the texts that were there; of a moved page those of revisions before."""
        for page in {c.page for c in self.naming(rev)}:
            left = [c for c in self.of_page(page) if c.kind is Kind.WITHDRAWAL or c.vacates]
            moved = [c for c in self.of_page(page) if c.kind is Kind.TITLE_VACATED]
            since = all(change.rev_id >= tombstone.rev_id for tombstone in moved)
            proved = change.kind in PROOFS and all(self.beats(change, tombstone) for tombstone in moved)
            if not (all(self.beats(change, vacating) for vacating in left) and (since or proved)):
                return False
        return True

    def is_wanted(self, change: Change) -> bool:
        """history.bodies = current: a text goes once a counting candidate that outlives it has superseded it."""
        return self.law.bodies == "all" or not any(supersedes(c, change) for c in self.counting(change.page))

    def visible(self, rev: RevKey, field: Field) -> bool:
        """L4: every hiding is beaten by a showing that survives; never hidden, a value held without a flag will do."""
        own = [c for c in self.of_revision(rev) if self.outlives(c, rev)]
        showings = [c for c in own if shows(c, field)]
        hidings = self.hidings(rev, field)
        if not hidings:
            stated = (s for c in own for s in supplies(c) if FIELD_OF[s.column] is field and not s.flagged)
            return bool(showings) or any(self.is_held(rev, supply) for supply in stated)
        return all(any(self.beats(showing, hiding) for showing in showings) for hiding in hidings)

    def revision(self, rev: RevKey, values: dict[str, object]) -> RevisionRow:
        naming = self.naming(rev)
        own = [c for c in naming if c.rev == rev]
        editor = values.get("editor", (None, None))
        return RevisionRow(
            page_id=naming[0].page.page_id,
            parent_rev_id=first_stated(c.parent_rev_id for c in own),
            rev_dt=first_stated(c.rev_dt for c in own),
            editor_name=editor[0],  # type: ignore[index]  # the editor column is a pair
            editor_id=editor[1],  # type: ignore[index]
            comment=values.get("comment"),  # type: ignore[arg-type]  # values are typed by column
            is_minor=first_stated(c.is_minor for c in own),
            sha1=values.get("sha1"),  # type: ignore[arg-type]
            size=values.get("size"),  # type: ignore[arg-type]
            content_model=values.get("content_model"),  # type: ignore[arg-type]
            content_visible=self.visible(rev, Field.TEXT),
            editor_visible=self.visible(rev, Field.EDITOR),
            comment_visible=self.visible(rev, Field.COMMENT),
        )

    def beats(self, change: Change, removal: Change) -> bool:
        return beats(change.clock, change.time, removal.clock, removal.time, self.law.skew)


def shows(change: Change, field: Field) -> bool:
    """L4: only changes that state flags show, and deletions and changes that vacate never do."""
    return change.kind not in SILENT and not change.vacates and flags(change)[field] is True


def supersedes(newer: Change, older: Change) -> bool:
    """Whether `newer` ranks above `older` and counts wherever `older` does (same clock, no earlier, no less proved)."""
    return (
        newer.clock == older.clock
        and second(newer.time) >= second(older.time)
        and (newer.kind in PROOFS or (older.kind not in PROOFS and newer.rev_id >= older.rev_id))
        and (newer.rev_dt, newer.rev_id) > (older.rev_dt, older.rev_id)
    )


def first_stated(values: Iterable[T | None]) -> T | None:
    """L9: the first value that is stated."""
    return next((value for value in values if value is not None), None)
