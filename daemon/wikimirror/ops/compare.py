"""The mirror against a truth, every public column of page, revision and body, and a search for what must be gone.

A page with an open reconcile row waits: the mirror may then withhold what the truth permits (hidden first, asked
after), but never show what the truth does not, nor show something else. Anything else is a difference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from wikimirror.mirror.connect import Session
from wikimirror.ops.reports import Difference

Row = Mapping[str, Any]
"""Public columns by name; times as whole microseconds."""

_MICROSECONDS: Final = "(extract(epoch FROM {0}) * 1000000)::bigint AS {0}"
_PAGES: Final = f"""
SELECT wiki_id, page_id, state, title, namespace_id, is_redirect, rev_id, {_MICROSECONDS.format("rev_dt")},
    {_MICROSECONDS.format("deleted_at")}, url, wikibase_item_id FROM page
"""  # noqa: S608  # constants only
_REVISIONS: Final = f"""
SELECT wiki_id, rev_id, page_id, parent_rev_id, {_MICROSECONDS.format("rev_dt")}, editor_name, editor_id, comment,
    is_minor, sha1, size, content_model, content_visible, editor_visible, comment_visible FROM revision
"""  # noqa: S608
_BODIES: Final = "SELECT wiki_id, rev_id, format, text FROM body"
_WAITING: Final = "SELECT wiki_id, page_id, reason FROM reconcile"
_TABLES: Final = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))::oid AND c.relkind = 'r' ORDER BY 1
"""


_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Expected:
    """A truth. `bodies` must be there and `permitted` ones may; `forbidden` strings may stand nowhere."""

    pages: Mapping[tuple[str, int], Row]
    revisions: Mapping[tuple[str, int], Row]
    bodies: Mapping[tuple[str, int, str], Row]
    permitted: Mapping[tuple[str, int, str], Row]
    """With history.bodies = current, texts of revisions that could become current again are kept too."""
    forbidden: frozenset[str]


@dataclass(slots=True)
class Comparison:
    """What was found. `waiting`: pages by the reason they wait for; a page may wait for several.

    `withholding`: how many of them show less than the truth permits. The others wait for what turned out to be so.
    """

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)
    withholding: int = 0
    forbidden_found: int = 0


async def compare(session: Session, expected: Expected) -> Comparison:
    """Read the whole mirror and compare. For rehearsals: it holds all rows in memory."""
    found = Comparison()
    async with session.transaction():
        waits = {((row["wiki_id"], row["page_id"]), row["reason"]) for row in await session.fetch(_WAITING)}
        found.waiting = dict(sorted(Counter(reason for _, reason in waits).items()))
        waiting = {page for page, _ in waits}
        pages = {(r["wiki_id"], r["page_id"]): dict(r) for r in await session.fetch(_PAGES)}
        revisions = {(r["wiki_id"], r["rev_id"]): dict(r) for r in await session.fetch(_REVISIONS)}
        bodies = {(r["wiki_id"], r["rev_id"], r["format"]): dict(r) for r in await session.fetch(_BODIES)}
        page_of = {key: (key[0], row["page_id"]) for key, row in (*expected.revisions.items(), *revisions.items())}
        also = {key: row for key, row in expected.permitted.items() if key in bodies}
        tables = (
            Table("page", expected.pages, pages, lambda key: key),
            Table("revision", expected.revisions, revisions, lambda key: page_of[key]),
            Table("body", {**also, **expected.bodies}, bodies, lambda key: page_of.get(key[:2])),
        )
        withholding: set[Any] = set()
        for table in tables:
            found.differences += _differences(table, waiting, withholding)
        found.withholding = len(withholding)
        found.compared = {
            "page": len(expected.pages),
            "revision": len(expected.revisions),
            "body": len(expected.bodies),
        }
        found.forbidden_found = await _search(session, expected.forbidden)
    return found


class Table(NamedTuple):
    """One table's rows by key, expected and found, and the page that each row belongs to."""

    name: str
    expected: Mapping[Any, Row]
    found: Mapping[Any, Row]
    page_of: Callable[[Any], Any]


def _differences(table: Table, waiting: Collection[Any], withholding: set[Any]) -> Iterable[Difference]:
    """Differences of one table; pages that wait and show less than expected are added to `withholding` instead."""
    for key in sorted(table.expected.keys() | table.found.keys()):
        want, have, page = table.expected.get(key), table.found.get(key), table.page_of(key)
        name = " ".join(str(part) for part in key)
        if want is None or have is None:
            if have is None and table.name == "body" and page in waiting:
                withholding.add(page)
            else:
                yield Difference(table.name, name, "", "a row" if want else None, "a row" if have else None)
            continue
        for column, value in want.items():
            if value == have[column]:
                continue
            if page in waiting and _withheld(column, value, have):
                withholding.add(page)
            else:
                yield Difference(table.name, name, column, _short(value), _short(have[column]))


def _withheld(column: str, want: object, have: Row) -> bool:
    """Whether the mirror says less than the truth: nothing at all, or that the page is not to be served."""
    value = have[column]
    if column == "state":
        return want == "live" and value in {"deleted", "vacated", None}
    if column == "deleted_at":
        return want is None and have["state"] == "deleted"
    return value is None or (want is True and value is False)


async def _search(session: Session, forbidden: frozenset[str]) -> int:
    """In how many tables and for how many strings something that must be gone is still there.

    Every string is searched for in every row. Its longest word is looked up first among the table's words, for a set
    answers sooner than a search through all the text.
    """
    words = {secret: max(_WORD.findall(secret), key=len, default="") for secret in forbidden}
    hits = 0
    for row in await session.fetch(_TABLES):
        rows = await session.fetch(f'SELECT t::text AS row FROM "{row["relname"]}" t')  # noqa: S608  # from the catalogue
        # A row's text doubles quotes and backslashes.
        everything = "\n".join(r["row"] for r in rows).replace('""', '"').replace("\\\\", "\\")
        known = set(_WORD.findall(everything))
        hits += sum(word in known and secret in everything for secret, word in words.items() if word)
        hits += sum(secret in everything for secret, word in words.items() if not word)
    return hits


def _short(value: object) -> str | None:
    """Differences are told to the person who runs a rehearsal of a simulated wiki: its texts are no one's."""
    return None if value is None else str(value)[:80]
