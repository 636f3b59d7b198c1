"""Many small histories through the mirror at once, each in a wiki of its own, and each compared by itself."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tests.merge.histories import Shape, history, shapes
from tests.properties.budget import SEED, Budget
from wikimirror.merge.fold import Mirror, fold
from wikimirror.merge.law import Law, PageRow, RevisionRow, beats
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.checkpoints import Held, take_over
from wikimirror.mirror.connect import Session
from wikimirror.model import Advance, Batch, Change, Coordinates, Entry, Lane, PageKey, Record, RevKey

PACK = 40
"""Histories that share the batches of one round."""
RECEIVED = 1_700_100_000_000_000

_TIME = "(extract(epoch FROM {0}) * 1000000)::bigint"
_PAGES = f"""
SELECT wiki_id, page_id, state, title, namespace_id, is_redirect, rev_id, {_TIME.format("rev_dt")},
    {_TIME.format("deleted_at")}, url, wikibase_item_id FROM page WHERE wiki_id = ANY($1)
"""
_REVISIONS = f"""
SELECT wiki_id, rev_id, page_id, parent_rev_id, {_TIME.format("rev_dt")}, editor_name, editor_id, comment, is_minor,
    sha1, size, content_model, content_visible, editor_visible, comment_visible FROM revision WHERE wiki_id = ANY($1)
"""
_BODIES = "SELECT wiki_id, rev_id, format, text FROM body WHERE wiki_id = ANY($1)"
_LEDGER = "SELECT wiki_id, change_id, outcome, count(*) FROM change WHERE wiki_id = ANY($1) GROUP BY 1, 2, 3"
_WITH_WIKI = ("page", "revision", "revision_page", "body", "change", "correction", "dead_letter", "reconcile")
_SECRETS = re.compile(r"(?:text|sha1|Editor|comment|Title) wiki[^;]*;|https://wiki[^;]*;")


class Tried(NamedTuple):
    """One history. Its number and the seed give it again."""

    seed: int
    number: int
    shape: Shape
    wiki_id: str
    changes: list[Change]

    def __str__(self) -> str:
        return f"history {self.number} of seed {self.seed}, {self.shape}; alone: {SEED}={self.seed}/{self.number}"


def draw(seed: int, number: int) -> Tried:
    """The history of a number, with a shape of its own."""
    rng = random.Random(f"{seed}/{number}")
    shape = shapes(rng)
    wiki_id = f"wiki{number}"
    return Tried(seed, number, shape, wiki_id, history(rng, wiki_id, shape))


def rounds(budget: Budget, first: int, count: int) -> Iterator[tuple[random.Random, list[Tried]]]:
    """Histories `first` and following in packs, each with the chance that mixes its faults."""
    numbers = range(first, first + count) if budget.only is None else [budget.only]
    for start in range(0, len(numbers), PACK):
        pack = numbers[start : start + PACK]
        yield random.Random(f"round {budget.seed}/{pack[0]}"), [draw(budget.seed, number) for number in pack]


def readings(rng: random.Random, histories: Iterable[Tried], *, again: float = 0.3) -> list[Change]:
    """All changes in one order, each history's own order and the mixture by chance, some of them told twice."""
    changes = [change for tried in histories for change in tried.changes]
    told = changes + [change for change in changes if rng.random() < again]
    rng.shuffle(told)
    return told


def split(rng: random.Random, changes: Sequence[Change], parts: int) -> list[list[Change]]:
    """Batches of any size, that cover the changes in their order."""
    cuts = sorted(rng.randrange(len(changes) + 1) for _ in range(parts - 1))
    return [list(changes[start:end]) for start, end in zip([0, *cuts], [*cuts, len(changes)], strict=True)]


