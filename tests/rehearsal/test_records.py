"""The records of a simulated day have the shapes of Wikimedia's, hidden things included."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from wikimirror.rehearsal import Day
from wikimirror.rehearsal.day import SITES

Json = dict[str, Any]
SCHEMAS = {
    "/mediawiki/page/change/1.3.0": "mediawiki/page/change/1.3.0.schema.json",
    "/mediawiki/revision/visibility-change/1.0.1": "mediawiki/revision/visibility-change/1.0.1.schema.json",
}


@pytest.fixture(scope="module")
def validators() -> dict[str, Draft7Validator]:
    named = os.environ.get("WIKIMIRROR_SAMPLES")
    if not named:
        pytest.skip("WIKIMIRROR_SAMPLES is not set: the simulated records were NOT validated against the schemas")
    schemas = Path(named) / "schemas"
    return {uri: Draft7Validator(_plain(json.loads((schemas / path).read_text()))) for uri, path in SCHEMAS.items()}


def _plain(schema: Any) -> Any:
    """A schema without `$id` and `$schema`, whose nested relative ones would change the base of references."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _plain(item)
        for name, item in schema.items()
        if name not in ("$id", "$schema") or not isinstance(item, str)
    }


def of_kind(records: list[Json], kind: str) -> list[Json]:
    found = [record for record in records if record.get("page_change_kind") == kind]
    assert found
    return found


def visibility(records: list[Json]) -> list[Json]:
    return [record for record in records if "visibility" in record]


def test_every_record_of_a_day_is_valid_by_the_published_schema(
    day: Day, validators: dict[str, Draft7Validator]
) -> None:
    tried: Counter[str] = Counter()
    for value in {arrival.value for arrival in day.arrivals if arrival.value is not None}:
        record = json.loads(value)
        faults = [error.message for error in validators[record["$schema"]].iter_errors(record)]
        assert faults == []
        tried[record["$schema"]] += 1
    assert tried.keys() == SCHEMAS.keys()


def test_titles_are_underscored_in_records_and_spaced_in_truth(day: Day, records: list[Json]) -> None:
    assert all(" " not in record["page"]["page_title"] for record in of_kind(records, "create"))
    assert any(" " in (page.title or "") for page in day.truth.pages.values())
    assert any(not (page.title or "").isascii() for page in day.truth.pages.values())


def test_there_are_six_namespaces_and_ids_beyond_31_bits(day: Day) -> None:
    assert {page.namespace_id for page in day.truth.pages.values()} == {0, 1, 2, 4, 10, 14}
    assert {wiki_id for wiki_id, rev_id in day.truth.revisions if rev_id > 2**31} == {"wikidatawiki"}


def test_editors_are_accounts_addresses_and_temporary_accounts(records: list[Json]) -> None:
    editors = [r["revision"]["editor"] for r in of_kind(records, "edit")]
    assert any("user_id" not in editor and editor["user_text"].count(":") == 7 for editor in editors)
    assert any(editor["is_temp"] and editor["user_text"].startswith("~") for editor in editors)
    assert any(editor["is_bot"] for editor in editors)


def test_only_the_content_stream_carries_text_and_only_permitted_text(records: list[Json]) -> None:
    for record in records:
        if "page_change_kind" not in record:
            continue
        slot = record["revision"].get("content_slots", {}).get("main", {})
        has_text = SITES[record["wiki_id"]].has_text
        assert record["meta"]["stream"] == f"mediawiki.page_{'content_change' if has_text else 'change'}.v1"
        visible = record["revision"]["is_content_visible"] and record["page_change_kind"] != "delete"
        assert ("content_body" in slot) == (has_text and visible)
        prior = record.get("prior_state", {}).get("revision", {})
        assert "content_body" not in prior.get("content_slots", {}).get("main", {})


def test_a_hidden_editor_or_comment_is_absent_wherever_the_revision_is_told(records: list[Json]) -> None:
    told = [r["revision"] for r in records if "revision" in r and "rev_sha1" in r["revision"]]
    told += [p for p in (r.get("prior_state", {}).get("revision", {}) for r in records) if "rev_id" in p]
    hidden = {"editor": 0, "comment": 0}
    for revision in told:
        for name in hidden:
            assert (name in revision) == revision[f"is_{name}_visible"]
            hidden[name] += name not in revision
    assert min(hidden.values()) > 0


def test_a_hidden_text_leaves_its_sha1_size_and_slots(records: list[Json]) -> None:
    hidden = [r["revision"] for r in of_kind(records, "visibility_change") if not r["revision"]["is_content_visible"]]
    assert hidden
    assert all({"rev_sha1", "rev_size", "content_slots"} <= revision.keys() for revision in hidden)


