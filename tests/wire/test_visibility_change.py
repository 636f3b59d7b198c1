"""mediawiki.revision-visibility-change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.records import AT, VISIBILITY_CHANGES, read, record, visibility_change
from wikimirror.errors import UnreadableRecord
from wikimirror.model import Change, Clock, Kind, PageKey, change_identity, coordinates_identity
from wikimirror.wire import decode

RECEIVED = 1_740_823_506_789_000


def test_a_stub_is_read_whole_and_supplies_nothing() -> None:
    value = VISIBILITY_CHANGES["text hidden"]

    assert read(value) == Change(
        identity=change_identity(
            "jumbo", "mediawiki.revision-visibility-change", value["meta"]["id"], "visibility", ""
        ),
        kind=Kind.REVISION_VISIBILITY,
        clock=Clock.RECEIPT,
        time=RECEIVED,
        published=RECEIVED,
        page=PageKey("xxwiki", 900),
        rev_id=4990,
        rev_dt=1_735_063_200_000_000,
        parent_rev_id=4980,
        is_minor=True,
        text_visible=False,
        editor_visible=True,
        comment_visible=True,
    )


def test_a_suppressed_stub_without_performer_is_read() -> None:
    change = read(VISIBILITY_CHANGES["all hidden, performer suppressed"])

    assert (change.text_visible, change.editor_visible, change.comment_visible) == (False, False, False)


def test_a_stub_without_id_is_identified_by_where_it_was_read() -> None:
    assert read(VISIBILITY_CHANGES["legacy, without id"]).identity == coordinates_identity(AT)


@pytest.mark.parametrize("garbage", [None, 0, 1, "true", [], {}])
def test_a_flag_that_is_not_a_boolean_hides(garbage: object) -> None:
    change = read(visibility_change(visibility={"text": True, "user": garbage, "comment": True}))

    assert (change.text_visible, change.editor_visible, change.comment_visible) == (True, False, True)


def test_flags_that_cannot_be_read_at_all_hide_everything() -> None:
    change = read(visibility_change(visibility="none of it"))

    assert (change.text_visible, change.editor_visible, change.comment_visible) == (False, False, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"rev_timestamp": "long ago"},
        {"rev_timestamp": None},
        {"page_title": 7},
        {"page_title": "a\x00b"},
        {"page_namespace": "Talk"},
        {"rev_parent_id": -4},
        {"rev_minor_edit": "yes"},
        {"performer": []},
        {"prior_state": "before"},
        {"comment": {"half": "\ud83d"}},
    ],
)
def test_a_bad_field_never_stops_a_stub(fields: dict[str, Any]) -> None:
    change = read(visibility_change(**fields))

    assert (change.page, change.rev_id, change.time, change.text_visible) == (
        PageKey("xxwiki", 900),
        4990,
        RECEIVED,
        False,
    )


def test_a_revision_time_that_cannot_be_read_is_the_time_of_the_stub() -> None:
    assert read(visibility_change(rev_timestamp="long ago")).rev_dt == RECEIVED


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"database": None}, "missing_field"),
        ({"page_id": None}, "missing_field"),
        ({"rev_id": None}, "missing_field"),
        ({"visibility": None}, "missing_field"),
        ({"visibility": {}}, "missing_field"),
        ({"meta": {"stream": "mediawiki.revision-visibility-change"}}, "missing_field"),
        ({"rev_id": 0}, "bad_value"),
        ({"database": "x\x00wiki"}, "bad_value"),
        ({"meta": {"dt": "at noon"}}, "bad_value"),
    ],
)
def test_a_stub_without_an_essential_field_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        decode(record(visibility_change(**fields)))

    assert caught.value.reason == reason