class Writer:
    """One owner of one lane. Every change given to it is a record at the lane's next offset."""

    def __init__(self, session: Session, law: Law, lane: Lane, held: Held) -> None:
        self.session, self.law, self.lane, self.held = session, law, lane, held
        self.applier = Applier(session, law)

    @classmethod
    async def of(cls, session: Session, law: Law, topic: str) -> Writer:
        lane = Lane("histories", topic, 0)
        return cls(session, law, lane, await take_over(session, lane, "test"))

    async def write(self, changes: Sequence[Change]) -> Applied:
        """Apply one batch; its account must add up (P4)."""
        result = await self.applier.apply(self.batch(changes))
        self.held = self.held._replace(position=self.held.position + len(changes))
        told = result.applied.total() + result.refused.total() + result.set_aside.total()
        assert told == len(changes), f"{len(changes)} read, but {result}"
        assert not result.set_aside
        return result

    def batch(self, changes: Sequence[Change]) -> Batch:
        source, topic, partition = self.lane
        start = self.held.position
        entries = [
            Entry(Record(Coordinates(source, topic, partition, start + n), None, RECEIVED), change)
            for n, change in enumerate(changes)
        ]
        return Batch(advances=(Advance(self.lane, self.held.epoch, start, start + len(changes)),), entries=entries)


async def must_hold(session: Session, law: Law, histories: Sequence[Tried]) -> None:
    """Rows are the definition's (P1, P2), nothing removed is anywhere (P3), the ledger has each change once (P4)."""
    wikis = [tried.wiki_id for tried in histories]
    async with session.transaction():
        found = await _mirrors(session, wikis)
        left = await _left_over(session, wikis)
        ledger = Counter[tuple[str, bytes]]()
        for wiki_id, identity, _, count in await session.fetch(_LEDGER, wikis):
            ledger[wiki_id, identity] += count
    for tried in histories:
        want = fold(tried.changes, law)
        have = found[tried.wiki_id]
        assert have.pages == want.pages, f"pages differ: {tried}"
        assert have.revisions == want.revisions, f"revisions differ: {tried}"
        assert have.bodies == want.bodies, f"bodies differ: {tried}"
        revived = forbidden(tried.changes, want, law) & left
        assert not revived, f"removed and still there: {sorted(revived)}: {tried}"
        once = Counter((tried.wiki_id, change.identity) for change in tried.changes)
        kept = Counter({key: count for key, count in ledger.items() if key[0] == tried.wiki_id})
        assert kept == once, f"the ledger has not each change once: {tried}"


async def chain_must_hold(session: Session) -> None:
    """The corrections follow each other without a break."""
    async with session.transaction():
        assert await session.fetch("SELECT * FROM correction_chain_breaks()") == []


def forbidden(changes: Iterable[Change], mirror: Mirror, law: Law) -> set[str]:
    """P3: what was told and may be nowhere now: values of revisions, titles and addresses of suppressed pages."""
    changes = list(changes)
    told: set[str | None] = set()
    for change in changes:
        told |= {change.editor_name, change.comment, change.sha1, *(body.text for body in change.bodies)}
    held: set[str | None] = set(mirror.bodies.values())
    for row in mirror.revisions.values():
        held |= {row.editor_name, row.comment, row.sha1}
    gone = {value for value in told - held if value is not None}
    for suppression in (change for change in changes if change.suppresses):
        of_page = [change for change in changes if change.page == suppression.page]
        open_again = {said for c in of_page if _beats(c, suppression, law) for said in (c.title, c.url)}
        gone |= {said for c in of_page for said in (c.title, c.url) if said is not None and said not in open_again}
    return gone


def _beats(change: Change, removal: Change, law: Law) -> bool:
    return beats(change.clock, change.time, removal.clock, removal.time, law.skew)


async def _mirrors(session: Session, wikis: list[str]) -> dict[str, Mirror]:
    mirrors = {wiki_id: Mirror({}, {}, {}) for wiki_id in wikis}
    for wiki_id, page_id, *columns in await session.fetch(_PAGES, wikis):
        mirrors[wiki_id].pages[PageKey(wiki_id, page_id)] = PageRow(*columns)
    for wiki_id, rev_id, *columns in await session.fetch(_REVISIONS, wikis):
        mirrors[wiki_id].revisions[RevKey(wiki_id, rev_id)] = RevisionRow(*columns)
    for wiki_id, rev_id, format_, text in await session.fetch(_BODIES, wikis):
        mirrors[wiki_id].bodies[wiki_id, rev_id, format_] = text
    return mirrors


async def _left_over(session: Session, wikis: list[str]) -> set[str]:
    """Every value of these wikis that stands in any table, registers, ledger and the rest included."""
    left: set[str] = set()
    for table in _WITH_WIKI:
        rows = await session.fetch(f"SELECT t::text AS row FROM {table} t WHERE wiki_id = ANY($1)", wikis)
        for row in rows:
            left.update(_SECRETS.findall(row["row"]))
    return left
