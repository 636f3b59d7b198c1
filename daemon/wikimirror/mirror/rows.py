"""Rows of `page` and `revision` to and from the registers of the merge law. Pure; times are whole microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from wikimirror.merge.contenders import Candidate
from wikimirror.merge.law import NEVER, Law
from wikimirror.merge.page import PageRegisters, PageState
from wikimirror.merge.revision import RevisionState
from wikimirror.merge.statements import RevisionRegisters, Simple
from wikimirror.model import Kind, PageKey, RevKey

PAGE_COLUMNS: Final = (
    "wiki_id", "page_id", "state", "title", "namespace_id", "is_redirect", "rev_id", "rev_dt", "deleted_at", "url",
    "wikibase_item_id", "published", "stamp_clock", "stamp_time", "stamp_id", "registers",
)  # fmt: skip
REVISION_COLUMNS: Final = (
    "wiki_id", "rev_id", "page_id", "parent_rev_id", "rev_dt", "editor_name", "editor_id", "comment", "is_minor",
    "sha1", "size", "content_model", "content_visible", "editor_visible", "comment_visible", "stamp_clock",
    "stamp_time", "stamp_id", "registers",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode
_page_registers = msgspec.json.Decoder(PageRegisters).decode
_revision_registers = msgspec.json.Decoder(RevisionRegisters).decode


def page_row(page: PageState) -> tuple[object, ...]:
    """A page as PAGE_COLUMNS."""
    registers = page.stored_registers()
    published = None if page.published == NEVER else page.published
    if registers is not None:
        text = _encode(registers).decode()
        return (*page.key, *page.row(), published, None, None, None, text)
    if not page.contenders:
        return (*page.key, *page.row(), published, None, None, None, None)
    only = page.contenders[0]
    return (*page.key, *page.row(), published, int(only.clock), only.time, only.identity, None)


def page_state(row: Sequence[Any], law: Law) -> PageState:
    """The registers of a row read as PAGE_COLUMNS."""
    (wiki_id, page_id, _, title, namespace_id, is_redirect, rev_id, rev_dt, _, url, item, published,
     clock, time, identity, text) = row  # fmt: skip
    key = PageKey(wiki_id, page_id)
    published = NEVER if published is None else published
    if text is not None:
        registers = _page_registers(text)
        return PageState(
            key, law, contenders=list(registers.contenders), registers=registers, published=published, is_new=False
        )
    if identity is None:
        return PageState(key, law, published=published, is_new=False)
    only = Candidate(
        kind=Kind.EDIT, clock=clock, time=time, identity=identity, rev_id=rev_id, rev_dt=rev_dt, title=title,
        namespace_id=namespace_id, is_redirect=is_redirect, url=url, wikibase_item_id=item,
    )  # fmt: skip
    return PageState(key, law, contenders=[only], published=published, is_new=False)


def revision_row(revision: RevisionState) -> tuple[object, ...]:
    """A revision as REVISION_COLUMNS."""
    change = revision.change
    if change is not None:
        # The common row, spelled out: what `revision.row()` says of a revision that shows all its fields.
        name = change.editor_name
        return (
            change.page.wiki_id, change.rev_id, change.page.page_id, change.parent_rev_id, change.rev_dt, name,
            None if name is None else change.editor_id, change.comment, change.is_minor, change.sha1, change.size,
            change.content_model, True, True, True, change.clock, change.time, change.identity, None,
        )  # fmt: skip
    return (*revision.key, *revision.row(), None, None, None, _encode(revision.reg).decode())


def revision_state(row: Sequence[Any], formats: Sequence[str] | None, law: Law) -> RevisionState:
    """The registers of a row read as REVISION_COLUMNS; `formats`: those of its stored texts."""
    (wiki_id, rev_id, page_id, parent, rev_dt, editor_name, editor_id, comment, is_minor, sha1, size, model,
     visible, _, _, clock, time, identity, text) = row  # fmt: skip
    stated = {
        "parent_rev_id": parent,
        "rev_dt": rev_dt,
        "is_minor": is_minor,
        "editor": None if editor_name is None else (editor_name, editor_id),
        "comment": comment,
        "sha1": sha1,
        "size": size,
        "content_model": model,
    }
    return RevisionState.stored(
        RevKey(wiki_id, rev_id),
        law,
        page_id=page_id,
        values={column: value for column, value in stated.items() if value is not None},
        formats=formats or (),
        simple=Simple(clock, time, identity),
        visible=visible,
        registers=None if text is None else _revision_registers(text),
    )
