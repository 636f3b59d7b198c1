"""A simulated day as its records arrive, with some that must be set aside."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

from wikimirror.model import Coordinates, Lane, Record
from wikimirror.ops.compare import Expected
from wikimirror.rehearsal import WIKIS, Day, simulate_day

ACTIONS = 1000
SEED = 7
RECEIVED = 1_800_000_000_000_000
MALFORMED = b'{"meta": {"stream": "mediawiki.page_change.v1"}, "page_change_kind": "edit", "wiki_id": '
NUL = "a comment that Postgres cannot hold \x00"


class Arriving(NamedTuple):
    """What is played, and what must be true in the end. `set_aside`: how many records cannot be applied."""

    records: Sequence[Record]
    lanes: Sequence[Lane]
    expected: Expected
    set_aside: int

    async def read(self) -> AsyncIterator[Record]:
        for record in self.records:
            yield record


def arriving() -> Arriving:
    """The day of a seed, ended by a lane of records that are to be set aside."""
    day = simulate_day(SEED, ACTIONS, out_of_scope=True)
    records = [
        Record(Coordinates("rights", each.topic, each.partition, each.offset), each.value, RECEIVED)
        for each in day.arrivals
    ]
    bad = list(_bad_values(records))
    records += [Record(Coordinates("rights", "bad", 0, n), value, RECEIVED) for n, value in enumerate(bad)]
    lanes = sorted({Lane(at.source, at.topic, at.partition) for at in (record.at for record in records)})
    return Arriving(records, lanes, _expected(day), len(bad))


def _bad_values(records: Sequence[Record]) -> Iterator[bytes]:
    """A record that is cut off, and edits that Postgres refuses, of pages that nothing else names."""
    yield MALFORMED
    edit = next(said for said in _said(records) if said["page_change_kind"] == "edit" and said["wiki_id"] in WIKIS)
    # A neighbour that it hides would be hidden all the same.
    del edit["prior_state"]
    edit["revision"] |= {f"is_{field}_visible": True for field in ("content", "editor", "comment")}
    edit["revision"] |= {"editor": {"user_text": "Ada", "user_id": 7}, "comment": NUL}
    for number in range(2):
        edit["page"]["page_id"] = edit["revision"]["rev_id"] = 2**40 + number
        edit["meta"]["id"] = f"00000000-0000-4000-8000-{number:012}"
        yield json.dumps(edit).encode()


def _said(records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    for record in records:
        try:
            said = json.loads(record.value or b"")
        except ValueError:
            continue
        if "page_change_kind" in said:
            yield said


def _expected(day: Day) -> Expected:
    current = {(page.wiki_id, page.rev_id) for page in day.truth.pages.values()}
    texts = {key: body._asdict() for key, body in day.truth.bodies.items()}
    return Expected(
        pages={key: page._asdict() for key, page in day.truth.pages.items()},
        revisions={key: revision._asdict() for key, revision in day.truth.revisions.items()},
        bodies={key: row for key, row in texts.items() if key[:2] in current},
        permitted=texts,
        forbidden=day.truth.forbidden,
    )
