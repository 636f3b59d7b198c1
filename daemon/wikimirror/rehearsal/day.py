"""A day in the simulated wikis: who does what, when.

A day is run as a discrete simulation. Stories are generators that act and yield the seconds until they go on; between
them ordinary life happens at a pace that spends exactly the wished number of actions by midnight.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Generator, Iterable
from random import Random
from typing import Final

from wikimirror.rehearsal.people import People
from wikimirror.rehearsal.prose import Prose
from wikimirror.rehearsal.streams import Site
from wikimirror.rehearsal.wiki import Announcement, Bits, Content, Page, PageChanged, Refused, Revision, User, Wiki

DAY_START: Final = 1_790_726_400
"""2026-09-30T00:00:00Z: what is late or redelivered falls into another month."""
DAY_LENGTH: Final = 86_400
_LAST_SECOND: Final = DAY_START + DAY_LENGTH - 1
QUIET: Final = 600
"""Seconds between two visibility changes of one page, unless they fall into one second on purpose.

The visibility stream carries the time of receipt, up to minutes late: nearer ones may be told in the wrong order.
"""

SITES: Final = {
    "enwiki": Site("en.wikipedia.org", has_text=True),
    "dewiki": Site("de.wikipedia.org", has_text=True),
    "wikidatawiki": Site("www.wikidata.org", has_text=True),
    "jawiki": Site("ja.wikipedia.org", has_text=False),
}
WIKIS: Final = tuple(SITES)
"""The wikis that the truth tells of."""
OUTSIDE: Final = "testwiki"
"""A wiki that no truth tells of, for records out of scope."""
_WEIGHTS: Final = (0.4, 0.15, 0.25, 0.2)
_FIRST_IDS: Final = {
    "enwiki": (80_100_000, 1_310_000_000),
    "dewiki": (13_200_000, 248_000_000),
    "wikidatawiki": (135_000_000, 2_550_000_000),
    "jawiki": (5_100_000, 106_000_000),
}
NAMESPACES: Final = {
    "enwiki": {0: "", 1: "Talk", 2: "User", 4: "Wikipedia", 10: "Template", 14: "Category"},
    "dewiki": {0: "", 1: "Diskussion", 2: "Benutzer", 4: "Wikipedia", 10: "Vorlage", 14: "Kategorie"},
    "wikidatawiki": {0: "", 1: "Talk", 2: "User", 4: "Wikidata", 10: "Template", 14: "Category"},
    "jawiki": {0: "", 1: "ノート", 2: "利用者", 4: "Wikipedia", 10: "Template", 14: "Category"},
}
_NAMESPACE_WEIGHTS: Final = (0.6, 0.12, 0.1, 0.06, 0.05, 0.07)

_MINOR_SHARE: Final = 0.2

Story = Generator[int, None, None]
"""Acts when resumed; yields the seconds until it is to be resumed."""


class _DayOver(Exception):
    """The wished number of actions has been done."""


class RunningDay:
    """A running day. Its acting methods each do one action of one wiki now, and note what the wiki announced."""

    def __init__(self, seed: int, actions: int) -> None:
        if actions < 1:
            raise ValueError("a day has at least one action")
        self.rng = Random(f"day {seed}")
        self.prose = Prose(self.rng)
        self.wikis = {wiki_id: Wiki(wiki_id, *_FIRST_IDS[wiki_id]) for wiki_id in SITES}
        self.people = {wiki_id: People(self.rng, DAY_START) for wiki_id in SITES}
        self.log: list[tuple[int, Announcement]] = []
        self.title_swaps = 0
        self.actions = 0
        self.now = DAY_START
        self.pages: list[Page] = []
        """Every page ever made, the most popular first."""
        self.reserved: set[Page] = set()
        """Pages that a story needs as they are: others only edit them."""
        self._quiet: dict[Page, int] = {}
        self.wished = actions
        self._agenda: list[tuple[int, int, Story]] = []
        self._begun = 0

    def run(self, stories: Iterable[tuple[int, Story]], life: Story) -> None:
        """Run stories, given with their start in seconds of the day, and ordinary life until midnight."""
        self.begin(life)
        for start, story in stories:
            self.begin(story, start)
        try:
            while self._agenda:
                self.now, _, story = heapq.heappop(self._agenda)
                self.resume(story)
        except _DayOver:
            return

    def resume(self, story: Story) -> None:
        """Let a story act now, and again after the pause it asks for."""
        pause = next(story, None)
        if pause is not None:
            self.begin(story, pause)

    def begin(self, story: Story, after: int = 0) -> None:
        """Resume a story after some seconds; what would go on after midnight is left as it is."""
        self._begun += 1
        if self.now + after <= _LAST_SECOND:
            heapq.heappush(self._agenda, (self.now + after, self._begun, story))

    def next_pause(self) -> int:
        """Seconds to the next ordinary action: what is left of the day over what is left to do, busiest at noon."""
        left = _LAST_SECOND - self.now
        mean = left / max(1, self.wished - self.actions)
        rhythm = 1.0 + 0.4 * math.cos(math.tau * (self.now - DAY_START) / DAY_LENGTH)
        whole, rest = divmod(mean * 2 * self.rng.random() * rhythm, 1)
        return min(int(whole) + self.chance(rest), left)

    def chance(self, share: float) -> bool:
        """True in the given share of cases."""
        return self.rng.random() < share

    # What a day may be asked about its pages.

    def popular(self) -> Page | None:
        """A live page, by a Zipf-like draw; None when there are none near it."""
        for _ in range(20):
            if self.pages:
                page = self.pages[int(len(self.pages) ** self.rng.random()) - 1]
                if page.is_live:
                    return page
        return None

    def ordinary(self) -> Page | None:
        """A live page, each as likely, that no story has reserved."""
        for _ in range(20):
            if self.pages:
                page = self.rng.choice(self.pages)
                if page.is_live and page not in self.reserved:
                    return page
        return None

    def is_quiet(self, page: Page) -> bool:
        """Whether the last visibility change of a page is long enough ago for another."""
        return self._quiet.get(page, 0) <= self.now

    def is_item(self, page: Page) -> bool:
        """Whether the page is a Wikidata item: JSON, and never moved."""
        return page.wiki_id == "wikidatawiki" and page.namespace_id == 0

    # Actions.

    def create(
        self, wiki_id: str | None = None, namespace_id: int | None = None, title: str | None = None,
        length: int | None = None,
    ) -> Page:  # fmt: skip
        """Make a page, by default anywhere."""
        if wiki_id is None:
            wiki_id = self.rng.choices(WIKIS, _WEIGHTS)[0]
        names = NAMESPACES[wiki_id]
        if namespace_id is None:
            namespace_id = self.rng.choices(list(names), _NAMESPACE_WEIGHTS)[0]
        is_item = wiki_id == "wikidatawiki" and namespace_id == 0
        title = title or (self.prose.item_title() if is_item else self.prose.title(names[namespace_id]))
        text = self.prose.item(title) if is_item else self.prose.article(length)
        user = self.people[wiki_id].editor()
        said = self.wikis[wiki_id].create(self.now, title, namespace_id, text, user, self.prose.comment())
        return self._note_made(said)

    def edit(self, page: Page, user: User | None = None, text: Content | None = None, comment: str = "") -> None:
        """Save a new text."""
        people = self.people[page.wiki_id]
        if text is None:
            text = self.prose.item(page.title) if self.is_item(page) else self.prose.article()
        said = self.wikis[page.wiki_id].edit(
            self.now, page, text, user or people.editor(), comment or self.prose.comment(),
            is_minor=self.chance(_MINOR_SHARE),
        )  # fmt: skip
        self._note(said)

    def redirect(self, page: Page) -> None:
        """Make a page redirect to another of its wiki."""
        others = [p for p in self.rng.sample(self.pages, min(20, len(self.pages))) if p.wiki_id == page.wiki_id]
        target = next((p.title for p in others if p.is_live and p is not page), None)
        if self.is_item(page):
            text = self.prose.item_redirect(page.title, target or self.prose.item_title())
        else:
            text = self.prose.redirect(target or self.prose.title(""))
        self.edit(page, text=text)

    def revert(self, page: Page) -> None:
        """Restore the text of an earlier revision, by an edit; a plain edit where none can be read."""
        wiki = self.wikis[page.wiki_id]
        readable = [r for r in page.live[-12:-1] if not wiki.hidden(r) & Bits.TEXT]
        if not readable:
            self.edit(page)
            return
        old = self.rng.choice(readable)
        user = self.people[page.wiki_id].editor()
        comment = f"Restored revision {old.rev_id} {self.prose.mark('undo')}"
        self._note(wiki.edit(self.now, page, old.content, user, comment, reverted_to=old.rev_id))

    def move(self, page: Page, title: str, *, namespace_id: int | None = None, with_redirect: bool) -> None:
        """Give a page another title."""
        wiki = self.wikis[page.wiki_id]
        user = self.people[page.wiki_id].editor()
        comment = f"moved page [[{page.title}]] to [[{title}]] {self.prose.mark('move')}"
        namespace_id = page.namespace_id if namespace_id is None else namespace_id
        redirect = self.prose.redirect(title) if with_redirect else None
        said = wiki.move(self.now, page, title, namespace_id, user, comment, redirect)
        self._note(*said)
        if len(said) > 1:
            self.pages.append(wiki.pages[said[1].page.page_id])

    def delete(self, page: Page) -> None:
        """Delete a page; the reason quotes its text and its editor, as MediaWiki proposes."""
        current = page.current
        reason = f'content was: "{current.content.token}", and the only contributor was "{current.editor.name}"'
        admin = self.people[page.wiki_id].administrator()
        self._note(self.wikis[page.wiki_id].delete(self.now, page, admin, reason))

    def suppress(self, page: Page) -> None:
        """Delete a page and hide it from administrators too."""
        reason = f'content was: "{page.current.content.token}"'
        self._quiet[page] = self.now + QUIET
        self._note(self.wikis[page.wiki_id].suppress(self.now, page, reason))

    def undelete(self, page: Page, revisions: list[Revision] | None = None) -> bool:
        """Restore all or some archived revisions; False if the wiki does not do that."""
        wiki = self.wikis[page.wiki_id]
        revisions = list(page.archived) if revisions is None else revisions
        if not wiki.can_restore(page, revisions):
            return False
        self._note(wiki.undelete(self.now, page, revisions, self.people[page.wiki_id].administrator()))
        return True

    def set_visibility(
        self, page: Page, revisions: list[Revision], hidden: Bits, *, is_suppressed: bool = False
    ) -> None:
        """Hide or show parts of some revisions of a page."""
        admin = None if is_suppressed else self.people[page.wiki_id].administrator()
        self._quiet[page] = self.now + QUIET
        reason = f"[[WP:RD2]] {self.prose.mark('hide')}"
        wiki = self.wikis[page.wiki_id]
        self._note(*wiki.set_visibility(self.now, page, revisions, hidden, admin, reason))

    def _note_made(self, said: PageChanged) -> Page:
        page = self.wikis[said.wiki_id].pages[said.page.page_id]
        self.pages.append(page)
        self._note(said)
        return page

    def _note(self, *said: Announcement) -> None:
        if not said:
            raise Refused("nothing changed")
        self.log.extend((self.actions, announcement) for announcement in said)
        self.actions += 1
        if self.actions >= self.wished:
            raise _DayOver
