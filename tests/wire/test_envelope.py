"""Which dialect a record is in, what is ignored, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.records import page_change, read, record, visibility_change
from wikimirror.errors import Reaction, UnreadableRecord
from wikimirror.model import Change, Coordinates, Kind
from wikimirror.wire import DIALECTS, Ignored, Reason, decode


def refusal(value: dict[str, Any] | bytes) -> UnreadableRecord:
    with pytest.raises(UnreadableRecord) as caught:
        decode(record(value))
    return caught.value


def test_a_null_record_is_ignored() -> None:
    assert decode(record(None)) == Ignored("null")


@pytest.mark.parametrize("value", [page_change(), visibility_change(), {"$schema": "/mediawiki/other/7.0.0"}])
def test_a_canary_is_ignored_whatever_its_dialect(value: dict[str, Any]) -> None:
    value = {**value, "meta": {**value.get("meta", {}), "domain": "canary"}}

    assert decode(record(value)) == Ignored("canary")
    assert decode(record({**value, "wiki_id": 5, "meta": {**value["meta"], "id": 9}})) == Ignored("canary")


@pytest.mark.parametrize("by", ["schema", "stream", "fields"])
@pytest.mark.parametrize(
    ("value", "kind"), [(page_change("delete"), Kind.DELETE), (visibility_change(), Kind.REVISION_VISIBILITY)]
)
def test_the_dialect_is_known_by_schema_else_stream_else_fields(by: str, value: dict[str, Any], kind: Kind) -> None:
    value = {**value, "meta": dict(value["meta"])}
    if by != "schema":
        del value["$schema"]
    if by != "stream":
        del value["meta"]["stream"]

    assert read(value).kind is kind


def unnamed(value: dict[str, Any]) -> dict[str, Any]:
    """The record without what tells its dialect, but for its fields."""
    told = {name: part for name, part in value.items() if name != "$schema"}
    return {**told, "meta": {**value["meta"], "stream": "acme.pages"}}


OWN_TOPIC = Coordinates("jumbo", "acme.pages", 0, 41)


def test_a_record_that_tells_no_dialect_is_in_the_one_its_topic_is_said_to_hold() -> None:
    stub = unnamed(visibility_change())
    del stub["database"]

    with pytest.raises(UnreadableRecord, match="unknown_dialect"):
        decode(record(stub, OWN_TOPIC))
    with pytest.raises(UnreadableRecord, match="database") as caught:
        decode(record(stub, OWN_TOPIC), dialect="visibility_change")
    assert caught.value.reason == Reason.MISSING_FIELD
    with pytest.raises(UnreadableRecord, match="page_change_kind"):
        decode(record(unnamed(visibility_change()), OWN_TOPIC), dialect="page_change")


@pytest.mark.parametrize("dialect", [None, *DIALECTS])
@pytest.mark.parametrize("topic", ["acme.pages", "mediawiki.page_change.v1", "mediawiki.revision-visibility-change"])
@pytest.mark.parametrize("by", ["schema", "stream"])
def test_a_record_that_tells_its_dialect_is_believed_whatever_its_topic(
    dialect: str | None, topic: str, by: str
) -> None:
    told = [page_change("delete"), visibility_change()]
    if by == "schema":
        told = [{**value, "meta": {**value["meta"], "stream": "acme.pages"}} for value in told]
    else:
        told = [{name: part for name, part in value.items() if name != "$schema"} for value in told]
    kinds = []
    for value in told:
        change = decode(record(value, Coordinates("jumbo", topic, 0, 41)), dialect=dialect)
        assert isinstance(change, Change)
        kinds.append(change.kind)

    assert kinds == [Kind.DELETE, Kind.REVISION_VISIBILITY]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [("/acme/page/1.0.0", Reason.UNKNOWN_DIALECT), ("/mediawiki/page/change/2.0.0", Reason.UNKNOWN_MAJOR)],
)
def test_a_record_of_another_schema_is_refused_whatever_its_topic_is_said_to_hold(schema: str, reason: Reason) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        decode(record(page_change(**{"$schema": schema}), OWN_TOPIC), dialect="page_change")
    assert caught.value.reason == reason


def test_a_retraction_with_a_bad_field_that_tells_no_dialect_retracts_in_that_of_its_topic() -> None:
    bad = {**unnamed(page_change("delete")), "performer": 5, "page": {"page_id": 900, "page_title": 7}}

    change = decode(record(bad, OWN_TOPIC), dialect="page_change")
    assert isinstance(change, Change)
    assert (change.kind, change.page.page_id, change.title) == (Kind.DELETE, 900, None)


def test_a_schema_that_is_not_a_schemas_name_leaves_it_to_the_stream() -> None:
    assert read(page_change(**{"$schema": "latest"})).kind is Kind.EDIT
    assert read(page_change("delete", **{"$schema": 12})).kind is Kind.DELETE


def test_the_stream_may_bear_its_datacentre() -> None:
    value = page_change(meta={"stream": "eqiad.mediawiki.page_content_change.v1"})
    del value["$schema"]

    assert read(value).kind is Kind.EDIT


def test_an_unknown_major_is_refused_and_names_the_page() -> None:
    failure = refusal(page_change(**{"$schema": "/mediawiki/page/change/2.0.0"}))

    assert (failure.reason, failure.wiki_id, failure.page_id, failure.rev_id) == (
        Reason.UNKNOWN_MAJOR,
        "xxwiki",
        900,
        5001,
    )
    assert failure.reaction is Reaction.SET_ASIDE


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"$schema": "/mediawiki/page/delete/1.0.0", "meta": {"stream": "mediawiki.page_change.v1"}},
        {"meta": {"stream": "mediawiki.recentchange"}},
        {"name": "an article", "event": {"type": "update"}},
        page_change(**{"$schema": "/x/" + "y" * 300 + "/1.0.0"}, meta=None, wiki_id=None),
    ],
)
def test_an_unknown_dialect_is_refused(value: dict[str, Any]) -> None:
    assert refusal(value).reason == Reason.UNKNOWN_DIALECT


def test_a_legacy_record_is_refused_with_the_names_it_bears() -> None:
    failure = refusal({"$schema": "/mediawiki/page/delete/1.0.0", "database": "xxwiki", "page_id": 9, "rev_id": 3})

    assert (failure.wiki_id, failure.page_id, failure.rev_id) == ("xxwiki", 9, 3)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (json.dumps(page_change()).encode()[:-1], Reason.NOT_JSON),
        (json.dumps(page_change()).encode() + b"{}", Reason.NOT_JSON),
        (b"[" * 200_000, Reason.NOT_JSON),
        (b"[" * 200_000 + b"]" * 200_000, Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b"[]", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"9" * 10_000, Reason.NOT_AN_OBJECT),
    ],
)
def test_what_is_not_an_object_is_refused(value: bytes, reason: Reason) -> None:
    assert refusal(value).reason == reason


def test_a_record_over_the_limit_is_not_looked_into() -> None:
    value = json.dumps(page_change()).encode()

    assert read(value).kind is Kind.EDIT
    with pytest.raises(UnreadableRecord) as caught:
        decode(record(value), max_bytes=len(value) - 1)

    assert caught.value.reason == Reason.TOO_LARGE
    assert not isinstance(decode(record(value), max_bytes=len(value)), Ignored)


def test_a_twenty_megabyte_record_is_read() -> None:
    value = page_change()
    value["revision"]["content_slots"]["main"]["content_body"] = "x" * (20 * 2**20 - 4000)

    assert len(read(value).bodies[0].text) == 20 * 2**20 - 4000
