"""Write docs/cli.md from the program itself, or with --check tell whether it is current."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, get_args

import typer.main

from wikimirror.cli import facts
from wikimirror.cli.fact_table import FACTS
from wikimirror.cli.program import program

TARGET: Final = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
_VARIABLE: Final = re.compile(r" ?\[(WIKIMIRROR_[A-Z_]+)\]")
_INTRODUCTION: Final = """\
# Commands

What each command does, what it touches, whether it may run beside the daemon, and how to undo it. This page is made
from the program by `tools/cli_doc.py`; `--help` tells the same.

An option goes before the environment, and that before the settings file. Every command gives one JSON document with
`--json`. A command that writes is noted in the table `operation`, with who gave it.
"""


def markdown() -> str:
    """The page's text."""
    infos = dict(facts.commands(program))
    found = dict(_leaves(typer.main.get_command(program), ()))
    links = (
        (f"[`{path}`](#wikimirror-{path.replace(' ', '-')})", _paragraphs(each)[0]) for path, each in found.items()
    )
    parts = [_INTRODUCTION, *_table(("command", "does"), links)]
    for path, command in found.items():
        parts += _section(path, command, facts.variables(infos[path], FACTS[path]))
    return "\n".join(parts)


def _leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command that is no group, in the order of the help, by its words."""
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(words), command
        return
    for name, child in children.items():
        yield from _leaves(child, (*words, name))


def _section(path: str, command: Any, read: list[facts.Variable]) -> Iterator[str]:
    yield f"## wikimirror {path}\n"
    yield from (f"{each}\n" for each in _paragraphs(command))
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    yield " ".join(("```text\nwikimirror", path, *map(_place, arguments), "[OPTIONS]")) + "\n```\n"
    known = FACTS[path]
    yield f"- Touches: {known.touches}"
    yield f"- While the daemon runs: {known.beside}"
    yield f"- To undo: {known.undo}"
    yield f"- Exit codes: {facts.exit_codes(known)}\n"
    yield from _table(("argument", "meaning"), ((f"`{_place(each)}`", each.help) for each in arguments))
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    defaults = {each.name: each.default for each in read}
    yield from _table(("option", "meaning", "variable", "default"), (_option(each, defaults) for each in options))
    named = {found[1] for each in options if (found := _VARIABLE.search(each.help or "")) is not None}
    others = ((f"`{each.name}`", each.default) for each in read if each.name not in named)
    yield from _table(("other variable", "default"), others)


def _paragraphs(command: Any) -> list[str]:
    """What a command says of itself, a line each."""
    return [" ".join(each.split()) for each in cleandoc(command.help or "").split("\n\n")]


def _place(argument: Any) -> str:
    """An argument as the usage has it: brackets where it may be left out, dots where several may be given."""
    name = argument.metavar or argument.name.upper()
    dots = "" if argument.nargs == 1 or name.endswith("…") else "…"
    return name + dots if argument.required else f"[{name}{dots}]"


def _value(option: Any) -> str:
    """What is to be said for an option: nothing for a flag."""
    if option.is_flag:
        return ""
    choices = get_args(option.type_descriptor.annotation) if option.metavar is None else ()
    return f" {option.metavar or '|'.join(map(str, choices)) or 'VALUE'}" + ("…" if option.multiple else "")


def _option(option: Any, defaults: dict[str, str]) -> tuple[str, ...]:
    """An option's names with its value's, its meaning, its variable, and what holds without both."""
    text = option.help or ""
    found = _VARIABLE.search(text)
    names = ", ".join(f"`{each}{_value(option)}`" for each in (*option.opts, *option.secondary_opts))
    if found is not None:
        return names, _VARIABLE.sub("", text), f"`{found[1]}`", defaults[found[1]]
    return names, text, "", _default(option)


def _default(option: Any) -> str:
    value = option.default() if callable(option.default) else option.default
    if option.is_flag or value is None or value in ((), []):
        return ""
    return f"`{value}`"


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str | None, ...]]) -> list[str]:
    """A table, or nothing where there are no rows. Columns that hold nothing are left out."""
    told = [[(cell or "").replace("|", "\\|") for cell in row] for row in rows]
    if not told:
        return []
    kept = [number for number in range(len(columns)) if any(row[number] for row in told)]
    lines = [
        [columns[number] for number in kept],
        ["---"] * len(kept),
        *([row[number] for number in kept] for row in told),
    ]
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"]


def main() -> int:
    """0: written, or current; 3: --check found it different."""
    text = markdown()
    if "--check" in sys.argv[1:]:
        current = TARGET.exists() and TARGET.read_text(encoding="utf-8") == text
        if not current:
            print(f"{TARGET.name} is not current: run python tools/cli_doc.py")
        return 0 if current else 3
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