def test_an_edit_repeats_the_revision_before_in_full(records: list[Json]) -> None:
    for record in of_kind(records, "edit"):
        prior = record["prior_state"]["revision"]
        assert prior["rev_id"] == record["revision"]["rev_parent_id"]
        assert {"rev_dt", "rev_sha1", "content_slots", "is_comment_visible"} <= prior.keys()
        assert record["dt"] == record["revision"]["rev_dt"]


def test_a_suppression_tells_flags_only_and_nobody_who_did_it(records: list[Json]) -> None:
    suppressions = [record for record in of_kind(records, "delete") if "performer" not in record]
    assert suppressions
    for record in suppressions:
        assert record["revision"].keys() == {
            "rev_id", "rev_dt", "is_minor_edit", "rev_parent_id",
            "is_content_visible", "is_editor_visible", "is_comment_visible",
        }  # fmt: skip
        assert not any(value for name, value in record["revision"].items() if name.endswith("_visible"))
        assert record["prior_state"]["revision"].keys() == {
            "is_content_visible", "is_editor_visible", "is_comment_visible"
        }  # fmt: skip


def test_only_suppressions_have_all_flags_of_a_delete_false(records: list[Json]) -> None:
    for record in of_kind(records, "delete"):
        flags = [value for name, value in record["revision"].items() if name.endswith("_visible")]
        assert any(flags) == ("performer" in record)


def test_a_visibility_change_of_the_page_tells_only_the_flags_that_changed(records: list[Json]) -> None:
    for record in of_kind(records, "visibility_change"):
        before = record["prior_state"]["revision"]
        assert before
        assert all(record["revision"][name] is not value for name, value in before.items())


def test_the_visibility_stream_tells_each_affected_revision_and_the_page_stream_the_current_one(
    records: list[Json],
) -> None:
    told = {(r["database"], r["rev_id"], r["meta"]["request_id"]) for r in visibility(records)}
    pages = {
        (r["wiki_id"], r["revision"]["rev_id"], r["meta"]["request_id"]) for r in of_kind(records, "visibility_change")
    }
    assert pages < told
    assert any("performer" not in record for record in visibility(records))


def test_a_move_makes_a_minor_revision_of_older_content_and_tells_the_old_title(records: list[Json]) -> None:
    moves = of_kind(records, "move")
    for record in moves:
        revision = record["revision"]
        assert revision["is_minor_edit"]
        assert revision["content_slots"]["main"]["origin_rev_id"] < revision["rev_id"]
        assert record["prior_state"]["page"]["page_title"] != record["page"]["page_title"]
        assert record["prior_state"]["revision"]["rev_sha1"] == revision["rev_sha1"]
    assert any("namespace_id" in record["prior_state"]["page"] for record in moves)
    assert any("created_redirect_page" not in record for record in moves)


def test_a_redirect_left_by_a_move_has_its_own_creation(records: list[Json]) -> None:
    left = [r["created_redirect_page"] for r in of_kind(records, "move") if "created_redirect_page" in r]
    created = {r["page"]["page_id"]: r for r in of_kind(records, "create")}
    assert left
    for page in left:
        assert created[page["page_id"]]["page"]["page_title"] == page["page_title"]
        assert created[page["page_id"]]["page"]["is_redirect"]


def test_an_undeletion_may_lower_the_revision(records: list[Json]) -> None:
    highest: dict[tuple[str, int], int] = {}
    lowered = 0
    for record in records:
        if "page_change_kind" not in record:
            continue
        page, rev_id = (record["wiki_id"], record["page"]["page_id"]), record["revision"]["rev_id"]
        lowered += record["page_change_kind"] == "undelete" and rev_id < highest[page]
        highest[page] = max(rev_id, highest.get(page, 0))
    assert lowered > 0


def test_a_live_page_never_has_a_title_of_another(records: list[Json]) -> None:
    titles: dict[tuple[str, str], int] = {}
    mine: dict[tuple[str, int], str] = {}
    for record in records:
        if "page_change_kind" not in record:
            continue
        wiki_id, page_id, title = record["wiki_id"], record["page"]["page_id"], record["page"]["page_title"]
        if (wiki_id, page_id) in mine:
            titles.pop((wiki_id, mine.pop((wiki_id, page_id))))
        if record["changelog_kind"] != "delete":
            assert titles.setdefault((wiki_id, title), page_id) == page_id
            mine[wiki_id, page_id] = title
