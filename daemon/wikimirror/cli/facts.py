"""What each command touches, whether it may run beside the daemon, how to undo it: told once, at the end of its help.

`attach` gives every command of the tree its facts, its variables with their defaults, and its exit codes. docs/cli.md
is made of the same (tools/cli_doc.py). A command without facts fails a test.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import typer
from rich.markup import escape
from typer.models import CommandInfo, OptionInfo
from typer.utils import get_params_from_function

from wikimirror.cli.fact_table import FACTS, Facts
from wikimirror.cli.output import shown
from wikimirror.settings import CONFIG_VARIABLE, Settings, keys, variable

WHO: Final = "WIKIMIRROR_OPERATOR"
"""The variable that says who runs a command that writes."""
_DEFAULTS: Final = {
    CONFIG_VARIABLE: "no file",
    WHO: "user@host",
    variable("postgres.url"): "the embedded Postgres of demo and play",
}
"""Where the default is something else than a value."""
_VARIABLE: Final = re.compile(r"\[(WIKIMIRROR_[A-Z_]+)\]")
_WIDTH: Final = 76
"""Characters of a line: a terminal of 80 columns, less its margins."""
_HEADING: Final = 15


class Variable(NamedTuple):
    """A variable that a command reads, and what holds where it is not set."""

    name: str
    default: str


def attach(program: typer.Typer) -> None:
    """Give every command of a tree its facts, as the end of its help. Commands without facts are left as they are."""
    for path, info in commands(program):
        facts = FACTS.get(path)
        if facts is not None:
            info.epilog = escape(told(facts, variables(info, facts)))


def commands(tree: typer.Typer, above: tuple[str, ...] = ()) -> Iterator[tuple[str, CommandInfo]]:
    """Every command of a tree by its words, such as `page show`. Groups are not commands."""
    for info in tree.registered_commands:
        yield " ".join((*above, info.name or "")), info
    for group in tree.registered_groups:
        if group.typer_instance is not None:
            yield from commands(group.typer_instance, (*above, group.name or ""))


def variables(info: CommandInfo, facts: Facts) -> list[Variable]:
    """The variables of a command: those of its options, then those of the settings that it is decided by."""
    params = get_params_from_function(info.callback).values() if info.callback is not None else ()
    helps = (each.default.help or "" for each in params if isinstance(each.default, OptionInfo))
    named = [found[1] for text in helps if (found := _VARIABLE.search(text)) is not None]
    named += [WHO] if facts.writes else []
    named += [variable(key) for key in facts.settings]
    return [Variable(name, _DEFAULTS.get(name) or _defaults()[name]) for name in dict.fromkeys(named)]


def told(facts: Facts, read: list[Variable]) -> str:
    """The facts as the end of a help: a heading and its lines each, no line longer than 76 characters."""
    parts = [
        ("Touches", facts.touches),
        ("Daemon running", facts.beside),
        ("Undo", facts.undo),
        ("Exit codes", exit_codes(facts)),
    ]
    blocks = [_block(heading, text) for heading, text in parts]
    # One to a line, so that each can be copied.
    blocks += [
        "\n".join(["Variables, and what holds without them:", *(f"  {each.name}: {each.default}" for each in read)])
    ]
    return "\n".join(blocks)


def exit_codes(facts: Facts) -> str:
    """All exit codes of a command with their meanings."""
    three = f"; 3 {facts.three}" if facts.three else ""
    return f"0 done; 1 {facts.one}; 2 usage or configuration{three}."


def _block(heading: str, text: str) -> str:
    indent = " " * (_HEADING + 1)
    return textwrap.fill(text, _WIDTH, initial_indent=f"{heading:<{_HEADING}} ", subsequent_indent=indent)


@lru_cache(maxsize=1)
def _defaults() -> dict[str, str]:
    """The default of every setting that no source's type decides, by its variable."""
    told_of = Settings.model_construct().told()
    return {variable(key): "none" if told_of[key] is None else shown(told_of[key]) for key in keys() if key in told_of}
