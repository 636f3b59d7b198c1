"""Whatever the bytes, decoding raises nothing but UnreadableRecord, and what it says can be stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wire.records import PAGE_CHANGES, VISIBILITY_CHANGES, page_change, record
from tests.wire.test_retractions import ANYTHING, paths, replaced
from wikimirror.errors import UnreadableRecord
from wikimirror.model import Change
from wikimirror.wire import Ignored, Reason, decode

VALID = [*PAGE_CHANGES.values(), *VISIBILITY_CHANGES.values()]
NAMES = sorted({name for value in VALID for path in paths(value) for name in path})


def try_to_read(value: bytes) -> None:
    try:
        decoded = decode(record(value))
    except UnreadableRecord as failure:
        check_refusal(failure)
        return
    if isinstance(decoded, Change):
        assert 0 <= decoded.rev_id < 2**63
        assert 0 <= decoded.page.page_id < 2**63
        assert "\x00" not in decoded.page.wiki_id
        for text in (decoded.title, decoded.comment, decoded.editor_name, decoded.url, decoded.sha1):
            (text or "").encode()
    else:
        assert isinstance(decoded, Ignored)


def check_refusal(failure: UnreadableRecord) -> None:
    assert failure.reason in set(Reason)
    (failure.wiki_id or "").encode()
    assert "\x00" not in (failure.wiki_id or "")
    assert failure.page_id is None or 0 < failure.page_id < 2**63
    assert failure.rev_id is None or 0 < failure.rev_id < 2**63


@given(st.binary(max_size=400))
@example(b"")
@example(b"\x00")
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":' * 50_000)
def test_arbitrary_bytes(value: bytes) -> None:
    try_to_read(value)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), ANYTHING, max_size=8))
def test_arbitrary_objects_with_known_names(value: dict[str, Any]) -> None:
    try_to_read(json.dumps(value).encode())
    try_to_read(json.dumps({**page_change(), **value}).encode())


@given(st.data())
def test_valid_records_with_any_field_replaced(data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(VALID))
    for _ in range(data.draw(st.integers(1, 3))):
        value = replaced(value, data.draw(st.sampled_from(paths(value))), data.draw(ANYTHING))
    try_to_read(json.dumps(value).encode())
    try_to_read(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.data())
def test_valid_records_with_bytes_flipped_cut_and_inserted(data: st.DataObject) -> None:
    value = bytearray(json.dumps(data.draw(st.sampled_from(VALID))).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=4))
        value += b" " * (not value)
    try_to_read(bytes(value))


@pytest.mark.parametrize("value", VALID, ids=[*PAGE_CHANGES, *VISIBILITY_CHANGES])
def test_every_shape_is_read(value: dict[str, Any]) -> None:
    assert isinstance(decode(record(value)), Change)
