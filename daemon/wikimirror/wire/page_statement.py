"""The fields of mediawiki/page/change that are read, and no others: what is not here is skipped, never kept."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from wikimirror.wire.dialect import Flag, Id, NamespaceId, Statement


class Editor(msgspec.Struct, gc=False):
    """The revision's author. An anonymous one has no id."""

    user_text: str | None = None
    user_id: Id | None = None


class MainSlot(msgspec.Struct, gc=False):
    """The slot `main`; others (mediainfo) are not kept."""

    content_model: str | None = None
    content_format: str | None = None
    content_body: str | None = None


class Slots(msgspec.Struct, gc=False):
    """`content_slots`."""

    main: MainSlot | None = None


class Revert(msgspec.Struct, gc=False):
    """`revision.revert`: only its presence is read."""


class Revision(msgspec.Struct, gc=False):
    """The record's own revision."""

    rev_id: Id | None = None
    rev_dt: str | None = None
    rev_parent_id: Id | None = None
    rev_sha1: str | None = None
    rev_size: Id | None = None
    comment: str | None = None
    editor: Editor | None = None
    is_minor_edit: bool | None = None
    is_content_visible: Flag = UNSET
    is_editor_visible: Flag = UNSET
    is_comment_visible: Flag = UNSET
    content_slots: Slots | None = None
    revert: Revert | None = None


class Page(msgspec.Struct, gc=False):
    """The page."""

    page_id: Id | None = None
    page_title: str | None = None
    namespace_id: NamespaceId | None = None
    is_redirect: bool | None = None
    wikibase_item_id: str | None = None


class PriorRevision(msgspec.Struct, gc=False):
    """`prior_state.revision`: its id and flags. Its comment, editor and sha1 are never read."""

    rev_id: Id | None = None
    is_content_visible: bool | None = None
    is_editor_visible: bool | None = None
    is_comment_visible: bool | None = None


class PriorPage(msgspec.Struct, gc=False):
    """`prior_state.page`: in newer versions only what changed."""

    page_id: Id | None = None
    namespace_id: NamespaceId | None = None


class PriorState(msgspec.Struct, gc=False):
    """`prior_state`."""

    revision: PriorRevision | None = None
    page: PriorPage | None = None


class PageChange(Statement, gc=False):
    """What is read of a record. Top-level `comment` and `performer` are not."""

    dt: str | None = None
    wiki_id: str | None = None
    page_change_kind: str | None = None
    page: Page | None = None
    revision: Revision | None = None
    prior_state: PriorState | None = None
