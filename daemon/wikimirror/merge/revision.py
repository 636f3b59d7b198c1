"""A revision's registers: what must be remembered to decide its row and texts, absorbing one change at a time.

The common revision is named by one change that shows all its fields: then the row's own columns and the change's
stamp are all there is to remember (`Simple`). Anything else is kept as `RevisionRegisters` beside the row. A value
that is not held is dropped at once and for good: by the law nothing but a new statement can make it held again, so
forgetting it never makes the result depend on order (P2, P3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from wikimirror.merge.gate import NO_TIMES, Times, raised
from wikimirror.merge.law import (
    CANDIDATES,
    FIELD_OF,
    FORMATS,
    NEVER,
    PROOFS,
    SILENT,
    Law,
    RevisionRow,
    is_before,
    thresholds,
)
from wikimirror.merge.page import PageState
from wikimirror.merge.statements import (
    Fact,
    RevisionRegisters,
    Showing,
    Simple,
    Stamp,
    class_of,
    flags_of,
    hidden_by,
    supplied,
)
from wikimirror.model import Change, Clock, Field, Kind, RevKey

FIELDS: Final = (Field.TEXT, Field.EDITOR, Field.COMMENT)
STORED: Final = object()
"""Stands for a text that is in the table `body` already and was not read."""


class RevisionState:
    """One revision while a batch is absorbed."""

    __slots__ = (
        "bodies",
        "change",
        "dirty",
        "is_new",
        "key",
        "law",
        "lost_unproved",
        "page_id",
        "reg",
        "stored_formats",
        "took_something",
        "values",
    )

    def __init__(self, key: RevKey, law: Law) -> None:
        self.key = key
        self.law = law
        self.is_new = True
        self.dirty = False
        self.page_id = 0
        self.change: Change | None = None
        """Set while the revision is new and simple: the one change that named it."""
        self.reg: RevisionRegisters | None = None
        self.values: dict[str, Any] = {}
        """Facts and supplied values by column; `editor` is a pair of name and number."""
        self.bodies: dict[str, object] = {}
        """Texts by format, or STORED."""
        self.stored_formats: frozenset[str] = frozenset()
        self.took_something = False
        """Whether settling took a value away."""
        self.lost_unproved = False
        """Whether settling dropped what speaks of it as restored, but proves nothing."""

    @classmethod
    def born(cls, key: RevKey, law: Law, change: Change) -> RevisionState:
        """A revision that one candidate names first, showing all its fields, on a page without registers."""
        state = cls(key, law)
        state.change = change
        state.page_id = change.page.page_id
        state.dirty = True
        return state

    @classmethod
    def stored(  # a row has that many parts
        cls,
        key: RevKey,
        law: Law,
        *,
        page_id: int,
        values: dict[str, Any],
        formats: Iterable[str],
        simple: Simple,
        visible: bool,
        registers: RevisionRegisters | None,
    ) -> RevisionState:
        """From a row. `values` by column: facts and supplies that are not NULL; `visible`: a simple row's fields."""
        state = cls(key, law)
        state.is_new = False
        state.page_id = page_id
        state.values = values
        state.bodies = dict.fromkeys(formats, STORED)
        state.stored_formats = frozenset(state.bodies)
        if registers is None:
            registers = _expand(state, simple, visible=visible)
        # A superseded text is deleted without reading its revision: only stored texts count as supplied.
        registers.supplies = {c: s for c, s in registers.supplies.items() if c not in FORMATS or c in state.bodies}
        state.reg = registers
        return state

    @property
    def is_unknown(self) -> bool:
        """Whether nothing has named it yet."""
        return self.is_new and self.change is None and self.reg is None

    @property
    def pages(self) -> list[int]:
        """Every page that a change named for the revision (L5)."""
        return [self.page_id] if self.reg is None else self.reg.pages

    def absorb(self, change: Change, page: PageState, others: Sequence[PageState] = ()) -> bool:
        """Take in what a change says of this, its own revision. Returns whether any register was altered.

        `others`: the further pages that were named for it. What they do not allow is not taken in either: it would be
        dropped when settling, and a copy of the change would seem to alter something each time.
        """
        if self.is_unknown and _is_simple(change, page):
            self.change, self.page_id, self.dirty = change, change.page.page_id, True
            return True
        reg = self._registers(change)
        altered = self._name(reg, change)
        if change.kind in _STATING and change.page.page_id not in reg.stated_by:
            reg.stated_by = sorted([*reg.stated_by, change.page.page_id])
            altered = True
        for name in ("parent_rev_id", "rev_dt", "is_minor"):
            altered |= self._fact(reg, name, getattr(change, name), change)
        altered |= self.hide(change, hidden_by(change))
        proved = change.kind in PROOFS
        pages = [page, *others]
        if all(p.gate.passes(change.clock, change.time, change.rev_id, proved=proved) for p in pages):
            altered |= self._show(reg, change, proved=proved)
            altered |= self._supply(reg, change, pages, proved=proved)
        self.dirty |= altered
        return altered

    def absorb_neighbour(self, change: Change, fields: Iterable[Field]) -> bool:
        """Take in what a change about another revision says of this one: hidden fields (L4)."""
        reg = self._registers(change)
        altered = self._name(reg, change)
        altered |= self.hide(change, fields)
        self.dirty |= altered
        return altered

    def hide(self, change: Change, fields: Iterable[Field]) -> bool:
        """L4: the fields are hidden from the change's time on."""
        altered = False
        reg = self._registers(change)
        for field in fields:
            before = reg.hidings.get(field, NO_TIMES)
            reg.hidings[field] = raised(before, change.clock, change.time)
            altered |= reg.hidings[field] != before
        return altered

    def was_stated_by(self, page_id: int) -> bool:
        """L7: whether a candidate of that page named this revision."""
        if self.change is not None:
            return self.page_id == page_id
        return self.reg is not None and page_id in self.reg.stated_by

    def settle(self, pages: list[PageState]) -> None:
        """Drop what the final gates of its pages and its own hidings do not allow (L4, L5, L7)."""
        if self.change is not None:
            if _is_simple(self.change, pages[0]):
                return
            self._registers(self.change)
        reg = self.reg
        if reg is None:
            return
        before = (reg.showings, reg.supplies)
        showings = {f: [s for s in shown if self._outlives(s, pages)] for f, shown in reg.showings.items()}
        supplies = {c: [s for s in stamps if self._held(c, s, pages)] for c, stamps in reg.supplies.items()}
        reg.showings = {field: left for field, left in showings.items() if left}
        reg.supplies = {column: left for column, left in supplies.items() if left}
        if before != (reg.showings, reg.supplies):
            self.dirty = True
            self.lost_unproved = self._drops_unproved(before[0], pages)
        for column in [c for c in self.values if c in FIELD_OF and c not in reg.supplies]:
            del self.values[column]
            self.dirty = self.took_something = True
        for column in [c for c in self.bodies if c not in reg.supplies]:
            del self.bodies[column]
            self.took_something = True

    def new_texts(self) -> Iterator[tuple[str, str]]:
        """Texts to be written, by format."""
        if self.change is not None:
            return ((body.format.value, body.text) for body in self.change.bodies)
        return ((format_, text) for format_, text in self.bodies.items() if isinstance(text, str))

    @property
    def dropped(self) -> frozenset[str]:
        """Formats whose stored text must go."""
        return self.stored_formats - self.bodies.keys()

    def row(self) -> RevisionRow:
        """The public columns."""
        change = self.change
        if change is not None:
            return RevisionRow(
                self.page_id, change.parent_rev_id, change.rev_dt, change.editor_name,
                None if change.editor_name is None else change.editor_id,
                change.comment, change.is_minor, change.sha1, change.size, change.content_model, True, True, True,  # noqa: FBT003
            )  # fmt: skip
        get = self.values.get
        name, user = get("editor", (None, None))
        return RevisionRow(
            self.page_id, get("parent_rev_id"), get("rev_dt"), name, user, get("comment"), get("is_minor"),
            get("sha1"), get("size"), get("content_model"),
            self.visible(Field.TEXT), self.visible(Field.EDITOR), self.visible(Field.COMMENT),
        )  # fmt: skip

    def visible(self, field: Field) -> bool:
        """L4: every hiding is beaten by a showing that survives, and something that survives states the field."""
        if self.change is not None:
            return True
        reg = self.reg
        if reg is None:
            return False
        showings = reg.showings.get(field, [])
        hidings = reg.hidings.get(field)
        if hidings is None:
            stamps = (s for c, all_ in reg.supplies.items() if FIELD_OF[c] is field for s in all_)
            return bool(showings) or any(not stamp.flagged for stamp in stamps)
        return all(
            any(s.time >= thresholds(raised(NO_TIMES, clock, time), self.law.skew)[s.clock] for s in showings)
            for clock, time in enumerate(hidings)
            if time != NEVER
        )

    def withheld(self) -> bool:
        """Whether a field that was hidden may be visible again although no value is held: to be asked after (L4).

        Either its flags show it and its value is gone, or a showing and a hiding lie so close that their clocks cannot
        tell which came last.
        """
        reg = self.reg
        if reg is None or not reg.hidings:
            return False
        supplied = {FIELD_OF[column] for column in reg.supplies}
        return any(
            field not in supplied and (self.visible(Field(field)) or self._is_ambiguous(reg, field, hidings))
            for field, hidings in reg.hidings.items()
        )

    def _is_ambiguous(self, reg: RevisionRegisters, field: str, hidings: Times) -> bool:
        # The showing that a revision is born with cannot come after a hiding.
        born = self.values.get("rev_dt")
        showings = [s for s in reg.showings.get(field, []) if s.clock != Clock.ACTION or s.time != born]
        return any(
            time != NEVER and not is_before(s.clock, s.time, clock, time, self.law.skew)
            for s in showings
            for clock, time in enumerate(hidings)
        )

    def _registers(self, change: Change) -> RevisionRegisters:
        if self.reg is None:
            if self.change is not None:
                first, self.change = self.change, None
                self.reg = RevisionRegisters(owner=Fact(first.time, first.identity), pages=[self.page_id])
                self._absorb_simple(self.reg, first)
            else:
                self.page_id = change.page.page_id
                self.reg = RevisionRegisters(owner=Fact(change.time, change.identity), pages=[self.page_id])
                self.dirty = True
        return self.reg

    def _absorb_simple(self, reg: RevisionRegisters, first: Change) -> None:
        reg.stated_by = [self.page_id]
        for name in ("parent_rev_id", "rev_dt", "is_minor"):
            self._fact(reg, name, getattr(first, name), first)
        self._show(reg, first, proved=False)
        self._supply(reg, first, [], proved=False)

    def _name(self, reg: RevisionRegisters, change: Change) -> bool:
        altered = False
        if change.page.page_id not in reg.pages:
            reg.pages = sorted([*reg.pages, change.page.page_id])
            altered = True
        if (change.time, change.identity) > (reg.owner.time, reg.owner.identity):
            reg.owner = Fact(change.time, change.identity)
            self.page_id = change.page.page_id
            altered = True
        return altered

    def _fact(self, reg: RevisionRegisters, name: str, value: object, change: Change) -> bool:
        known = reg.facts.get(name)
        if value is None or (known is not None and (change.time, change.identity) <= (known.time, known.identity)):
            return False
        reg.facts[name] = Fact(change.time, change.identity)
        self.values[name] = value
        return True

    def _show(self, reg: RevisionRegisters, change: Change, *, proved: bool) -> bool:
        if change.kind in SILENT or change.vacates:
            return False
        altered = False
        for field, flag in flags_of(change):
            if flag is not True:
                continue
            others = reg.showings.get(field, [])
            mine = [s for s in others if s.clock == change.clock and s.proved is proved]
            if mine and mine[0].time >= change.time:
                continue
            kept = [s for s in others if s not in mine]
            new = Showing(int(change.clock), proved, change.time)
            reg.showings[field] = sorted([*kept, new], key=lambda s: (s.clock, s.proved))
            altered = True
        return altered

    def _supply(self, reg: RevisionRegisters, change: Change, pages: list[PageState], *, proved: bool) -> bool:
        altered = False
        for column, value, flagged in supplied(change):
            stamp = Stamp(
                int(change.clock), proved, flagged, change.time, change.identity, change.page.page_id, change.rev_dt
            )
            others = reg.supplies.get(column, [])
            mine = [s for s in others if class_of(s) == class_of(stamp)]
            if mine and (mine[0].time, mine[0].identity) >= (stamp.time, stamp.identity):
                continue
            if pages and not self._held(column, stamp, pages):
                continue
            if all((s.time, s.identity) < (stamp.time, stamp.identity) for s in others):
                self._keep(column, value)
            kept = [s for s in others if s not in mine]
            reg.supplies[column] = sorted([*kept, stamp], key=class_of)
            altered = True
        return altered

    def _keep(self, column: str, value: object) -> None:
        if column in FORMATS:
            self.bodies[column] = value
        else:
            self.values[column] = value

    def _outlives(self, statement: Showing | Stamp, pages: list[PageState]) -> bool:
        rev_id = self.key.rev_id
        return all(page.gate.passes(statement.clock, statement.time, rev_id, proved=statement.proved) for page in pages)

    def _drops_unproved(self, showings: dict[str, list[Showing]], pages: list[PageState]) -> bool:
        """Whether one of these showings speaks of the revision as restored after a deletion that named it, unproved."""
        return any(
            not showing.proved and page.gate.drops_unproved(showing.clock, showing.time, self.key.rev_id)
            for shown in showings.values()
            for showing in shown
            for page in pages
        )

    def _held(self, column: str, stamp: Stamp, pages: list[PageState]) -> bool:
        field = FIELD_OF[column]
        hidings = (self.reg.hidings if self.reg else {}).get(field)
        if hidings is not None and (not stamp.flagged or stamp.time < thresholds(hidings, self.law.skew)[stamp.clock]):
            return False
        if not self._outlives(stamp, pages):
            return False
        if field is not Field.TEXT:
            return True
        rev_id = self.key.rev_id
        if not all(p.gate.passes_text(stamp.clock, stamp.time, rev_id, proved=stamp.proved) for p in pages):
            return False
        if column not in FORMATS or self.law.bodies == "all":
            return True
        return not any(
            p.supersedes_text(stamp.clock, stamp.time, rev_id, stamp.rev_dt, proved=stamp.proved)
            for p in pages
            if p.key.page_id == stamp.page_id
        )


