"""What changes state of a revision, and how much of it is remembered beside the row (L4, L5, L9)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from wikimirror.merge.gate import Times
from wikimirror.merge.law import SILENT
from wikimirror.model import Change, Field, Kind


class Showing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last showing of a field by changes of one clock, proved (by an undelete or an assert) or not."""

    clock: int
    proved: bool
    time: int


class Stamp(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last supply of a column by changes of one class: of one clock and page, proved or not, stating flags or not.

    Within a class a later supply is held wherever an earlier one is, so one of each is enough.
    """

    clock: int
    proved: bool
    flagged: bool
    time: int
    identity: bytes
    page_id: int
    rev_dt: int


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The change that stated a fact last; facts (parent, timestamp, minor) are never removed."""

    time: int
    identity: bytes


class RevisionRegisters(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The registers as stored beside the row (column `revision.registers`)."""

    owner: Fact
    pages: list[int]
    """Every page that a change named for the revision (L5)."""
    stated_by: list[int] = []
    """Those of them for which a candidate named it (L7)."""
    facts: dict[str, Fact] = {}
    hidings: dict[str, Times] = {}
    showings: dict[str, list[Showing]] = {}
    supplies: dict[str, list[Stamp]] = {}


class Simple(NamedTuple):
    """The stamp of a revision that one candidate named, showing every field; or whose fields a deletion took."""

    clock: int
    time: int
    identity: bytes


def flags_of(change: Change) -> tuple[tuple[Field, bool | None], ...]:
    """The visibility that a change states of its own revision, by field."""
    return (
        (Field.TEXT, change.text_visible),
        (Field.EDITOR, change.editor_visible),
        (Field.COMMENT, change.comment_visible),
    )


def hidden_by(change: Change) -> list[Field]:
    """L4: the fields of its own revision that a change states hidden."""
    return [field for field, flag in flags_of(change) if flag is False]


def supplied(change: Change) -> Iterator[tuple[str, object, bool]]:
    """L4: (column, value, whether the change states the field's flag)."""
    if change.kind in SILENT or change.kind is Kind.REVISION_VISIBILITY or change.vacates:
        return
    if change.text_visible is not False:
        flagged = change.text_visible is True
        if change.sha1 is not None:
            yield "sha1", change.sha1, flagged
        if change.size is not None:
            yield "size", change.size, flagged
        if change.content_model is not None:
            yield "content_model", change.content_model, flagged
        for body in change.bodies:
            yield body.format.value, body.text, flagged
    if change.editor_visible is not False and change.editor_name is not None:
        yield "editor", (change.editor_name, change.editor_id), change.editor_visible is True
    if change.comment_visible is not False and change.comment is not None:
        yield "comment", change.comment, change.comment_visible is True


def class_of(stamp: Stamp) -> tuple[int, bool, bool, int]:
    """Within a class a later supply is held wherever an earlier one is."""
    return (stamp.clock, stamp.proved, stamp.flagged, stamp.page_id)
