"""What the benchmarks apply: edits of pages of uneven popularity, small or with a body, as many as asked for."""

from __future__ import annotations

import random
from typing import NamedTuple

from wikimirror.model import MICROSECONDS, Body, Change, Clock, Coordinates, Format, Kind, PageKey, Record

START = 1_790_700_000 * MICROSECONDS
PAGES = 20_000
SEED = 5


class Load(NamedTuple):
    """Changes with the records they stand for; the records' values are empty, for decoding is measured apart."""

    changes: list[Change]
    records: list[Record]


def edits(count: int, body_bytes: int = 0) -> Load:
    """`count` creations and edits, 20 a second of the wiki's time; 2,000 in a row are of some 700 pages."""
    rng = random.Random(SEED)  # not for secrets
    words = ["".join(rng.choices("abcdefghijklmnop ", k=7)) for _ in range(3000)]
    latest: dict[int, int] = {}
    changes = []
    for number in range(1, count + 1):
        page_id = int(rng.paretovariate(0.25)) % PAGES + 1
        at = START + number // 20 * MICROSECONDS
        bodies = (Body(Format.WIKITEXT, " ".join(rng.choices(words, k=body_bytes // 8))),) if body_bytes else ()
        changes.append(
            Change(
                identity=number.to_bytes(16, "big"),
                kind=Kind.EDIT if page_id in latest else Kind.CREATE,
                clock=Clock.ACTION,
                time=at,
                published=at + 2_100_000,
                page=PageKey("enwiki", page_id),
                rev_id=number,
                rev_dt=at,
                title=f"Page number {page_id}",
                namespace_id=0,
                is_redirect=False,
                url=f"https://en.wikipedia.org/wiki/Page_number_{page_id}",
                parent_rev_id=latest.get(page_id, 0),
                is_minor=False,
                text_visible=True,
                editor_visible=True,
                comment_visible=True,
                editor_name=f"Editor {number % 3000}",
                editor_id=number % 3000,
                comment="/* History */ corrected a date and a name",
                sha1=f"{number:031d}",
                size=body_bytes or 8000,
                content_model="wikitext",
                bodies=bodies,
            )
        )
        latest[page_id] = number
    topic = "eqiad.mediawiki.page_change.v1"
    records = [Record(Coordinates("bench", topic, 0, n), b"", change.published) for n, change in enumerate(changes)]
    return Load(changes, records)
