"""The commands of a runbook are read as they stand there, and what comes of them is held against what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runbooks import commands
from tests.runbooks.commands import Command, commands_of, filled
from tests.runbooks.shift import opened

NAME = "WikimirrorExample"
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the only runbook there is: its Mitigation."""
    monkeypatch.setattr(commands, "RUNBOOKS", tmp_path)

    def put(text: str) -> None:
        (tmp_path / f"{NAME}.md").write_text(f"# {NAME}\n\n## Mitigation\n\n{text}", encoding="utf-8")

    return put


def test_a_command_has_its_section_its_part_its_exit_code_and_what_it_shows(write: Write) -> None:
    write(
        "```console\n$ one <ID>   # exit 3\nhalf … other  half\n$ two\n```\n\n"
        "### Then\n\n```console\n$ three\n```\n\n```\n$ no\n```\n"
    )
    assert commands_of(NAME) == [
        Command(NAME, "Mitigation", "", "one <ID>", 3, ("half", "other half")),
        Command(NAME, "Mitigation", "", "two", 0, ()),
        Command(NAME, "Mitigation", "Then", "three", 0, ()),
    ]


def test_a_placeholder_is_filled_and_an_unknown_one_is_no_command() -> None:
    assert filled("show <ID> of <SOURCE>", {"ID": 7, "SOURCE": "wiki"}) == "show 7 of wiki"
    with pytest.raises(KeyError):
        filled("show <ID>", {})


async def test_a_command_that_ends_and_shows_as_it_says_passes(write: Write, tmp_path: Path) -> None:
    write("```console\n$ echo a <ID> b; exit 3   # exit 3\na … 7 … b\n```\n")
    async with opened(NAME, tmp_path, {"ID": 7}) as shift:
        await shift.rest("Mitigation")


@pytest.mark.parametrize(
    ("command", "wrong"),
    [("false", "must end with 0"), ("true   # exit 3", "must end with 3"), ("echo b a\na … b", "must show 'b'")],
)
async def test_a_command_that_ends_or_shows_otherwise_fails(
    write: Write, tmp_path: Path, command: str, wrong: str
) -> None:
    write(f"```console\n$ {command}\n```\n")
    with pytest.raises(AssertionError, match=wrong):
        async with opened(NAME, tmp_path) as shift:
            await shift.rest("Mitigation")


async def test_a_runbook_that_was_not_worked_through_to_its_end_fails(write: Write, tmp_path: Path) -> None:
    write("```console\n$ true\n$ true\n```\n")
    with pytest.raises(AssertionError, match="not given"):
        async with opened(NAME, tmp_path) as shift:
            await shift.step("Mitigation")
