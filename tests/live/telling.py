"""What a log must not tell: every string of a day's records that may be hidden one day, and records that provoke it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote
from uuid import UUID

import wikimirror
from tests.live.daemon import Daemon
from wikimirror.mirror.connect import connect
from wikimirror.rehearsal import Day

TYPOS: Final = "ALTER TABLE wikimirror.revision ADD CONSTRAINT no_typos CHECK (comment !~ '^typo why-0')"
"""Postgres then refuses some revisions, and quotes each whole in its DETAIL line."""
END_SESSIONS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_DAMAGED: Final = 5
"""Records of which damaged copies are made."""
_TELLING: Final = {"page_title", "comment", "user_text", "content_body", "uri"}
"""Keys of records whose values nobody may read in a log."""
_WORD: Final = re.compile(r"\w{4,}")


def must_tell_nothing(day: Day, said: str) -> None:
    """No word of the day's contents is in what was said, but those that the program itself is made of."""
    contents = list(_contents(day))
    assert len(contents) > len(day.arrivals)
    assert _words(said) & _words("\n".join(contents)) - _own_words() == set()


async def said_by(daemon: Daemon) -> str:
    """All that a daemon has said and says now, and how it ends: it is stopped, and must end well."""
    said = [json.dumps((await daemon.get("/readyz")).body), str(await daemon.metrics())]
    assert await daemon.stop() == 0, (daemon.tail, daemon.stdout)
    return "\n".join([*said, bytes(daemon.stderr).decode(), bytes(daemon.stdout).decode(), *map(str, daemon.log)])


async def reasons_of(database_url: str) -> set[str]:
    """Why records were set aside."""
    async with await connect(database_url) as session, session.transaction():
        return {row[0] for row in await session.fetch("SELECT DISTINCT reason FROM dead_letter")}


def damaged_of(day: Day) -> list[tuple[str, bytes]]:
    """Topics and records of the day, each with one thing wrong, so that what refuses them has content to quote."""
    whole = [
        (arrival.topic, json.loads(arrival.value))
        for arrival in day.arrivals
        if arrival.value is not None and b"content_body" in arrival.value and b'"why-' in arrival.value
    ]
    return [
        (topic, value) for number, (topic, record) in enumerate(whole[:_DAMAGED]) for value in _damaged(record, number)
    ]


def _damaged(record: dict[str, Any], number: int) -> Iterator[bytes]:
    revision, title = record["revision"], record["page"]["page_title"]
    comment, editor = revision["comment"], revision["editor"]["user_text"]
    yield json.dumps(record, ensure_ascii=False).encode()[:-60]
    changed: list[dict[str, Any]] = [
        {"dt": comment},
        {"page_change_kind": editor},
        {"$schema": comment},
        {"page": {**record["page"], "page_title": [title]}},
        {"page": {**record["page"], "page_id": title}},
        {"revision": {**revision, "rev_id": 2**70}},
        {"revision": {**revision, "rev_dt": editor}},
        {"revision": {**revision, "comment": f"{comment}\0"}},
        {"revision": {**revision, "comment": f"{comment}\ud800"}},
        {"revision": {**revision, "rev_size": comment}},
    ]
    for kind, change in enumerate(changed):
        meta = {**record["meta"], "id": str(UUID(int=1000 * number + kind))}
        yield json.dumps({**record, **change, "meta": meta}).encode()


def _contents(day: Day) -> Iterator[str]:
    """Every string of the day's records that may be hidden one day, and of its truth what is hidden now."""
    for arrival in day.arrivals:
        if arrival.value is not None:
            yield from _told(json.loads(arrival.value))
    yield from day.truth.forbidden


def _told(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _told(inner, name)
    elif key in _TELLING:
        yield unquote(str(value).rpartition("/wiki/")[2])


def _words(text: str) -> set[str]:
    """Words, with what only looks different undone; numbers are everywhere, and left out."""
    plain = unquote(text).replace("_", " ")
    return {word for word in _WORD.findall(plain) if not word.isdigit()}


def _own_words() -> set[str]:
    """The words of the program's source: what it may say by itself."""
    root = Path(wikimirror.__file__).parent
    files = (path for path in root.rglob("*.py") if "rehearsal" not in path.parts)
    return {word for path in files for word in _words(path.read_text(encoding="utf-8"))}
