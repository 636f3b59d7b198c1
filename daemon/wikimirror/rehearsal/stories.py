"""What happens in a day: ordinary life at random, and the stories that every day must contain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from wikimirror.rehearsal.day import DAY_LENGTH, NAMESPACES, WIKIS, RunningDay, Story
from wikimirror.rehearsal.wiki import Bits, Page, Revision

_MINUTE: Final = 60
_HOUR: Final = 3600
_FEW_PAGES: Final = 16
_FULL_DAY: Final = 1000
"""Actions from which on every story is told twice."""
_HIDINGS: Final = (
    Bits.TEXT, Bits.TEXT, Bits.COMMENT, Bits.EDITOR, Bits.TEXT | Bits.COMMENT, Bits.EDITOR | Bits.COMMENT,
    Bits.EVERYTHING,
)  # fmt: skip
_PLACES: Final = (("enwiki", 0), ("wikidatawiki", 0), ("jawiki", 1), ("dewiki", 2), ("enwiki", 4), ("wikidatawiki", 4))


def life(day: RunningDay) -> Story:
    """Ordinary life: about nine in ten actions are edits."""
    for wiki_id in WIKIS:
        day.create(wiki_id, 0)
        yield day.next_pause()
    while True:
        if len(day.pages) < _FEW_PAGES and day.chance(0.5):
            day.create()
        else:
            day.resume(_something(day))
        yield day.next_pause()


def _something(day: RunningDay) -> Story:
    happens = day.rng.choices(_HAPPENINGS, _SHARES)[0]
    page = day.popular() if happens in _EDITS else day.ordinary()
    return _is_made(day) if page is None else happens(day, page)


def _is_made(day: RunningDay, _page: Page | None = None) -> Story:
    day.create()
    yield from ()


def _is_edited(day: RunningDay, page: Page) -> Story:
    """An edit, sometimes followed by more of the same person within seconds."""
    user = day.people[page.wiki_id].editor()
    day.edit(page, user)
    while day.chance(0.2):
        yield day.rng.randrange(30)
        if not page.is_live:
            return
        day.edit(page, user)


def _is_redirected(day: RunningDay, page: Page) -> Story:
    day.redirect(page)
    yield from ()


def _is_reverted(day: RunningDay, page: Page) -> Story:
    day.revert(page)
    yield from ()


def _is_moved(day: RunningDay, page: Page) -> Story:
    if day.is_item(page) or day.wikis[page.wiki_id].hidden(page.current) & Bits.TEXT:
        return
    names = NAMESPACES[page.wiki_id]
    others = [n for n in names if page.wiki_id != "wikidatawiki" or n != 0]
    namespace_id = page.namespace_id if day.chance(0.7) else day.rng.choice(others)
    title = day.prose.title(names[namespace_id])
    day.move(page, title, namespace_id=namespace_id, with_redirect=day.chance(0.6))
    yield from ()


def _is_swapped(day: RunningDay, page: Page) -> Story:
    return _titles_swapped(day, page.wiki_id)


def _is_deleted(day: RunningDay, page: Page) -> Story:
    """A deletion, often undone after seconds to hours, wholly or in part; the title may be used anew meanwhile."""
    if day.wikis[page.wiki_id].hidden(page.current) == Bits.EVERYTHING:
        return
    day.delete(page)
    fate = day.rng.choices(("stays", "replaced", "restored", "in part"), (0.4, 0.08, 0.35, 0.17))[0]
    if fate == "replaced" and not day.is_item(page):
        yield day.rng.randrange(_MINUTE, _HOUR)
        if page.title not in day.wikis[page.wiki_id].titles:
            day.create(page.wiki_id, page.namespace_id, page.title)
    elif fate in {"restored", "in part"}:
        yield int(2 * 10_000 ** day.rng.random())
        if not page.is_live:
            day.undelete(page, _some(day, page) if fate == "in part" else None)


def _is_suppressed(day: RunningDay, page: Page) -> Story:
    if not day.is_quiet(page):
        return
    day.suppress(page)
    if day.chance(0.3):
        yield day.rng.randrange(_HOUR, 4 * _HOUR)
        if not page.is_live:
            day.undelete(page)


def _is_hidden(day: RunningDay, page: Page) -> Story:
    """A hiding of one or a few revisions, sometimes undone."""
    last = len(page.live) if day.chance(0.4) else day.rng.randrange(len(page.live)) + 1
    wiki = day.wikis[page.wiki_id]
    hidden = day.rng.choice(_HIDINGS)
    revisions = [r for r in page.live[max(0, last - day.rng.randrange(1, 4)) : last] if wiki.hidden(r) != hidden]
    if not revisions or not day.is_quiet(page):
        return
    day.set_visibility(page, revisions, hidden, is_suppressed=day.chance(0.15))
    if day.chance(0.4):
        yield day.rng.randrange(11 * _MINUTE, 5 * _HOUR)
        there = [r for r in revisions if r in page.live and wiki.hidden(r)]
        if there and day.is_quiet(page):
            day.set_visibility(page, there, Bits.NONE)


_EDITS: Final = (_is_edited, _is_redirected, _is_reverted)
_HAPPENINGS: Final[tuple[Callable[[RunningDay, Page], Story], ...]] = (
    *_EDITS, _is_made, _is_moved, _is_swapped, _is_deleted, _is_suppressed, _is_hidden,
)  # fmt: skip
_SHARES: Final = (0.84, 0.005, 0.03, 0.065, 0.014, 0.0005, 0.014, 0.0025, 0.017)


def _some(day: RunningDay, page: Page) -> list[Revision]:
    """Some of the archived revisions, without the newest where that is possible."""
    wiki = day.wikis[page.wiki_id]
    readable = [r for r in page.archived if not wiki.hidden(r) & Bits.TEXT]
    older = readable[:-1] or readable
    return sorted(day.rng.sample(older, day.rng.randrange(1, len(older) + 1))) if older else []


# Stories that every day contains, each on pages of its own. Others edit those pages, and nothing else.


def must_haves(day: RunningDay) -> Iterator[tuple[int, Story]]:
    """The stories of every day with the second they begin at, on varied wikis and namespaces."""
    plots: tuple[Callable[[RunningDay, Page], Story], ...] = (
        _deleted_for_good, _deleted_by_mistake, _restored_in_part, _restored_in_part_and_edited, _deleted_twice,
        _suppressed, _suppressed_and_back, _undeleted_at_once, _text_hidden_and_shown, _details_hidden_and_shown,
        _old_revisions_hidden, _hidden_by_suppression, _hidden_and_shown_at_once, _old_one_hidden_and_shown_at_once,
        _hidden_then_deleted_and_back, _edited_and_deleted_at_once, _turned_into_redirect, _fought_over,
    )  # fmt: skip
    number = 0
    for again in range(2 if day.wished >= _FULL_DAY else 1):
        for plot in plots:
            wiki_id, namespace_id = _PLACES[(number + again) % len(_PLACES)]
            yield _start(day), _on_own_page(day, plot, wiki_id, namespace_id)
            number += 1
    for wiki_id in ("enwiki", "jawiki"):
        yield _start(day), _titles_swapped(day, wiki_id)
        yield _start(day), _moved_about(day, wiki_id)
    yield _start(day), _very_long(day)


def _start(day: RunningDay) -> int:
    return day.rng.randrange(_HOUR, DAY_LENGTH - 10 * _HOUR)


def _on_own_page(day: RunningDay, plot: Callable[[RunningDay, Page], Story], wiki_id: str, namespace_id: int) -> Story:
    page = day.create(wiki_id, namespace_id)
    day.reserved.add(page)
    for _ in range(3):
        yield day.rng.randrange(20, 15 * _MINUTE)
        day.edit(page, day.people[wiki_id].passer_by())
    yield day.rng.randrange(20, 30 * _MINUTE)
    yield from plot(day, page)


def _deleted_for_good(day: RunningDay, page: Page) -> Story:
    day.delete(page)
    yield from ()


def _deleted_by_mistake(day: RunningDay, page: Page) -> Story:
    day.delete(page)
    yield day.rng.randrange(2, 40)
    day.undelete(page)


def _restored_in_part(day: RunningDay, page: Page) -> Story:
    day.delete(page)
    yield day.rng.randrange(5 * _MINUTE, 2 * _HOUR)
    day.undelete(page, page.archived[1:3])


def _restored_in_part_and_edited(day: RunningDay, page: Page) -> Story:
    yield from _restored_in_part(day, page)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.edit(page)


def _deleted_twice(day: RunningDay, page: Page) -> Story:
    yield from _restored_in_part_and_edited(day, page)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.delete(page)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.undelete(page)


def _suppressed(day: RunningDay, page: Page) -> Story:
    day.suppress(page)
    yield from ()


def _suppressed_and_back(day: RunningDay, page: Page) -> Story:
    day.suppress(page)
    yield day.rng.randrange(20 * _MINUTE, 2 * _HOUR)
    day.undelete(page)


def _undeleted_at_once(day: RunningDay, page: Page) -> Story:
    day.delete(page)
    day.undelete(page)
    yield from ()


def _text_hidden_and_shown(day: RunningDay, page: Page) -> Story:
    day.set_visibility(page, [page.current], Bits.TEXT)
    hidden = page.current
    yield day.rng.randrange(11 * _MINUTE, 2 * _HOUR)
    day.set_visibility(page, [hidden], Bits.NONE)


def _details_hidden_and_shown(day: RunningDay, page: Page) -> Story:
    hidden = page.current
    day.set_visibility(page, [hidden], Bits.COMMENT | Bits.EDITOR)
    yield day.rng.randrange(_MINUTE, 5 * _MINUTE)
    day.edit(page)
    yield day.rng.randrange(11 * _MINUTE, 2 * _HOUR)
    day.set_visibility(page, [hidden], Bits.EDITOR)


def _old_revisions_hidden(day: RunningDay, page: Page) -> Story:
    hidden = page.live[1:3]
    day.set_visibility(page, hidden, Bits.TEXT | Bits.COMMENT)
    yield day.rng.randrange(11 * _MINUTE, 2 * _HOUR)
    day.set_visibility(page, hidden[:1], Bits.NONE)


def _hidden_by_suppression(day: RunningDay, page: Page) -> Story:
    day.set_visibility(page, page.live[:2], Bits.EVERYTHING, is_suppressed=True)
    yield day.rng.randrange(11 * _MINUTE, 2 * _HOUR)
    day.set_visibility(page, [page.current], Bits.EDITOR, is_suppressed=True)


def _hidden_and_shown_at_once(day: RunningDay, page: Page) -> Story:
    day.set_visibility(page, [page.current], Bits.TEXT | Bits.COMMENT)
    day.set_visibility(page, [page.current], Bits.NONE)
    yield from ()


def _old_one_hidden_and_shown_at_once(day: RunningDay, page: Page) -> Story:
    old = page.live[1]
    day.set_visibility(page, [old], Bits.EDITOR)
    day.set_visibility(page, [old], Bits.NONE)
    yield from ()


def _hidden_then_deleted_and_back(day: RunningDay, page: Page) -> Story:
    day.set_visibility(page, [page.current], Bits.COMMENT)
    yield day.rng.randrange(10 * _MINUTE, _HOUR)
    day.delete(page)
    yield day.rng.randrange(10 * _MINUTE, _HOUR)
    day.undelete(page)


def _edited_and_deleted_at_once(day: RunningDay, page: Page) -> Story:
    day.edit(page)
    day.delete(page)
    yield from ()


def _turned_into_redirect(day: RunningDay, page: Page) -> Story:
    day.redirect(page)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.redirect(page)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.edit(page)


def _fought_over(day: RunningDay, page: Page) -> Story:
    for _ in range(4):
        day.revert(page)
        yield day.rng.randrange(0, 6)
        day.edit(page)
        yield day.rng.randrange(0, 6)


def _titles_swapped(day: RunningDay, wiki_id: str) -> Story:
    """Three moves through a title of no meaning, without redirects, seconds apart."""
    one, other = day.create(wiki_id, 1), day.create(wiki_id, 1)
    day.reserved |= {one, other}
    yield day.rng.randrange(_MINUTE, _HOUR)
    ours, theirs = one.title, other.title
    day.move(one, day.prose.title(NAMESPACES[wiki_id][1]), with_redirect=False)
    yield day.rng.randrange(0, 4)
    day.move(other, ours, with_redirect=False)
    yield day.rng.randrange(0, 4)
    day.title_swaps += 1
    day.move(one, theirs, with_redirect=False)


def _moved_about(day: RunningDay, wiki_id: str) -> Story:
    """A draft becomes an article, and the article gets a better title."""
    names = NAMESPACES[wiki_id]
    page = day.create(wiki_id, 2)
    day.reserved.add(page)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.move(page, day.prose.title(names[0]), namespace_id=0, with_redirect=True)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.move(page, day.prose.title(names[0]), with_redirect=False)


def _very_long(day: RunningDay) -> Story:
    page = day.create("enwiki", 4, length=100_000)
    day.reserved.add(page)
    yield day.rng.randrange(_MINUTE, _HOUR)
    day.edit(page)
