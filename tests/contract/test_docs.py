"""What the documents name must exist: settings, variables, commands and options, make's targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from wikimirror.cli.program import program
from wikimirror.settings import CONFIG_VARIABLE, SECRETS_VARIABLE, Settings, keys, variable

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for pattern in ("*.md", "docs/**/*.md", "config/*.toml") for path in ROOT.glob(pattern))
TEST_VARIABLES = re.compile(r"WIKIMIRROR_[A-Z0-9_]+")


def texts() -> list[tuple[Path, str]]:
    return [(path, path.read_text(encoding="utf-8")) for path in DOCUMENTS]


def commands() -> dict[str, set[str]]:
    """Every command of the program, as words, with its options."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        found[" ".join(words)] = {option for parameter in command.params for option in parameter.opts} | {
            "--help",
            "-h",
        }
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*words, name))

    walk(typer.main.get_command(program), ())
    return found


def test_every_setting_that_a_document_names_exists() -> None:
    sections = "|".join(Settings.model_fields)
    named = re.compile(rf"`((?:{sections})\.[a-z_]+)(?: = [^`]*)?`")
    tables = {"page", "revision", "body", "change", "correction", "checkpoint", "ledger"} - set(Settings.model_fields)
    unknown = {
        (path.name, key)
        for path, text in texts()
        for key in named.findall(text)
        if key not in keys() and key.split(".")[0] not in tables and key.split(".")[1] not in {"py", "toml"}
    }
    assert not unknown


def test_every_environment_variable_that_a_document_names_is_read_somewhere() -> None:
    settings = {variable(key) for key in keys()} | {CONFIG_VARIABLE, SECRETS_VARIABLE}
    places = [
        *(ROOT / "daemon").rglob("*.py"),
        *(ROOT / "tests").rglob("*.py"),
        ROOT / ".ci" / "run",
        ROOT / "Makefile",
    ]
    code = "\n".join(path.read_text(encoding="utf-8") for path in places if path.name != "test_docs.py")
    unknown = {
        (path.name, name)
        for path, text in texts()
        for name in TEST_VARIABLES.findall(text)
        if name not in settings and name.rstrip("_") not in code
    }
    assert not unknown


def test_every_command_and_option_that_a_document_names_exists() -> None:
    known = commands()
    unknown = set()
    for path, text in texts():
        for line in re.findall(r"(?:^|[`\s$/])wikimirror ((?:[a-z-]+ ?){1,2}[^`\n|]*)", text, re.MULTILINE):
            words = line.split()
            if not any(" ".join(words[:1]) == name for name in known):
                continue
            name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
            unknown |= {
                (path.name, name, word) for word in words if word.startswith("--") and option(word) not in known[name]
            }
    assert not unknown


def option(word: str) -> str:
    return re.split(r"[=.,;:)\]]", word)[0]


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = {
        (path.name, target)
        for path, text in texts()
        for target in re.findall(r"`make ([a-z-]+)", text)
        if target not in targets
    }
    assert not unknown


@pytest.mark.parametrize(
    "target", ["run", "test", "lint", "types", "fmt", "lock", "lock-check", "mutants", "bench", "clean"]
)
def test_make_explains_its_targets(target: str) -> None:
    assert re.search(rf"^{target}:.*## .+", (ROOT / "Makefile").read_text(), re.MULTILINE)
