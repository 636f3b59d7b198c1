"""mediawiki.page_change.v1 and mediawiki.page_content_change.v1, any 1.x of mediawiki/page/change.

Both streams have one schema; the second fills `content_slots.*.content_body`. The whole page state is stated by
every kind but `delete`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from wikimirror.errors import UnreadableRecord
from wikimirror.model import Body, Change, Clock, Field, Format, Hidden, Kind, PageKey, Record
from wikimirror.wire.dialect import (
    NO_META,
    TITLE_BYTES,
    WIKI_ID_BYTES,
    Dialect,
    Meta,
    flag,
    identity,
    moment,
    names_of,
    storable,
)
from wikimirror.wire.page_statement import Page, PageChange, PriorPage, Revision
from wikimirror.wire.reasons import Names, Reason, unreadable
from wikimirror.wire.times import microseconds

STREAM: Final = "mediawiki.page_change.v1"
STREAM_WITH_CONTENT: Final = "mediawiki.page_content_change.v1"

_KINDS: Final = {
    "create": Kind.CREATE,
    "edit": Kind.EDIT,
    "move": Kind.MOVE,
    "undelete": Kind.UNDELETE,
    "visibility_change": Kind.VISIBILITY_CHANGE,
    "delete": Kind.DELETE,
}
_RETRACTIONS: Final = frozenset({"delete", "visibility_change"})
_FIELDS: Final = (Field.TEXT, Field.EDITOR, Field.COMMENT)


_NO_PAGE: Final = Page()
_NO_REVISION: Final = Revision()
_NO_PRIOR_PAGE: Final = PriorPage()


class _Times(msgspec.Struct, gc=False):
    clock: Clock
    time: int
    published: int
    rev_dt: int


class _Flags(msgspec.Struct, gc=False):
    text: bool | None
    editor: bool | None
    comment: bool | None


_ALL_HIDDEN: Final = _Flags(text=False, editor=False, comment=False)
_ALL_SHOWN: Final = _Flags(text=True, editor=True, comment=True)


class _Said(msgspec.Struct, gc=False):
    """A statement with its essential parts read. A struct, not a tuple: there is one for each record."""

    statement: PageChange
    page: Page
    revision: Revision
    meta: Meta
    kind: Kind
    retraction: bool
    key: PageKey
    rev_id: int
    times: _Times
    flags: _Flags
    neighbours: tuple[Hidden, ...]
    identity: bytes


class _Text(msgspec.Struct, gc=False):
    """What goes when the text is hidden."""

    sha1: str | None = None
    size: int | None = None
    content_model: str | None = None
    bodies: tuple[Body, ...] = ()


_NO_TEXT: Final = _Text()


def names(statement: PageChange) -> Names:
    """The wiki, page and revision of the record."""
    page, revision = statement.page or _NO_PAGE, statement.revision or _NO_REVISION
    return names_of(statement.wiki_id, page.page_id, revision.rev_id)


def retracts(statement: PageChange) -> bool:
    """Whether the record deletes, changes visibility, or states a hiding of its own or its neighbour's revision."""
    revision = statement.revision or _NO_REVISION
    return bool(_neighbours(statement, revision.rev_id or 0)) or _retracts_itself(statement, revision)


def _retracts_itself(statement: PageChange, revision: Revision) -> bool:
    return (
        statement.page_change_kind in _RETRACTIONS
        or revision.is_content_visible is False
        or revision.is_editor_visible is False
        or revision.is_comment_visible is False
        or (revision.is_editor_visible is True and revision.editor is None)
    )


def change(statement: PageChange, record: Record) -> Change:
    """Make the change of a record. UnreadableRecord when an essential field is missing or impossible."""
    said = _read(statement, record)
    return _deletion(said) if said.kind is Kind.DELETE else _state(said)


DIALECT: Final = Dialect(PageChange, msgspec.json.Decoder(PageChange), change, retracts, names)


