"""Somebody on call, who opens a runbook and gives its commands as they stand there, in a shell.

async with opened("WikimirrorGapOpen", config) as shift:
    shift.known["ID"] = 1
    await shift.rest("Diagnosis")
    …

What a command must show and how it must end is what the runbook says. When the block is left, every command of the
runbook must have been given.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.runbooks.commands import Command, commands_of, filled

DEADLINE: Final = 45.0
"""Seconds until a command must show what the runbook says: lanes tell of themselves every few seconds."""
_LONGEST: Final = 60.0
_LOOKING: Final = {"Diagnosis", "Verify recovery"}
"""Sections whose commands only look, and are given again until they show it."""
_AGAIN: Final = 0.5
_QUOTED: Final = 4000
"""Characters of what a command said that a failure quotes."""


@dataclass
class Shift:
    """A runbook that is being worked through. Commands of other parts than `part` are for other causes."""

    runbook: str
    config: Path
    part: str | None = None
    known: dict[str, object] = field(default_factory=dict)
    """What the placeholders stand for."""
    left: list[Command] = field(init=False)
    said: str = ""
    """What the last command said."""

    def __post_init__(self) -> None:
        self.left = [each for each in commands_of(self.runbook) if each.part in {"", self.part or each.part}]

    async def step(self, section: str, *, within: float = DEADLINE) -> str:
        """Give the next command of a section; what it said."""
        command = next(each for each in self.left if each.section == section)
        self.left.remove(command)
        if section not in _LOOKING:
            within = 0.0
        deadline = time.monotonic() + within
        while (wrong := await self._try(command)) and time.monotonic() < deadline:
            await asyncio.sleep(_AGAIN)
        assert not wrong, wrong
        return self.said

    async def rest(self, section: str, *, within: float = DEADLINE) -> str:
        """Give all commands of a section that are left; what they said."""
        said = [await self.step(section, within=within) for each in self.left[:] if each.section == section]
        return "\n".join(said)

    def take(self, text: str) -> Command:
        """The next command is this one, and the test gives it itself: it goes on running."""
        command = next(each for each in self.left if each.text == text)
        self.left.remove(command)
        return command

    def find(self, pattern: str) -> str:
        """What the first group matches in what the last command said."""
        found = re.search(pattern, self.said)
        assert found is not None, f"no {pattern!r} in {self.said[:_QUOTED]}"
        return found[1]

    async def _try(self, command: Command) -> str:
        """Give it once. What is wrong with what came of it; empty where it is as the runbook says."""
        unknown = command.placeholders - self.known.keys()
        assert not unknown, f"{command.text}: nothing is known of {unknown}"
        given = filled(command.text, self.known)
        code, self.said = await _run(given, self.config)
        told = f"{command.runbook}, {command.section}: $ {given}\nends with {code}:\n{self.said[:_QUOTED]}"
        if code != command.code:
            return f"it must end with {command.code}. {told}"
        plain, at = " ".join(self.said.split()), 0
        for piece in command.shows:
            wanted = filled(piece, self.known)
            at = plain.find(wanted, at)
            if at < 0:
                return f"it must show {wanted!r}. {told}"
            at += len(wanted)
        return ""


@asynccontextmanager
async def opened(
    runbook: str, config: Path, known: Mapping[str, object] | None = None, *, part: str | None = None
) -> AsyncIterator[Shift]:
    """A shift with that runbook, which must be worked through to its end. `known`: by placeholder."""
    shift = Shift(runbook, config, part, dict(known or {}))
    assert shift.left, f"{runbook} has no command"
    yield shift
    assert not shift.left, f"not given: {shift.left}"


async def _run(command: str, config: Path) -> tuple[int, str]:
    """Exit code, and all that was said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WIKIMIRROR_", "PG"))}
    ours = {
        "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', '')}",
        "WIKIMIRROR_CONFIG": str(config),
        "WIKIMIRROR_LOG__LEVEL": "warning",
        "NO_COLOR": "1",
    }
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env={**kept, **ours}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LONGEST):
            out, _ = await process.communicate()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"{_LONGEST} s without an end: {command}") from None
    return process.returncode or 0, out.decode()
