"""The fixtures hold to the published schemas, and recorded records of every version at hand are read."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.wire.records import PAGE_CHANGES, VISIBILITY_CHANGES, record
from wikimirror.model import Change, Coordinates, Kind
from wikimirror.sources import Recording
from wikimirror.wire import decode


@pytest.fixture(scope="module")
def samples() -> Path:
    named = os.environ.get("WIKIMIRROR_SAMPLES")
    if not named:
        pytest.skip("WIKIMIRROR_SAMPLES is not set: schemas and recorded records were NOT tried")
    path = Path(named)
    assert path.is_dir(), "WIKIMIRROR_SAMPLES names no directory"
    return path


def without_inner_ids(schema: Any, *, outermost: bool = True) -> Any:
    """Nested relative `$id`s would change the base of references that are not there."""
    if isinstance(schema, list):
        return [without_inner_ids(item, outermost=False) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: without_inner_ids(item, outermost=False)
        for name, item in schema.items()
        if outermost or not (name in ("$id", "$schema") and isinstance(item, str))
    }


def errors(samples: Path, schema: str, value: dict[str, Any]) -> list[str]:
    described = json.loads((samples / "schemas" / f"{schema}.schema.json").read_text())
    return [error.message for error in Draft7Validator(without_inner_ids(described)).iter_errors(value)]


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.2.0", "1.3.0"])
@pytest.mark.parametrize("shape", PAGE_CHANGES)
def test_page_change_fixtures_hold_to_the_schema(samples: Path, shape: str, version: str) -> None:
    value = copy.deepcopy(PAGE_CHANGES[shape])
    value["$schema"] = f"/mediawiki/page/change/{version}"
    if "performer" not in value and version < "1.2":
        pytest.skip("performer was required before 1.2.0")

    assert errors(samples, f"mediawiki/page/change/{version}", value) == []


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.2.0", "1.3.0"])
def test_the_schema_refuses_what_it_should(samples: Path, version: str) -> None:
    value = copy.deepcopy(PAGE_CHANGES["edit"])
    value["revision"]["rev_id"] = "5001"

    assert errors(samples, f"mediawiki/page/change/{version}", value)


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1"])
@pytest.mark.parametrize("shape", VISIBILITY_CHANGES)
def test_visibility_change_fixtures_hold_to_the_schema(samples: Path, shape: str, version: str) -> None:
    value = {**VISIBILITY_CHANGES[shape], "$schema": f"/mediawiki/revision/visibility-change/{version}"}

    assert errors(samples, f"mediawiki/revision/visibility-change/{version}", value) == []


def changes(path: Path) -> Iterator[Change]:
    for read in Recording(path, lambda: 0).records():
        decoded = decode(read)
        assert isinstance(decoded, Change)
        yield decoded


def test_the_recorded_life_of_an_item_is_read(samples: Path) -> None:
    folder = samples / "page_change" / "1.2.0-wikidata"
    read = {path.stem: list(changes(path)) for path in sorted(folder.glob("*.json"))}

    assert len(read) == 13
    assert all(len(found) == 1 for found in read.values())
    suppression, hidden = read["item-page-suppress"][0], read["item-visibility-change"][0]
    assert (suppression.kind, suppression.suppresses, suppression.title) == (Kind.DELETE, True, None)
    assert (hidden.comment_visible, hidden.comment, hidden.editor_visible) == (False, None, True)
    assert (read["item-delete"][0].suppresses, read["item-undelete"][0].kind) == (False, Kind.UNDELETE)
    assert (read["item-create"][0].parent_rev_id, read["lexeme-create"][0].namespace_id) == (None, 146)


def test_records_of_the_live_version_are_read(samples: Path) -> None:
    folder = samples / "page_change" / "1.12.0-live-2026"
    read = list(changes(folder / "wikipedia-page-change.jsonl"))

    assert sorted(change.kind for change in read) == ["create", "delete", "edit", "edit", "move"]
    assert max(change.rev_id for change in read) > 2**31
    assert next(change for change in read if change.kind is Kind.CREATE).parent_rev_id == 0
    assert next(change for change in read if change.kind is Kind.MOVE).former_namespace_id is None
    (framed,) = changes(folder / "edit-with-wikibase-ids.frame.json")
    assert (framed.page, framed.rev_id, framed.wikibase_item_id) == (("ptwiki", 7663161), 73067879, "Q135745538")


def test_recorded_visibility_changes_are_read(samples: Path) -> None:
    one, two = changes(samples / "legacy" / "revision-visibility-change.json")

    assert (one.kind, one.page.wiki_id, one.text_visible, one.editor_visible) == (
        Kind.REVISION_VISIBILITY,
        "examplewiki",
        False,
        True,
    )
    assert two.rev_dt < two.time


def test_the_schemas_own_examples_are_read(samples: Path) -> None:
    folder = samples / "schema-examples"
    found = [*folder.glob("page_change_1.*.json"), *folder.glob("revision_visibility-change_1.*.json")]

    assert len(found) == 6
    for path in found:
        at = Coordinates("capture", path.name, 0, 0)
        assert isinstance(decode(record(path.read_bytes(), at)), Change)