def _read(statement: PageChange, record: Record) -> _Said:
    page, revision = statement.page or _NO_PAGE, statement.revision or _NO_REVISION
    meta = statement.meta or NO_META
    spoken = statement.page_change_kind
    kind = _KINDS.get(spoken or "")
    if kind is None:
        reason = Reason.MISSING_FIELD if spoken is None else Reason.UNKNOWN_KIND
        raise unreadable(reason, "page_change_kind", names(statement))
    key = _key(statement, page)
    rev_id = revision.rev_id or _no_rev_id(statement, revision, kind)
    neighbours = _neighbours(statement, rev_id)
    retraction = neighbours != () or _retracts_itself(statement, revision)
    return _Said(
        statement,
        page,
        revision,
        meta,
        kind,
        retraction,
        key,
        rev_id,
        _times(statement, revision, meta, retraction=retraction),
        _flags(revision, retraction=retraction),
        neighbours,
        identity(meta, record, stream=STREAM, event_type=spoken or ""),
    )


def _deletion(said: _Said) -> Change:
    """A deletion supplies nothing but where the page was; a suppression not even the title."""
    flags, revision = said.flags, said.revision
    redacted_only = revision.is_editor_visible is True
    suppresses = flags == _ALL_HIDDEN and not redacted_only
    return Change(
        identity=said.identity,
        kind=said.kind,
        clock=said.times.clock,
        time=said.times.time,
        published=said.times.published,
        page=said.key,
        rev_id=said.rev_id,
        rev_dt=said.times.rev_dt,
        title=None if suppresses else _title(said),
        namespace_id=said.page.namespace_id,
        is_redirect=said.page.is_redirect,
        suppresses=suppresses,
        parent_rev_id=revision.rev_parent_id,
        is_minor=revision.is_minor_edit,
        text_visible=flags.text,
        editor_visible=flags.editor,
        comment_visible=flags.comment,
        neighbours=said.neighbours,
    )


def _state(said: _Said) -> Change:
    page, revision, flags, times, kind = said.page, said.revision, said.flags, said.times, said.kind
    title = _title(said)
    if said.retraction:
        _leave_out_unstorable(page, revision, said.meta)
    editor = revision.editor if flags.editor is not False else None
    editor_name = editor.user_text if editor is not None else None
    text = _text(revision) if flags.text is not False else _NO_TEXT
    return Change(
        identity=said.identity,
        kind=kind,
        clock=times.clock,
        time=times.time,
        published=times.published,
        page=said.key,
        rev_id=said.rev_id,
        rev_dt=times.rev_dt,
        title=title,
        namespace_id=page.namespace_id,
        is_redirect=page.is_redirect,
        url=said.meta.uri,
        wikibase_item_id=page.wikibase_item_id,
        former_namespace_id=_former(said).namespace_id if kind is Kind.MOVE else None,
        former_page_id=_former(said).page_id if kind is Kind.UNDELETE else None,
        parent_rev_id=revision.rev_parent_id,
        is_minor=revision.is_minor_edit,
        is_revert=revision.revert is not None,
        text_visible=flags.text,
        editor_visible=flags.editor,
        comment_visible=flags.comment,
        editor_name=editor_name,
        editor_id=editor.user_id if editor is not None and editor_name is not None else None,
        comment=revision.comment if flags.comment is not False else None,
        sha1=text.sha1,
        size=text.size,
        content_model=text.content_model,
        bodies=text.bodies,
        neighbours=said.neighbours,
    )


def _key(statement: PageChange, page: Page) -> PageKey:
    wiki_id, page_id = statement.wiki_id, page.page_id
    if wiki_id is None or page_id is None:
        field = "wiki_id" if wiki_id is None else "page.page_id"
        raise unreadable(Reason.MISSING_FIELD, field, names(statement))
    if not wiki_id or storable(wiki_id, WIKI_ID_BYTES) is None:
        raise unreadable(Reason.BAD_VALUE, "wiki_id", names(statement))
    if page_id == 0:
        raise unreadable(Reason.BAD_VALUE, "page.page_id", names(statement))
    return PageKey(wiki_id, page_id)


def _no_rev_id(statement: PageChange, revision: Revision, kind: Kind) -> int:
    if kind is Kind.DELETE:
        return 0
    reason = Reason.MISSING_FIELD if revision.rev_id is None else Reason.BAD_VALUE
    raise unreadable(reason, "revision.rev_id", names(statement))


