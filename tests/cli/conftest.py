"""The real program, as a process of its own in a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it gave as JSON: one document, and nothing beside it."""
        return json.loads(self.out)


class Program(Protocol):
    """`run("migrate", "--check", env={…}, stdin="…")`."""

    def __call__(self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Finished: ...


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment without settings, with a home and a state directory of its own."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WIKIMIRROR_", "PG", "XDG_"))}
    pgbin = os.environ.get("WIKIMIRROR_PGBIN")
    return {**kept, **({"WIKIMIRROR_PGBIN": pgbin} if pgbin else {}), "HOME": str(home), "COLUMNS": "120"}


@pytest.fixture(scope="session")
def run(clean_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Runs `wikimirror` to its end."""
    elsewhere = tmp_path_factory.mktemp("cwd")
    executable = Path(sys.executable).with_name("wikimirror")

    def run_program(*arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Finished:
        done = subprocess.run(
            [str(executable), *arguments],
            env={**clean_environment, **(env or {})},
            cwd=elsewhere,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run_program
