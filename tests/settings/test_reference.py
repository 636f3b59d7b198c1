from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from wikimirror.settings import NAME, InvalidSettings, Settings, keys, load, require_runnable, variable

CONFIG = Path(__file__).resolve().parents[2] / "config"
REFERENCE = CONFIG / "wikimirror.toml"
EXAMPLE = "eventstreams"
"""The name of the source in the reference's example, and of the file that follows the public service."""
OF_A_SOURCE = [key for key in keys() if NAME in key]
WITHOUT_EXTREMES = {"http.contact", "sources.NAME.type", "sources.NAME.url", "sources.NAME.on_gap", "admin.listen"} | {
    "log.format",
    *(key for key in keys() if key.startswith("postgres.") and "timeout" not in key),
}
"""What is a name or a choice between words has no too low and no too high."""


def documented() -> dict[str, str]:
    """The comment above each key of the reference file, commented-out keys included."""
    section, comment, found = "", "", {}
    for line in REFERENCE.read_text().splitlines():
        if heading := re.fullmatch(r"(?:# )?\[([\w.]+)\]", line):
            section, comment = heading[1].replace(f".{EXAMPLE}", f".{NAME}"), ""
        elif key := re.fullmatch(r"(?:# )?([a-z_]+) = .+", line):
            found[f"{section}.{key[1]}"] = comment
            comment = ""
        elif line.startswith("# "):
            comment += line[1:]
        else:
            comment = ""
    return found


def with_the_example() -> str:
    """The reference file with its source no longer commented out."""
    before, heading, after = REFERENCE.read_text().partition(f"# [sources.{EXAMPLE}]\n")
    block, following, rest = after.partition("\n[")
    assert heading
    return before + heading[2:] + re.sub(r"^# ([a-z_]+ = )", r"\1", block, flags=re.MULTILINE) + following + rest


def test_the_reference_file_holds_the_defaults() -> None:
    assert load(REFERENCE) == Settings()


def test_the_reference_file_names_every_key_and_no_other() -> None:
    assert list(documented()) == list(keys())


def test_every_key_with_a_default_is_there_to_be_changed() -> None:
    live = tomllib.loads(REFERENCE.read_text())
    without_default = {key for key, value in Settings().told().items() if value is None}
    there = {f"{section}.{key}" for section, table in live.items() for key in table}
    assert there == set(keys()) - without_default - set(OF_A_SOURCE)


def test_the_example_of_a_source_says_every_key_as_its_default_is(tmp_path: Path) -> None:
    path = tmp_path / "reference.toml"
    path.write_text(with_the_example())
    said = tomllib.loads(path.read_text())["sources"][EXAMPLE]
    assert [f"sources.{NAME}.{key}" for key in said] == OF_A_SOURCE
    assert load(path) == load(None, {f"sources.{EXAMPLE}.type": "eventstreams"})


@pytest.mark.parametrize("key", keys())
def test_every_key_says_its_default(key: str) -> None:
    said = re.search(r'Default: (none|forever|"[^"]*"|\[[^\]]*\]|\d+)[,.;]', documented()[key])
    assert said is not None
    flags = {f"sources.{EXAMPLE}.type": "eventstreams"} if key in OF_A_SOURCE else {}
    own = key.replace(NAME, EXAMPLE)
    if said[1] == "none":
        assert load(None, flags).told()[own] is None or own in flags
    else:
        assert load(None, {**flags, own: tomllib.loads(f"it = {said[1]}")["it"]}) == load(None, flags)


@pytest.mark.parametrize("key", [key for key in keys() if key not in WITHOUT_EXTREMES])
def test_every_choice_says_what_its_extremes_do(key: str) -> None:
    comment = documented()[key].lower()
    pairs = (("too low", "too high"), ("too few", "too many"), ("too late", "too early"), ("less", "more"))
    assert any(low in comment and high in comment for low, high in pairs)


@pytest.mark.parametrize("key", [key for key in keys() if re.search(r"timeout|_after|duration|longest|bytes", key)])
def test_every_quantity_says_its_unit(key: str) -> None:
    assert "with a unit" in documented()[key]


def test_the_file_for_the_public_service_wants_a_contact_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    path = CONFIG / f"{EXAMPLE}.toml"
    with pytest.raises(InvalidSettings) as raised:
        require_runnable(load(path))
    assert [fault.key for fault in raised.value.faults] == ["http.contact"]
    assert variable("http.contact") in path.read_text()

    monkeypatch.setenv(variable("http.contact"), "me@example.org")
    settings = load(path)
    require_runnable(settings)
    assert settings.sources == load(None, {f"sources.{EXAMPLE}.type": "eventstreams"}).sources
    assert settings.scope == Settings().scope
    assert settings.postgres == Settings().postgres


def test_the_contact_in_the_file_for_the_public_service_is_set_by_taking_its_comment_away(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((CONFIG / f"{EXAMPLE}.toml").read_text().replace("# contact =", "contact ="))
    require_runnable(load(path))