def _times(statement: PageChange, revision: Revision, meta: Meta, *, retraction: bool) -> _Times:
    """Read the times. A retraction without a readable `dt` happened when it was received, on that clock."""
    try:
        time = microseconds(_stated(statement.dt, "dt", statement))
        published = time if meta.dt is None else microseconds(meta.dt)
        text = _stated(revision.rev_dt, "revision.rev_dt", statement)
        return _Times(Clock.ACTION, time, published, time if text == statement.dt else microseconds(text))
    except (ValueError, UnreadableRecord) as failure:
        acted, received = moment(statement.dt), moment(meta.dt)
        time_known = acted if acted is not None else received
        if not retraction or time_known is None:
            if isinstance(failure, UnreadableRecord):
                raise
            raise unreadable(Reason.BAD_VALUE, "dt, meta.dt or revision.rev_dt", names(statement)) from None
        rev_dt = moment(revision.rev_dt)
        return _Times(
            Clock.ACTION if acted is not None else Clock.RECEIPT,
            time_known,
            received if received is not None else time_known,
            rev_dt if rev_dt is not None else time_known,
        )


def _stated(text: str | None, field: str, statement: PageChange) -> str:
    if text is None:
        raise unreadable(Reason.MISSING_FIELD, field, names(statement))
    return text


def _flags(revision: Revision, *, retraction: bool) -> _Flags:
    if (
        revision.is_content_visible is True
        and revision.is_editor_visible is True
        and revision.is_comment_visible is True
        and revision.editor is not None
        and revision.editor.user_text
    ):
        return _ALL_SHOWN
    editor = flag(revision.is_editor_visible, retraction=retraction)
    # L4: where the public edge redacts a page, it takes the editor out and leaves the flag true. Removal wins.
    if editor and (revision.editor is None or not revision.editor.user_text):
        editor = False
    return _Flags(
        flag(revision.is_content_visible, retraction=retraction),
        editor,
        flag(revision.is_comment_visible, retraction=retraction),
    )


def _title(said: _Said) -> str | None:
    title = said.page.page_title
    if said.retraction:
        title = storable(title, TITLE_BYTES)
        return title.replace("_", " ") if title else None
    if not title:
        reason = Reason.MISSING_FIELD if title is None else Reason.BAD_VALUE
        raise unreadable(reason, "page.page_title", names(said.statement))
    return title.replace("_", " ")


def _text(revision: Revision) -> _Text:
    slot = revision.content_slots.main if revision.content_slots is not None else None
    if slot is None:
        return _Text(revision.rev_sha1, revision.rev_size)
    body = slot.content_body
    bodies: tuple[Body, ...] = ()
    if body is not None:
        bodies = (Body(Format.JSON if slot.content_format == "application/json" else Format.WIKITEXT, body),)
    return _Text(revision.rev_sha1, revision.rev_size, slot.content_model, bodies)


def _leave_out_unstorable(page: Page, revision: Revision, meta: Meta) -> None:
    """No text stops a retraction. In any other record what Postgres cannot hold is its to refuse, with its reason."""
    meta.uri = storable(meta.uri)
    page.wikibase_item_id = storable(page.wikibase_item_id)
    revision.rev_sha1 = storable(revision.rev_sha1)
    revision.comment = storable(revision.comment)
    if revision.editor is not None:
        revision.editor.user_text = storable(revision.editor.user_text)
    if revision.content_slots is not None and (slot := revision.content_slots.main) is not None:
        slot.content_model = storable(slot.content_model)
        slot.content_body = storable(slot.content_body)


def _neighbours(statement: PageChange, rev_id: int) -> tuple[Hidden, ...]:
    """The prior revision's hidden fields, when it is another revision than the record's own (law L4)."""
    prior = statement.prior_state.revision if statement.prior_state is not None else None
    if prior is None or not prior.rev_id or not rev_id or prior.rev_id == rev_id:
        return ()
    flags = (prior.is_content_visible, prior.is_editor_visible, prior.is_comment_visible)
    if False not in flags:
        return ()
    return (Hidden(prior.rev_id, tuple(field for field, shown in zip(_FIELDS, flags, strict=True) if shown is False)),)


def _former(said: _Said) -> PriorPage:
    """What `prior_state` says of the page and is another now."""
    prior = said.statement.prior_state
    if prior is None or prior.page is None:
        return _NO_PRIOR_PAGE
    was, page = prior.page, said.page
    return PriorPage(_other(was.page_id, page.page_id), _other(was.namespace_id, page.namespace_id))


def _other(former: int | None, now: int | None) -> int | None:
    return former if former is not None and now is not None and former != now else None
