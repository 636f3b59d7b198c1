"""What people write today to get a topic into Postgres: without our guarantees, and as well as that can be done.

A process of its own: it reads a topic from the beginning on, writes pages, revisions and texts, and says how long it
took. `each`: one statement a record, which writes all of its rows. `many`: executemany, a transaction for each
batch. In both the newest revision of a page wins, and the group's offsets are committed after each batch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer

WAYS: Final = ("each", "many")
_BATCH: Final = 2000
_WAIT: Final = 1000
_PAGE: Final = (
    "wiki_id", "page_id", "state", "title", "namespace_id", "is_redirect", "rev_id", "rev_dt", "url", "published",
)  # fmt: skip
_REVISION: Final = (
    "wiki_id", "rev_id", "page_id", "parent_rev_id", "rev_dt", "editor_name", "editor_id", "comment", "is_minor",
    "sha1", "size", "content_model", "content_visible", "editor_visible", "comment_visible",
)  # fmt: skip
_BODY: Final = ("wiki_id", "rev_id", "format", "text")
TABLES: Final = """
CREATE TABLE naive_page (LIKE page INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING INDEXES) WITH (fillfactor = 85);
CREATE TABLE naive_revision (LIKE revision INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING INDEXES);
CREATE TABLE naive_body (LIKE body INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING INDEXES);
"""
"""Of the same columns and indexes as ours."""
COUNTS: Final = "SELECT count(*) FROM naive_revision"

Row = tuple[Any, ...]


class Took(msgspec.Struct):
    """From before the first statement to after the last. Seconds; `begun` and `done` since the epoch."""

    begun: float
    done: float
    records: int


def _insert(table: str, columns: tuple[str, ...], key: tuple[str, ...], first: int, guard: str = "") -> str:
    values = ", ".join(f"${first + number}" for number in range(len(columns)))
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return (
        f"INSERT INTO {table} AS t ({', '.join(columns)}) VALUES ({values})"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates} {guard}"
    )


_NEWER: Final = "WHERE t.rev_id <= excluded.rev_id"
_KEYS: Final = (("wiki_id", "page_id"), ("wiki_id", "rev_id"), ("wiki_id", "rev_id", "format"))


def page_row(record: dict[str, Any]) -> Row:
    """As the columns of naive_page."""
    page, revision = record["page"], record["revision"]
    return (
        record["wiki_id"], page["page_id"], "live", page["page_title"].replace("_", " "), page["namespace_id"],
        page["is_redirect"], revision["rev_id"], datetime.fromisoformat(revision["rev_dt"]), record["meta"]["uri"],
        datetime.fromisoformat(record["meta"]["dt"]),
    )  # fmt: skip


def revision_row(record: dict[str, Any]) -> Row:
    """As the columns of naive_revision."""
    revision = record["revision"]
    editor = revision["editor"]
    return (
        record["wiki_id"], revision["rev_id"], record["page"]["page_id"], revision["rev_parent_id"],
        datetime.fromisoformat(revision["rev_dt"]), editor["user_text"], editor["user_id"], revision["comment"],
        revision["is_minor_edit"], revision["rev_sha1"], revision["rev_size"],
        revision["content_slots"]["main"]["content_model"], revision["is_content_visible"],
        revision["is_editor_visible"], revision["is_comment_visible"],
    )  # fmt: skip


def body_row(record: dict[str, Any]) -> Row | None:
    """As the columns of naive_body; None where the record has no text."""
    text = record["revision"]["content_slots"]["main"].get("content_body")
    return None if text is None else (record["wiki_id"], record["revision"]["rev_id"], "wikitext", text)


async def write_each(connection: Any, records: list[dict[str, Any]]) -> None:
    """One statement a record, each a transaction of its own."""
    first, second = len(_PAGE) + 1, len(_PAGE) + len(_REVISION) + 1
    page = _insert("naive_page", _PAGE, _KEYS[0], 1, _NEWER)
    revision = _insert("naive_revision", _REVISION, _KEYS[1], first)
    body = _insert("naive_body", _BODY, _KEYS[2], second)
    without = f"WITH p AS ({page}) {revision}"
    with_text = f"WITH p AS ({page}), r AS ({revision}) {body}"
    for record in records:
        text = body_row(record)
        rows = (*page_row(record), *revision_row(record))
        if text is None:
            await connection.execute(without, *rows)
        else:
            await connection.execute(with_text, *rows, *text)


async def write_many(connection: Any, records: list[dict[str, Any]]) -> None:
    """executemany for each table, in one transaction."""
    bodies = [row for row in map(body_row, records) if row is not None]
    async with connection.transaction():
        await connection.executemany(_insert("naive_page", _PAGE, _KEYS[0], 1, _NEWER), map(page_row, records))
        await connection.executemany(_insert("naive_revision", _REVISION, _KEYS[1], 1), map(revision_row, records))
        if bodies:
            await connection.executemany(_insert("naive_body", _BODY, _KEYS[2], 1), bodies)


async def consume(url: str, bootstrap: str, topic: str, group: str, way: str, count: int) -> Took:
    """Write the first `count` records that come, or a few more."""
    write = write_each if way == "each" else write_many
    consumer: Any = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    connection = await asyncpg.connect(url, server_settings={"search_path": "wikimirror"})
    await consumer.start()
    begun, done = 0.0, 0
    try:
        while done < count:
            found = await consumer.getmany(timeout_ms=_WAIT, max_records=_BATCH)
            records = [json.loads(message.value) for messages in found.values() for message in messages]
            if not records:
                continue
            begun = begun or time.time()
            await write(connection, records)
            done += len(records)
            await consumer.commit()
        return Took(begun, time.time(), done)
    finally:
        await consumer.stop()
        await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "bootstrap", "topic", "group"):
        parser.add_argument(name)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--records", type=int, required=True, help="how many to write")
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = runner.run(consume(asked.url, asked.bootstrap, asked.topic, asked.group, asked.way, asked.records))
    with open(sys.stdout.fileno(), "wb", closefd=False) as whole:
        whole.write(msgspec.json.encode(took) + b"\n")