_STATING: Final = CANDIDATES - {Kind.WITHDRAWAL}
_ONE_SIMPLE: Final = frozenset({Kind.CREATE, Kind.EDIT, Kind.MOVE, Kind.VISIBILITY_CHANGE})


def _is_simple(change: Change, page: PageState) -> bool:
    """Whether one change is all there is to remember of a revision, and all it says is held."""
    gate = page.gate
    return (
        change.shows_all
        and change.kind in _ONE_SIMPLE
        and not change.vacates
        and gate.passes(change.clock, change.time, change.rev_id, proved=False)
        and gate.passes_text(change.clock, change.time, change.rev_id, proved=False)
        and not (
            change.bodies
            and page.law.bodies == "current"
            and page.supersedes_text(change.clock, change.time, change.rev_id, change.rev_dt, proved=False)
        )
    )


def _expand(state: RevisionState, simple: Simple, *, visible: bool) -> RevisionRegisters:
    """The registers of a simple row: one change stated all its values and showed its fields, or none survives."""
    fact = Fact(simple.time, simple.identity)
    reg = RevisionRegisters(owner=fact, pages=[state.page_id], stated_by=[state.page_id])
    reg.facts = {name: fact for name in ("parent_rev_id", "rev_dt", "is_minor") if name in state.values}
    if visible:
        rev_dt = state.values["rev_dt"]
        stamp = Stamp(simple.clock, False, True, simple.time, simple.identity, state.page_id, rev_dt)  # noqa: FBT003
        reg.showings = {field: [Showing(simple.clock, False, simple.time)] for field in FIELDS}  # noqa: FBT003
        reg.supplies = {c: [stamp] for c in FIELD_OF if c in state.values or c in state.bodies}
    return reg
