from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Program

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    ("demo",),
    ("run",),
    ("check-source",),
    ("status",),
    ("config",),
    ("config", "show"),
    ("play",),
    ("migrate",),
    ("check-config",),
    ("sql",),
    ("page",),
    ("page", "show"),
    ("page", "history"),
]


def test_the_version_is_that_of_the_project(run: Program) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run("--version").out == f"wikimirror {version}\n"


def test_help_lists_every_command_and_the_exit_codes(run: Program) -> None:
    done = run("--help")
    assert done.code == 0
    for name in {words[0] for words in COMMANDS}:
        assert f" {name} " in done.out
    assert "0 done, 1 failed, 2 usage or configuration, 3 a difference found" in done.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_explains_itself(run: Program, command: tuple[str, ...]) -> None:
    done = run(*command, "--help")
    assert done.code == 0
    assert "Usage: wikimirror" in done.out
    assert done.err == ""
    if command not in {("check-config",), ("page",), ("config",)}:
        assert "WIKIMIRROR_CONFIG" in done.out
        assert "WIKIMIRROR_POSTGRES__URL" in done.out or command == ("check-source",)
    if command not in {("page",), ("config",)}:
        assert "--json" in done.out


@pytest.mark.parametrize(
    "wrong", [("frobnicate",), ("migrate", "--frobnicate"), ("migrate", "--sql", "--check"), ("demo", "--for", "5")]
)
def test_wrong_usage_exits_with_2_and_says_so_on_standard_error(run: Program, wrong: tuple[str, ...]) -> None:
    done = run(*wrong)
    assert done.code == 2
    assert done.out == ""
    assert "Usage: wikimirror" in done.err


def test_without_a_command_it_shows_the_help(run: Program) -> None:
    done = run()
    assert done.code == 2
    assert " demo " in done.out


def test_wrong_usage_with_json_is_a_document(run: Program) -> None:
    done = run("migrate", "--frobnicate", "--json")
    assert done.code == 2
    assert done.err == ""
    assert done.document["error"]["exit_code"] == 2
    assert "--frobnicate" in done.document["error"]["message"]


def test_it_also_runs_as_a_module(clean_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wikimirror", "--version"],
        env=clean_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("wikimirror ")


def test_a_reader_that_leaves_early_is_no_accident(clean_environment: dict[str, str]) -> None:
    program = Path(sys.executable).with_name("wikimirror")
    with subprocess.Popen(
        [str(program), "migrate", "--sql"], env=clean_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 1
    assert told == b""
