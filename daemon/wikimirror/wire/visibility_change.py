"""mediawiki.revision-visibility-change: mediawiki/revision/visibility-change 1.0.0 and 1.0.1, any 1.x.

A stub: it says of one revision, current or not, which parts are visible now. It has no `dt`, so its time is that of
its receipt. Of the page it states the id only; title and namespace are not read, for the page may be suppressed.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET

from wikimirror.model import Change, Clock, Kind, PageKey, Record
from wikimirror.wire.dialect import (
    NO_META,
    WIKI_ID_BYTES,
    Dialect,
    Flag,
    Id,
    Statement,
    flag,
    identity,
    moment,
    names_of,
    storable,
)
from wikimirror.wire.reasons import Names, Reason, unreadable

STREAM: Final = "mediawiki.revision-visibility-change"
_TYPE: Final = "visibility"


class Visibility(msgspec.Struct, gc=False):
    """`visibility`: true is visible. `user` is what other streams call the editor."""

    text: Flag = UNSET
    user: Flag = UNSET
    comment: Flag = UNSET


class VisibilityChange(Statement, gc=False):
    """What is read of a record. `performer`, `comment` and `prior_state` are not."""

    database: str | None = None
    page_id: Id | None = None
    rev_id: Id | None = None
    rev_timestamp: str | None = None
    rev_parent_id: Id | None = None
    rev_minor_edit: bool | None = None
    visibility: Visibility | None = None


_UNSTATED: Final = Visibility()


def names(statement: VisibilityChange) -> Names:
    """The wiki, page and revision of the record."""
    return names_of(statement.database, statement.page_id, statement.rev_id)


def retracts(_: VisibilityChange) -> bool:
    """Whether a bad field may be left out: always, a stub exists to hide."""
    return True


def change(statement: VisibilityChange, record: Record) -> Change:
    """Make the change of a record. UnreadableRecord when an essential field is missing or impossible."""
    wiki_id, page_id, rev_id, meta = statement.database, statement.page_id, statement.rev_id, statement.meta or NO_META
    shown = statement.visibility or _UNSTATED
    if wiki_id is None or page_id is None or rev_id is None or meta.dt is None or shown == _UNSTATED:
        raise unreadable(Reason.MISSING_FIELD, "database, page_id, rev_id, meta.dt or visibility", names(statement))
    time = moment(meta.dt)
    if not wiki_id or storable(wiki_id, WIKI_ID_BYTES) is None or rev_id == 0 or time is None:
        raise unreadable(Reason.BAD_VALUE, "database, rev_id or meta.dt", names(statement))
    rev_dt = moment(statement.rev_timestamp)
    return Change(
        identity=identity(meta, record, stream=STREAM, event_type=_TYPE),
        kind=Kind.REVISION_VISIBILITY,
        clock=Clock.RECEIPT,
        time=time,
        published=time,
        page=PageKey(wiki_id, page_id),
        rev_id=rev_id,
        rev_dt=rev_dt if rev_dt is not None else time,
        parent_rev_id=statement.rev_parent_id,
        is_minor=statement.rev_minor_edit,
        text_visible=flag(shown.text, retraction=True),
        editor_visible=flag(shown.user, retraction=True),
        comment_visible=flag(shown.comment, retraction=True),
    )


DIALECT: Final = Dialect(VisibilityChange, msgspec.json.Decoder(VisibilityChange), change, retracts, names)
