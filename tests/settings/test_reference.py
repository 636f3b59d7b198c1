from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from wikimirror.settings import Settings, keys, load

REFERENCE = Path(__file__).resolve().parents[2] / "config" / "wikimirror.toml"


def documented() -> dict[str, str]:
    """The comment above each key of the reference file, commented-out keys included."""
    section, comment, found = "", "", {}
    for line in REFERENCE.read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section, comment = heading[1], ""
        elif key := re.fullmatch(r"(?:# )?([a-z_]+) = .+", line):
            found[f"{section}.{key[1]}"] = comment
            comment = ""
        elif line.startswith("# "):
            comment += line[1:]
        else:
            comment = ""
    return found


def test_the_reference_file_holds_the_defaults() -> None:
    assert load(REFERENCE) == Settings()


def test_the_reference_file_names_every_key_and_no_other() -> None:
    assert list(documented()) == list(keys())


def test_every_key_with_a_default_is_there_to_be_changed() -> None:
    live = tomllib.loads(REFERENCE.read_text())
    without_default = {key for key, value in Settings().told().items() if value is None}
    assert {f"{section}.{key}" for section, table in live.items() for key in table} == set(keys()) - without_default


@pytest.mark.parametrize("key", keys())
def test_every_key_says_its_default(key: str) -> None:
    said = re.search(r'Default: ("?)(none|\[\]|[^".,]+)\1', documented()[key])
    assert said is not None
    if said[2] == "none":
        assert Settings().told()[key] is None
    else:
        assert load(None, {key: "all" if said[2] == "[]" else said[2]}) == Settings()


@pytest.mark.parametrize("key", [key for key in keys() if not key.startswith("postgres.") or "timeout" in key])
def test_every_choice_says_what_its_extremes_do(key: str) -> None:
    comment = documented()[key].lower()
    pairs = (("too low", "too high"), ("too few", "too many"), ("less", "more"))
    assert any(low in comment and high in comment for low, high in pairs) or key == "log.format"
