"""Each command tells what it touches, whether it is safe beside the daemon, how to undo it; docs/cli.md is the same."""

from __future__ import annotations

import re
from typing import Final

import pytest
import typer.main

from tools import cli_doc
from wikimirror.cli import facts
from wikimirror.cli.fact_table import FACTS
from wikimirror.cli.program import program
from wikimirror.settings import keys

COMMANDS: Final = [path for path, _ in facts.commands(program)]


def help_of(path: str) -> str:
    """The end of a command's help."""
    command = typer.main.get_command(program)
    for word in path.split():
        command = command.commands[word]  # type: ignore[attr-defined]  # a group has them
    return command.epilog or ""


def test_every_command_has_facts_and_no_fact_is_of_a_command_that_is_gone() -> None:
    assert set(COMMANDS) == set(FACTS)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_says_at_the_end_of_its_help_what_it_touches_and_how_to_undo_it(path: str) -> None:
    told = help_of(path)
    for heading in ("Touches ", "Daemon running ", "Undo ", "Exit codes ", "Variables, "):
        assert re.search(rf"^{heading}", told, re.MULTILINE), heading
    assert max(map(len, told.splitlines())) <= 78


@pytest.mark.parametrize("path", [path for path in COMMANDS if path in FACTS and FACTS[path].writes])
def test_a_command_that_writes_says_who_it_is_noted_for(path: str) -> None:
    assert f"{facts.WHO}: user@host" in help_of(path)
    assert "operation" in FACTS[path].touches


def test_every_setting_that_the_facts_name_exists() -> None:
    assert {key for each in FACTS.values() for key in each.settings} <= set(keys())


def test_what_is_told_of_a_default_is_the_default() -> None:
    told = help_of("run")
    assert "WIKIMIRROR_LEASE__DURATION: 6s" in told
    assert "WIKIMIRROR_POSTGRES__URL: the embedded Postgres of demo and play" in told


def test_the_page_of_commands_says_what_the_program_says() -> None:
    assert cli_doc.TARGET.read_text(encoding="utf-8") == cli_doc.markdown(), "run python tools/cli_doc.py"


def test_the_page_names_every_command_with_its_options() -> None:
    text = cli_doc.TARGET.read_text(encoding="utf-8")
    for path in COMMANDS:
        section = text.partition(f"\n## wikimirror {path}\n")[2].partition("\n## ")[0]
        assert "While the daemon runs: " in section
        assert "`--json`" in section
