"""What the simulated wikis hold at the end of a day, as a reader without rights may see it.

Times are microseconds since the epoch. A deleted page keeps its title (unless suppressed), namespace and redirect flag
as of the deletion. A revision of a deleted page, or still in the archive after a partial restore, keeps its
identifiers and times only. With a hidden text go sha1, size and content model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

from wikimirror.rehearsal.streams import Site, url
from wikimirror.rehearsal.wiki import Bits, Content, Page, Revision, Wiki

_SECOND: Final = 1_000_000
_FORMATS: Final = {"text/x-wiki": "wikitext", "application/json": "json"}


class TruePage(NamedTuple):
    """A page. `rev_id`, `rev_dt`, `url` and `wikibase_item_id` only when live, `deleted_at` only when deleted."""

    wiki_id: str
    page_id: int
    state: str
    title: str | None
    namespace_id: int | None
    is_redirect: bool | None
    rev_id: int | None
    rev_dt: int | None
    deleted_at: int | None
    url: str | None
    wikibase_item_id: str | None


class TrueRevision(NamedTuple):
    """A revision. `parent_rev_id` 0: the first of its page. `editor_id` None: hidden, or an IP address."""

    wiki_id: str
    rev_id: int
    page_id: int
    parent_rev_id: int | None
    rev_dt: int
    editor_name: str | None
    editor_id: int | None
    comment: str | None
    is_minor: bool
    sha1: str | None
    size: int | None
    content_model: str | None
    content_visible: bool
    editor_visible: bool
    comment_visible: bool


class TrueBody(NamedTuple):
    """A permitted text; `format` is wikitext or json."""

    wiki_id: str
    rev_id: int
    format: str
    text: str


@dataclass(frozen=True, slots=True)
class Truth:
    """All rows, keyed (wiki_id, page_id), (wiki_id, rev_id) and (wiki_id, rev_id, format), and all secrets.

    `forbidden` are strings that were announced and may be nowhere now: texts and the mark of each, editor names,
    comments, and a suppressed page's title as it is written in titles, records and addresses.
    """

    pages: dict[tuple[str, int], TruePage]
    revisions: dict[tuple[str, int], TrueRevision]
    bodies: dict[tuple[str, int, str], TrueBody]
    forbidden: frozenset[str]


def truth_of(wikis: Iterable[Wiki], sites: Mapping[str, Site]) -> Truth:
    """The truth of some wikis as they stand. Bodies and secret texts only of wikis whose records carry text."""
    pages: dict[tuple[str, int], TruePage] = {}
    revisions: dict[tuple[str, int], TrueRevision] = {}
    bodies: dict[tuple[str, int, str], TrueBody] = {}
    secrets = _Secrets()
    for wiki in wikis:
        site = sites[wiki.wiki_id]
        for page in wiki.pages.values():
            row = _page(page, site)
            pages[row.wiki_id, row.page_id] = row
            secrets.page(page, row, site)
            for revision, hidden in _revisions(wiki, page):
                true = _revision(wiki.wiki_id, revision, hidden)
                revisions[true.wiki_id, true.rev_id] = true
                secrets.revision(revision, hidden, has_text=site.has_text)
                if site.has_text and true.content_visible:
                    text = revision.content
                    body = TrueBody(true.wiki_id, true.rev_id, _FORMATS[text.format], text.text)
                    bodies[body.wiki_id, body.rev_id, body.format] = body
    return Truth(pages, revisions, bodies, secrets.forbidden())


def _revisions(wiki: Wiki, page: Page) -> Iterator[tuple[Revision, Bits]]:
    for revision in page.live:
        yield revision, wiki.hidden(revision)
    for revision in page.archived:
        yield revision, Bits.EVERYTHING


def _page(page: Page, site: Site) -> TruePage:
    current = page.current if page.is_live else None
    return TruePage(
        wiki_id=page.wiki_id,
        page_id=page.page_id,
        state="deleted" if current is None else "live",
        title=None if page.is_suppressed else page.title,
        namespace_id=page.namespace_id,
        is_redirect=page.is_redirect,
        rev_id=None if current is None else current.rev_id,
        rev_dt=None if current is None else current.at * _SECOND,
        deleted_at=None if page.deleted_at is None else page.deleted_at * _SECOND,
        url=None if current is None else url(site.domain, page.title),
        wikibase_item_id=None,
    )


def _revision(wiki_id: str, revision: Revision, hidden: Bits) -> TrueRevision:
    text, editor, comment = (not hidden & bit for bit in (Bits.TEXT, Bits.EDITOR, Bits.COMMENT))
    return TrueRevision(
        wiki_id=wiki_id,
        rev_id=revision.rev_id,
        page_id=revision.page_id,
        parent_rev_id=revision.parent_id,
        rev_dt=revision.at * _SECOND,
        editor_name=revision.editor.name if editor else None,
        editor_id=revision.editor.user_id if editor else None,
        comment=revision.comment if comment else None,
        is_minor=revision.is_minor,
        sha1=revision.content.sha1 if text else None,
        size=revision.content.size if text else None,
        content_model=revision.content.model if text else None,
        content_visible=text,
        editor_visible=editor,
        comment_visible=comment,
    )


class _Secrets:
    """Gathers what is secret and what is permitted; a string that is permitted anywhere is no secret."""

    def __init__(self) -> None:
        self._secret: set[str] = set()
        self._permitted: set[str] = set()
        self._secret_titles: set[str] = set()
        self._speaking_of_titles: list[str] = []

    def page(self, page: Page, row: TruePage, site: Site) -> None:
        if row.title is None:
            address = url(site.domain, page.title)
            self._secret_titles |= {page.title, page.title.replace(" ", "_"), address.rpartition("/")[2]}
        else:
            # A title that another page bore too is that page's history as well.
            for title in (row.title, *sorted(page.former_titles)):
                self._speaking_of_titles += [title, title.replace(" ", "_"), url(site.domain, title)]
            if row.url is not None:
                self._speaking_of_titles.append(row.url)

    def revision(self, revision: Revision, hidden: Bits, *, has_text: bool) -> None:
        self._sort(hidden & Bits.EDITOR, revision.editor.name)
        self._sort(hidden & Bits.COMMENT, revision.comment)
        if not hidden & Bits.COMMENT:
            self._speaking_of_titles.append(revision.comment)
        if has_text:
            self._sort(hidden & Bits.TEXT, revision.content.text, revision.content.token)
            if not hidden & Bits.TEXT and _speaks_of_titles(revision.content):
                self._speaking_of_titles.append(revision.content.text)

    def forbidden(self) -> frozenset[str]:
        said = "\n".join(chain(self._speaking_of_titles))
        titles = {title for title in self._secret_titles if title not in said}
        return frozenset((self._secret - self._permitted - {""}) | titles)

    def _sort(self, is_secret: Bits, *strings: str) -> None:
        (self._secret if is_secret else self._permitted).update(strings)


def _speaks_of_titles(text: Content) -> bool:
    return text.redirect_to is not None or text.format == "application/json"
