"""The commands of the runbooks, as their fenced `console` blocks have them, and what each says must come of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

RUNBOOKS: Final = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
SECTIONS: Final = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Verify recovery", "Escalate")
_PROMPT: Final = "$ "
_ENDS: Final = re.compile(r"\s+# exit (\d+)$")
_PLACEHOLDER: Final = re.compile(r"<([A-Z]+)>")


class Command(NamedTuple):
    """One command. `part`: the heading `###` below which it stands, where it is for one cause only."""

    runbook: str
    section: str
    part: str
    text: str
    """With placeholders such as <ID>."""
    code: int
    """The exit code that the runbook tells."""
    shows: tuple[str, ...]
    """Pieces of its output that the runbook quotes, in order."""

    @property
    def placeholders(self) -> set[str]:
        return set(_PLACEHOLDER.findall(self.text))


def names() -> list[str]:
    """The names of all runbooks."""
    return sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != "README")


def text_of(name: str) -> str:
    return (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")


def commands_of(name: str) -> list[Command]:
    """All commands of a runbook, in order."""
    found: list[Command] = []
    section = part = ""
    within = False
    for line in text_of(name).splitlines():
        if line.startswith("```"):
            within = line == "```console"
        elif within and line.startswith(_PROMPT):
            found.append(_command(name, section, part, line.removeprefix(_PROMPT)))
        elif within:
            found[-1] = found[-1]._replace(shows=(*found[-1].shows, *_pieces(line)))
        elif line.startswith("## "):
            section, part = line.removeprefix("## "), ""
        elif line.startswith("### "):
            part = line.removeprefix("### ")
    return found


def filled(text: str, known: Mapping[str, object]) -> str:
    """The text with what placeholders stand for."""
    return _PLACEHOLDER.sub(lambda found: str(known[found[1]]), text)


def _command(name: str, section: str, part: str, line: str) -> Command:
    ends = _ENDS.search(line)
    return Command(name, section, part, _ENDS.sub("", line), int(ends[1]) if ends else 0, ())


def _pieces(line: str) -> list[str]:
    """What an excerpt quotes: it leaves out what `…` stands for."""
    return [piece for each in line.split("…") if (piece := " ".join(each.split()))]
