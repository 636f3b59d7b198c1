"""The load's edits as records of Kafka: page_change's, or page_content_change's where they have texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from tests.bench.load import Load
from tests.kafka.admin import create_topic, producer_of
from wikimirror.model import Change, Coordinates, Record
from wikimirror.wire import decode

PARTITIONS: Final = 8
LARGEST: Final = 8_000_000
"""Bytes that the topics take of one record, and the producer sends at once."""
_BATCH: Final = 256 * 1024
_LINGER: Final = 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


def value_of(change: Change) -> bytes:
    """An edit or a creation as Wikimedia publishes it: some 2 KB without its text."""
    editor = {
        "user_text": change.editor_name,
        "groups": ["*", "user", "autoconfirmed"],
        "is_bot": False,
        "is_system": False,
        "is_temp": False,
        "user_id": change.editor_id,
        "user_central_id": 17 * (change.editor_id or 0),
        "edit_count": 420,
        "registration_dt": "2015-01-02T18:41:39Z",
    }
    stream = "mediawiki.page_content_change.v1" if change.bodies else "mediawiki.page_change.v1"
    is_new = change.parent_rev_id == 0
    return _encode(
        {
            "changelog_kind": "insert" if is_new else "update",
            "page_change_kind": "create" if is_new else "edit",
            "dt": _stamp(change.time),
            "wiki_id": change.page.wiki_id,
            "page": {
                "page_id": change.page.page_id,
                "page_title": (change.title or "").replace(" ", "_"),
                "namespace_id": change.namespace_id,
                "is_redirect": False,
            },
            "performer": editor,
            "comment": change.comment,
            "revision": _revision(change, editor, change.rev_id, change.parent_rev_id or 0),
            **({} if is_new else {"prior_state": {"revision": _before(change, editor)}}),
            "$schema": "/mediawiki/page/change/1.3.0",
            "meta": {
                "stream": stream,
                "uri": change.url,
                "id": str(UUID(bytes=change.identity)),
                "domain": "en.wikipedia.org",
                "request_id": "924a4bf7-7856-4679-ac00-6aa253283680",
                "dt": _stamp(change.published, "milliseconds"),
            },
        }
    )


def _before(change: Change, editor: dict[str, Any]) -> dict[str, Any]:
    slots = _revision(change, editor, change.parent_rev_id or 0, 0)
    slots["content_slots"]["main"].pop("content_body", None)
    return slots


def _revision(change: Change, editor: dict[str, Any], rev_id: int, parent: int) -> dict[str, Any]:
    main: dict[str, Any] = {
        "slot_role": "main",
        "content_model": change.content_model,
        "content_sha1": change.sha1,
        "content_size": change.size,
        "content_format": "text/x-wiki",
        "origin_rev_id": rev_id,
    }
    if change.bodies:
        main["content_body"] = change.bodies[0].text
    return {
        "rev_id": rev_id,
        "rev_dt": _stamp(change.rev_dt),
        "is_minor_edit": False,
        "rev_parent_id": parent,
        "rev_sha1": change.sha1,
        "rev_size": change.size,
        "comment": change.comment,
        "editor": editor,
        "is_content_visible": True,
        "is_editor_visible": True,
        "is_comment_visible": True,
        "content_slots": {"main": main},
    }


def decoded(source: str, topic: str, load: Load) -> Load:
    """What a mirror makes of the records: the changes as decoded, with empty records that bear their coordinates."""
    changes, records = [], []
    for number, change in enumerate(load.changes):
        at = Coordinates(source, topic, change.page.page_id % PARTITIONS, number)
        found = decode(Record(at, value_of(change), change.published))
        assert isinstance(found, Change)
        assert (found.page, found.rev_id, found.title, found.bodies) == (
            change.page,
            change.rev_id,
            change.title,
            change.bodies,
        )
        changes.append(found)
        records.append(Record(at, b"", change.published))
    return Load(changes, records)


async def make_topic(bootstrap: str, topic: str, partitions: int = PARTITIONS) -> None:
    """A topic that takes records as large as Wikimedia's."""
    await create_topic(bootstrap, topic, partitions, config={"max.message.bytes": str(LARGEST)})


async def fill(
    bootstrap: str,
    topic: str,
    values: Iterable[tuple[int, bytes | None, bytes]],
    *,
    compression: str | None = None,
) -> int:
    """Write (partition, key, value) in order, as fast as the broker takes them; how many there were."""
    count = 0
    async with producer_of(
        bootstrap,
        max_request_size=LARGEST,
        max_batch_size=_BATCH,
        linger_ms=_LINGER,
        compression_type=compression,
        acks=1,
    ) as producer:
        for partition, key, value in values:
            await producer.send(topic, value, key=key, partition=partition)
            count += 1
        await producer.flush()
    return count


def keyed(changes: Sequence[Change]) -> Iterator[tuple[int, bytes, bytes]]:
    """Each change for `fill`: all of one page in one partition, as Wikimedia keys them."""
    for change in changes:
        key = _encode({"page_id": change.page.page_id, "wiki_id": change.page.wiki_id})
        yield change.page.page_id % PARTITIONS, key, value_of(change)


def _stamp(time: int, precision: str = "seconds") -> str:
    moment = _EPOCH + timedelta(microseconds=time)
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"
