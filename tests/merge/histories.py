"""Histories to hold the registers against the law's definition: small worlds in which everything collides."""

from __future__ import annotations

import random
from dataclasses import dataclass

from wikimirror.merge.law import Law
from wikimirror.model import MICROSECONDS, Body, Change, Clock, Field, Format, Hidden, Kind, PageKey, change_identity

START = 1_700_000_000 * MICROSECONDS
KINDS = (
    *[Kind.EDIT] * 6,
    *[Kind.CREATE] * 2,
    Kind.MOVE,
    Kind.UNDELETE,
    Kind.UNDELETE,
    Kind.VISIBILITY_CHANGE,
    Kind.DELETE,
    Kind.DELETE,
    *[Kind.REVISION_VISIBILITY] * 2,
    *[Kind.UPDATE] * 2,
    Kind.ASSERT,
    Kind.TITLE_VACATED,
    Kind.WITHDRAWAL,
)
FLAGLESS = frozenset({Kind.UPDATE, Kind.WITHDRAWAL, Kind.TITLE_VACATED})
CLOCK_OF = {
    Kind.REVISION_VISIBILITY: (Clock.RECEIPT,),
    Kind.UPDATE: (Clock.PROCESSING,),
    Kind.TITLE_VACATED: (Clock.PROCESSING,),
    Kind.WITHDRAWAL: (Clock.PROCESSING,),
    Kind.DELETE: (Clock.ACTION, Clock.ACTION, Clock.PROCESSING),
    Kind.ASSERT: (Clock.ACTION, Clock.PROCESSING),
}


@dataclass(frozen=True)
class Shape:
    """How a history is drawn. `span` in seconds: short spans make ties and skew matter."""

    changes: int = 12
    pages: int = 2
    revisions: int = 4
    span: int = 12
    spread: int = 1
    """Seconds between neighbouring instants: 100 makes the skew of 300 s matter."""
    quiet: float = 0.0
    """The share of plain edits, each the next of its page: most revisions are then stored without registers."""


def history(rng: random.Random, wiki_id: str, shape: Shape = Shape()) -> list[Change]:
    """A set of changes about a few pages and revisions of one wiki, in no order."""
    return [_change(rng, wiki_id, shape, number) for number in range(shape.changes)]


def _plain_edit(wiki_id: str, shape: Shape, number: int) -> Change:
    rev_id = number + 1
    page_id = rev_id % shape.pages + 1
    secret = f"{wiki_id}/{rev_id};"
    time = START + number * shape.span // shape.changes * shape.spread * MICROSECONDS
    return Change(
        identity=change_identity("test", wiki_id, str(number), "plain", ""),
        kind=Kind.EDIT,
        clock=Clock.ACTION,
        time=time,
        published=time + 2_000_000,
        page=PageKey(wiki_id, page_id),
        rev_id=rev_id,
        rev_dt=START + rev_id * MICROSECONDS,
        title=f"Title {wiki_id}/{page_id}.1;",
        namespace_id=0,
        is_redirect=False,
        url=f"https://{wiki_id}/page{page_id};",
        parent_rev_id=max(0, rev_id - shape.pages),
        is_minor=False,
        text_visible=True,
        editor_visible=True,
        comment_visible=True,
        editor_name=f"Editor {secret}",
        editor_id=rev_id,
        comment=f"comment {secret}",
        sha1=f"sha1 {secret}",
        size=rev_id * 10,
        content_model="wikitext",
        bodies=(Body(Format.WIKITEXT, f"text {secret}"),),
    )


def _change(rng: random.Random, wiki_id: str, shape: Shape, number: int) -> Change:
    if rng.random() < shape.quiet:
        return _plain_edit(wiki_id, shape, number)
    kind = rng.choice(KINDS)
    clock = rng.choice(CLOCK_OF.get(kind, (Clock.ACTION,)))
    time = START + rng.randrange(shape.span) * shape.spread * MICROSECONDS
    if clock is not Clock.ACTION:
        time += rng.choice((0, 1, 400_000, 999_999))
    rev_id = rng.randint(1, shape.revisions)
    page_id = (rev_id % shape.pages) + 1 if rng.random() < 0.93 else rng.randint(1, shape.pages)
    flagless = kind in FLAGLESS or (kind is Kind.ASSERT and rng.random() < 0.3)
    flags = [None if flagless else rng.random() > 0.2 for _ in Field]
    if kind in {Kind.EDIT, Kind.CREATE} and rng.random() < 0.7:
        flags = [True, True, True]
    suppresses = kind is Kind.DELETE and flags == [False, False, False]
    silent = kind in {Kind.DELETE, Kind.REVISION_VISIBILITY, Kind.WITHDRAWAL, Kind.TITLE_VACATED}
    text, editor, comment = (flag is not False and not silent for flag in flags)
    neighbours: tuple[Hidden, ...] = ()
    if kind is Kind.EDIT and rev_id > 1 and rng.random() < 0.15:
        neighbours = (Hidden(rev_id - 1, tuple(rng.sample(list(Field), rng.randint(1, 3)))),)
    # A value is a function of its revision: what sources state of one revision's text, editor and comment agrees.
    secret = f"{wiki_id}/{rev_id};"
    return Change(
        identity=change_identity("test", wiki_id, str(number), kind.value, ""),
        kind=kind,
        clock=clock,
        time=time,
        published=time + rng.randrange(5_000_000),
        page=PageKey(wiki_id, page_id),
        rev_id=rev_id,
        rev_dt=START + rev_id * MICROSECONDS,
        title=f"Title {wiki_id}/{page_id}.{rng.randint(1, 3)};",
        namespace_id=rng.choice((0, 0, 2, None)),
        is_redirect=rng.choice((False, False, True, None)),
        url=rng.choice((f"https://{wiki_id}/{number};", None)),
        wikibase_item_id=rng.choice((None, f"Q{number}")),
        vacates=kind is Kind.MOVE and rng.random() < 0.3,
        suppresses=suppresses,
        parent_rev_id=rng.choice((None, rev_id - 1)),
        is_minor=rng.choice((None, True, False)),
        text_visible=flags[0],
        editor_visible=flags[1],
        comment_visible=flags[2],
        editor_name=f"Editor {secret}" if editor and rng.random() < 0.9 else None,
        editor_id=rev_id if editor else None,
        comment=f"comment {secret}" if comment and rng.random() < 0.9 else None,
        sha1=f"sha1 {secret}" if text else None,
        size=rev_id * 10 if text else None,
        content_model="wikitext" if text and rng.random() < 0.5 else None,
        bodies=(Body(Format.WIKITEXT, f"text {secret}"),) if text and rng.random() < 0.6 else (),
        neighbours=neighbours,
    )


def laws() -> tuple[Law, Law]:
    """Both settings of history.bodies."""
    return Law(bodies="current"), Law(bodies="all")


def shapes(rng: random.Random) -> Shape:
    """A shape at random: dense ones, ones where the skew matters, long ones."""
    return rng.choice(
        (
            Shape(),
            Shape(changes=5, pages=1, revisions=2, span=4),
            Shape(changes=7, pages=1, revisions=3, span=6, spread=100),
            Shape(changes=25, pages=2, revisions=8, span=40, spread=20),
            Shape(changes=9, pages=3, revisions=3, span=5),
            Shape(changes=16, pages=2, revisions=16, span=30, spread=40, quiet=0.8),
            Shape(changes=24, pages=4, revisions=24, span=60, spread=10, quiet=0.85),
        )
    )
