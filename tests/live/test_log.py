"""What a daemon says at debug level on a bad day: no text, title, editor name, comment or password (promise P3)."""

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
from tests.live.truth import durable, nobody_writes
from tests.live.world import World, a_day, serve
from wikimirror.mirror.connect import connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.rehearsal import Answer, Cut, Day, Faults

SEED, ACTIONS = 51, 3000
RATE = 1500.0
FAULTS = Faults(
    cut=Cut.MID_RECORD,
    cut_seconds=0.5,
    duplicate_every=40,
    poison_every=200,
    oversized_every=900,
    oversized_bytes=100_000,
    answer=Answer.HTML,
    answers=2,
)
TYPOS: Final = "ALTER TABLE revision ADD CONSTRAINT no_typos CHECK (comment !~ '^typo why-0')"
"""Postgres then refuses some revisions, and quotes each whole in its DETAIL line."""
END_SESSIONS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
DAMAGED: Final = 5
"""Records of which damaged copies are published."""
TELLING: Final = {"page_title", "comment", "user_text", "content_body", "uri"}
"""Keys of records whose values nobody may read in a log."""
WORD: Final = re.compile(r"\w{4,}")


async def test_a_debug_log_of_a_bad_day_tells_no_content_and_no_password(
    postgres_server: EmbeddedPostgres, database_url: str, tmp_path: Path
) -> None:
    url = postgres_server.dsn(database_url.partition("@/")[2].partition("?")[0], tcp=True)
    await _execute(database_url, TYPOS)
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        world.server.faults = FAULTS
        config = world.config(
            postgres={"url": url}, source={"record_bytes": "64KiB"}, health={"stalled_after": "300ms"}
        )
        async with Daemon(config) as daemon:
            await daemon.line("waiting", waiting_for="source")
            world.publish(RATE)
            await daemon.line("durable")
            _append_damaged(world)
            async with nobody_writes(database_url):
                await daemon.line("a stage is stalled")
            await daemon.line("durable")
            await _execute(database_url, END_SESSIONS)
            await daemon.line("waiting", waiting_for="database")
            await daemon.line("connection lost")
            await world.publication
            await durable(database_url, world.log.ends)
            said = [json.dumps((await daemon.get("/readyz")).body), str(await daemon.metrics())]
            assert await daemon.stop() == 0, (daemon.tail, daemon.stdout)
        said += [bytes(daemon.stderr).decode(), bytes(daemon.stdout).decode(), *map(str, daemon.log)]
        told = "\n".join(said)

    reasons = await _reasons(database_url)
    assert {"sqlstate_23514"} < reasons, f"too little went wrong: {reasons}"
    contents = list(_contents(world.day))
    assert len(contents) > ACTIONS
    assert _words(told) & _words("\n".join(contents)) - _own_words() == set()
    assert url.partition("@")[0].rpartition(":")[2] not in told


def _append_damaged(world: World) -> None:
    """Records of the day again, each with one thing wrong, so that what refuses them has content to quote."""
    whole = [
        (arrival.topic, json.loads(arrival.value))
        for arrival in world.day.arrivals
        if arrival.value is not None and b"content_body" in arrival.value and b'"why-' in arrival.value
    ]
    damaged = [
        (topic, value) for number, (topic, record) in enumerate(whole[:DAMAGED]) for value in _damaged(record, number)
    ]
    for topic, value in damaged:
        world.log.append(topic, value)


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
    elif key in TELLING:
        yield unquote(str(value).rpartition("/wiki/")[2])


def _words(text: str) -> set[str]:
    """Words, with what only looks different undone; numbers are everywhere, and left out."""
    plain = unquote(text).replace("_", " ")
    return {word for word in WORD.findall(plain) if not word.isdigit()}


def _own_words() -> set[str]:
    """The words of the program's source: what it may say by itself."""
    root = Path(wikimirror.__file__).parent
    files = (path for path in root.rglob("*.py") if "rehearsal" not in path.parts)
    return {word for path in files for word in _words(path.read_text(encoding="utf-8"))}


async def _execute(database_url: str, statement: str) -> None:
    async with await connect(database_url) as session, session.transaction():
        await session.execute(statement)


async def _reasons(database_url: str) -> set[str]:
    async with await connect(database_url) as session, session.transaction():
        return {row[0] for row in await session.fetch("SELECT DISTINCT reason FROM dead_letter")}
