"""One simulated wiki: pages, revisions, archive and visibility bits, and the actions that change them.

An independent model of MediaWiki. It knows nothing of streams or mirrors: every action returns announcements, which are
snapshots of what the wiki would say at that moment. Times are whole seconds since the epoch, as in MediaWiki.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final, NamedTuple

_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Bits(IntFlag):
    """What of a revision is hidden (MediaWiki's rev_deleted)."""

    NONE = 0
    TEXT = 1
    COMMENT = 2
    EDITOR = 4
    EVERYTHING = 7


class User(NamedTuple):
    """An account or address on one wiki. `user_id` None: an IP address."""

    name: str
    user_id: int | None
    central_id: int | None = None
    groups: tuple[str, ...] = ("*",)
    registered: int | None = None
    edit_count: int | None = None
    is_temp: bool = False


class Content(NamedTuple):
    """A text. `token` is a string that occurs in this text and in no other; `redirect_to` a title with spaces."""

    text: str
    token: str
    model: str
    format: str
    sha1: str
    size: int
    redirect_to: str | None


class Revision(NamedTuple):
    """A revision, which never changes; what of it is hidden is the wiki's knowledge."""

    rev_id: int
    page_id: int
    parent_id: int
    at: int
    editor: User
    comment: str
    is_minor: bool
    content: Content
    origin_rev_id: int


class PageView(NamedTuple):
    """A page as it stood at one moment. The title is prefixed and has spaces."""

    page_id: int
    title: str
    namespace_id: int
    is_redirect: bool
    redirect_to: str | None = None


class Seen(NamedTuple):
    """A revision with what was hidden of it at one moment."""

    revision: Revision
    hidden: Bits


class PageChanged(NamedTuple):
    """An announcement about a page and its current (for a deletion: last) revision.

    `restored` and `reverted_to` are the wiki's own knowledge: no stream tells them.
    """

    wiki_id: str
    kind: str
    at: int
    page: PageView
    seen: Seen
    performer: User | None
    reason: str | None = None
    prior_page: PageView | None = None
    prior: Seen | None = None
    created_redirect: PageView | None = None
    revision_count: int | None = None
    suppressed: bool = False
    restored: tuple[int, ...] = ()
    reverted_to: int | None = None


class VisibilityChanged(NamedTuple):
    """An announcement about the visibility of one revision, current or not. `before`: what was hidden until now."""

    wiki_id: str
    at: int
    page: PageView
    seen: Seen
    before: Bits
    performer: User | None
    reason: str
    is_current: bool


Announcement = PageChanged | VisibilityChanged


@dataclass(slots=True, eq=False)
class Page:
    """A page. `live` are its revisions in order, the last being current; none while the page is deleted."""

    wiki_id: str
    page_id: int
    title: str
    namespace_id: int
    live: list[Revision] = field(default_factory=list)
    archived: list[Revision] = field(default_factory=list)
    redirect_to: str | None = None
    deleted_at: int | None = None
    is_suppressed: bool = False
    former_titles: set[str] = field(default_factory=set)

    @property
    def is_live(self) -> bool:
        """Whether readers see the page."""
        return bool(self.live)

    @property
    def current(self) -> Revision:
        """The revision that readers see."""
        return self.live[-1]

    @property
    def is_redirect(self) -> bool:
        """Whether the current (for a deleted page: the last) revision is a redirect."""
        return self.redirect_to is not None

    def view(self) -> PageView:
        """The page as it stands now."""
        return PageView(self.page_id, self.title, self.namespace_id, self.is_redirect, self.redirect_to)


class Refused(Exception):
    """The wiki does not do this: the title is taken, the page is gone, or the result would show hidden text."""


class Wiki:
    """One wiki. Actions are methods; each returns what the wiki announces of it, in order."""

    def __init__(self, wiki_id: str, first_page_id: int, first_rev_id: int) -> None:
        self.wiki_id = wiki_id
        self.pages: dict[int, Page] = {}
        self.revisions: dict[int, Revision] = {}
        self.titles: dict[str, Page] = {}
        """Live pages by title."""
        self._hidden: dict[int, Bits] = {}
        self._page_id = first_page_id
        self._rev_id = first_rev_id
        self._deleted_titles: set[str] = set()
        self._retaken: set[str] = set()

    def hidden(self, revision: Revision) -> Bits:
        """What of a revision is hidden by itself, whether or not its page is deleted."""
        return self._hidden.get(revision.rev_id, Bits.NONE)

    def seen(self, revision: Revision) -> Seen:
        """The revision with what is hidden of it now."""
        return Seen(revision, self.hidden(revision))

    def can_restore(self, page: Page, revisions: Sequence[Revision]) -> bool:
        """Whether an undeletion works: the title is free and was not reused, the top revision's text is not hidden.

        A suppressed page is restored with its bits lifted, so only as a whole.
        """
        if page.is_live or not revisions or page.title in self.titles or page.title in self._retaken:
            return False
        if page.is_suppressed:
            return len(revisions) == len(page.archived)
        return not self.hidden(revisions[-1]) & Bits.TEXT

    def create(self, at: int, title: str, namespace_id: int, content: Content, user: User, comment: str) -> PageChanged:
        """Make a page with one revision."""
        if title in self.titles:
            raise Refused("the title is taken")
        self._take(title)
        self._page_id += 1 + self._page_id % 3
        page = Page(self.wiki_id, self._page_id, title, namespace_id)
        self.pages[page.page_id] = page
        self.titles[title] = page
        self._revise(page, at, content, user, comment, is_minor=False)
        return PageChanged(self.wiki_id, "create", at, page.view(), self.seen(page.current), user, comment)

    def edit(
        self,
        at: int,
        page: Page,
        content: Content,
        user: User,
        comment: str,
        *,
        is_minor: bool = False,
        reverted_to: int | None = None,
    ) -> PageChanged:
        """Make a new current revision. The announcement repeats the previous one in full."""
        prior = self.seen(self._live(page).current)
        self._revise(page, at, content, user, comment, is_minor=is_minor)
        return PageChanged(
            self.wiki_id, "edit", at, page.view(), self.seen(page.current), user, comment, prior=prior,
            reverted_to=reverted_to,
        )  # fmt: skip

    def move(
        self, at: int, page: Page, title: str, namespace_id: int, user: User, comment: str, redirect: Content | None
    ) -> list[PageChanged]:
        """Give a page another title, by a dummy revision; `redirect` is the text of a page left at the old title."""
        if title in self.titles:
            raise Refused("the title is taken")
        prior_page, prior = self._live(page).view(), self.seen(page.current)
        if prior.hidden & Bits.TEXT:
            raise Refused("the dummy revision would show the hidden text again")
        self._take(title)
        del self.titles[page.title]
        page.former_titles.add(page.title)
        page.title, page.namespace_id = title, namespace_id
        self.titles[title] = page
        origin = page.current.origin_rev_id
        self._revise(page, at, page.current.content, user, comment, is_minor=True, origin_rev_id=origin)
        made = []
        if redirect is not None:
            made.append(self.create(at, prior_page.title, prior_page.namespace_id, redirect, user, comment))
        moved = PageChanged(
            self.wiki_id, "move", at, page.view(), self.seen(page.current), user, comment, prior_page, prior,
            made[0].page if made else None,
        )  # fmt: skip
        return [moved, *made]

    def delete(self, at: int, page: Page, user: User, reason: str) -> PageChanged:
        """Delete a page: every revision goes to the archive."""
        if self.hidden(self._live(page).current) == Bits.EVERYTHING:
            raise Refused("the announcement would look like a suppression")
        seen, count = self.seen(page.current), len(page.live)
        self._archive(page, at)
        return PageChanged(self.wiki_id, "delete", at, page.view(), seen, user, reason, revision_count=count)

    def suppress(self, at: int, page: Page, reason: str) -> PageChanged:
        """Delete a page so that administrators cannot read it either: title, texts, editors and comments are secret."""
        prior, count = self.seen(self._live(page).current), len(page.live)
        self._archive(page, at)
        page.is_suppressed = True
        for revision in page.archived:
            self._hidden[revision.rev_id] = Bits.EVERYTHING
        seen = self.seen(prior.revision)
        return PageChanged(
            self.wiki_id, "delete", at, page.view(), seen, None, reason, prior=prior, revision_count=count,
            suppressed=True,
        )  # fmt: skip

    def undelete(self, at: int, page: Page, revisions: Sequence[Revision], user: User) -> PageChanged:
        """Restore some or all archived revisions. Those of a suppressed page come back with nothing hidden."""
        if not self.can_restore(page, revisions):
            raise Refused("nothing to restore, or not at this title, or its text is hidden")
        chosen = {revision.rev_id for revision in revisions}
        page.live = [revision for revision in page.archived if revision.rev_id in chosen]
        page.archived = [revision for revision in page.archived if revision.rev_id not in chosen]
        if page.is_suppressed:
            for revision in page.live:
                self._hidden.pop(revision.rev_id, None)
        page.is_suppressed = False
        page.deleted_at = None
        page.redirect_to = page.current.content.redirect_to
        self.titles[page.title] = page
        restored = tuple(revision.rev_id for revision in page.live)
        return PageChanged(
            self.wiki_id, "undelete", at, page.view(), self.seen(page.current), user, "", restored=restored
        )

    def set_visibility(
        self, at: int, page: Page, revisions: Sequence[Revision], hidden: Bits, user: User | None, reason: str
    ) -> list[Announcement]:
        """Hide or show parts of revisions: afterwards exactly `hidden` is hidden. `user` None: done by suppression.

        Each revision that changes is announced by itself; the page only when its current revision changes.
        """
        announced: list[Announcement] = []
        for revision in revisions:
            before = self.hidden(revision)
            if before == hidden:
                continue
            self._hidden[revision.rev_id] = hidden
            seen = self.seen(revision)
            is_current = revision is self._live(page).current
            announced.append(VisibilityChanged(self.wiki_id, at, page.view(), seen, before, user, reason, is_current))
            if is_current:
                prior = Seen(revision, before)
                announced.append(
                    PageChanged(self.wiki_id, "visibility_change", at, page.view(), seen, user, prior=prior)
                )
        return announced

    def _live(self, page: Page) -> Page:
        if not page.is_live:
            raise Refused("the page is deleted")
        return page

    def _take(self, title: str) -> None:
        """Restoring into an existing title merges histories without an announcement, so it is ruled out for good."""
        if title in self._deleted_titles:
            self._retaken.add(title)

    def _archive(self, page: Page, at: int) -> None:
        page.archived = sorted(page.archived + page.live)
        page.live = []
        page.deleted_at = at
        del self.titles[page.title]
        self._deleted_titles.add(page.title)

    def _revise(
        self,
        page: Page,
        at: int,
        content: Content,
        user: User,
        comment: str,
        *,
        is_minor: bool,
        origin_rev_id: int | None = None,
    ) -> None:
        parent = page.current.rev_id if page.live else 0
        self._rev_id += 1 + self._rev_id % 5
        rev_id = self._rev_id
        revision = Revision(rev_id, page.page_id, parent, at, user, comment, is_minor, content, origin_rev_id or rev_id)
        self.revisions[rev_id] = revision
        page.live.append(revision)
        page.redirect_to = content.redirect_to


def content(text: str, token: str, model: str, content_format: str, redirect_to: str | None = None) -> Content:
    """A text with its size in bytes and its sha1 as MediaWiki writes it (base 36, 31 digits)."""
    data = text.encode()
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return Content(text, token, model, content_format, _base36(digest), len(data), redirect_to)


def _base36(digest: bytes) -> str:
    number = int.from_bytes(digest)
    digits = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(_BASE36[digit])
    return "".join(reversed(digits)).rjust(31, "0")
