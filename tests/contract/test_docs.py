"""What the documents name must exist: links, files, settings, variables, commands and options, make's targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from wikimirror.cli.program import program
from wikimirror.settings import CONFIG_VARIABLE, NAME, SECRETS_VARIABLE, Settings, keys, variable

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for pattern in ("*.md", "docs/**/*.md", "config/*.toml") for path in ROOT.glob(pattern))
TEST_VARIABLES = re.compile(r"WIKIMIRROR_[A-Z0-9_]+")
LINKS = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
FILES = re.compile(r"`((?:[a-z_]+/)+[A-Za-z0-9_]+\.(?:py|md|toml|run))(?:::[a-z_]+)?`")
COMMANDS = re.compile(r"(?:`|\$ (?:[A-Z_]+=\S+ )*)(?:\.venv/bin/)?wikimirror ([^`\n|]+)")
WRITTEN_BY_A_COMMAND = {"docs/benchmarks.md"}
ANYBODYS = ("/path/", "/etc/", "/var/", "/run/", "/usr/", "/dev/")


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
    named = re.compile(rf"`((?:{sections})(?:\.[a-z0-9_]+|\.{NAME})+)(?: = [^`]*)?`")
    of_a_source = re.compile(r"^sources\.[a-z0-9_]+(?=\.|$)")
    tables = {"page", "revision", "body", "change", "correction", "checkpoint", "ledger"} - set(Settings.model_fields)
    unknown = {
        (path.name, key)
        for path, text in texts()
        for key in named.findall(text)
        if of_a_source.sub(f"sources.{NAME}", key) not in {*keys(), f"sources.{NAME}"}
        and key.split(".")[0] not in tables
        and key.split(".")[1] not in {"py", "toml"}
    }
    assert not unknown


def test_every_environment_variable_that_a_document_names_is_read_somewhere() -> None:
    settings = {variable(key) for key in keys()} | {CONFIG_VARIABLE, SECRETS_VARIABLE}
    of_a_source = re.compile(r"^WIKIMIRROR_SOURCES__[A-Z0-9]+(?:_[A-Z0-9]+)*__")
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
        if of_a_source.sub(variable(f"sources.{NAME}."), name) not in settings and name.rstrip("_") not in code
    }
    assert not unknown


def test_every_command_and_option_that_a_document_names_exists() -> None:
    known = commands()
    unknown = set()
    for path, text in texts():
        for line in COMMANDS.findall(text):
            words = line.split()
            if words[0] in {"…", "COMMAND"}:
                continue
            named = [word.strip(".,;") for word in words]
            name = next((name for name in (" ".join(named[:2]), named[0], "") if name in known), "")
            group = name == "" or any(other.startswith(f"{name} ") for other in known)
            rest = named[len(name.split()) :]
            unnamed = group and rest != [] and not rest[0].startswith("-")
            options = {option(word) for word in words if word.startswith("-")}
            if unnamed or options - known[name]:
                unknown.add((path.name, line))
    assert not unknown


def option(word: str) -> str:
    return re.split(r"[=.,;:)\]]", word)[0]


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = set()
    for path, text in texts():
        for target, anchor in LINKS.findall(text):
            goal = (path.parent / target).resolve() if target else path
            if not goal.exists() or (anchor and anchor not in anchors(goal)):
                broken.add((path.name, target, anchor))
    assert not broken


def anchors(path: Path) -> set[str]:
    """Headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_file_that_a_document_names_exists() -> None:
    roots = (ROOT, ROOT / "daemon" / "wikimirror")
    unknown = {
        (path.name, name)
        for path, text in texts()
        for name in FILES.findall(text)
        if name not in WRITTEN_BY_A_COMMAND and not any((root / name).exists() for root in roots)
    }
    assert not unknown


def test_no_document_names_a_place_on_one_machine() -> None:
    named = {
        (path.name, place)
        for path, text in texts()
        for place in re.findall(r"(?<![\w.~:/}*>)])/[a-z]+/[\w.-]+", text)
        if not place.startswith(ANYBODYS)
    }
    assert not named


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
