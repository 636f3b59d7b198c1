"""The program: its commands in one tree, and what becomes of their errors.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a difference found; 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from wikimirror.cli import (
    checkpoints,
    config,
    database,
    dead_letters,
    explain,
    facts,
    live,
    operations,
    page,
    purge,
    rehearse,
    replay,
)
from wikimirror.cli.output import error_document, print_json, tell_error
from wikimirror.errors import WikimirrorError
from wikimirror.observe.logging import describe

_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a difference found."

program = typer.Typer(
    name="wikimirror",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_FOLLOW = "Follow"
_LOOK = "Look: nothing is changed"
_ACT = "Act: each notes who gave it in the table operation"
_PREPARE = "Prepare"

program.command("run", rich_help_panel=_FOLLOW)(live.run)
program.command("check-source", rich_help_panel=_FOLLOW)(live.check_source)
program.command("demo", rich_help_panel=_FOLLOW)(rehearse.demo)
program.command("play", rich_help_panel=_FOLLOW)(rehearse.play)

program.command("explain", rich_help_panel=_LOOK)(explain.explain)
program.command("status", rich_help_panel=_LOOK)(live.status)
program.add_typer(page.commands, name="page", rich_help_panel=_LOOK)
program.command("gaps", rich_help_panel=_LOOK)(checkpoints.gaps)
program.command("replays", rich_help_panel=_LOOK)(replay.replays)
program.command("operations", rich_help_panel=_LOOK)(operations.operations)
program.command("sql", rich_help_panel=_LOOK)(database.sql)

program.add_typer(dead_letters.commands, name="dead-letters", rich_help_panel=_ACT)
program.command("replay", rich_help_panel=_ACT)(replay.replay)
program.add_typer(checkpoints.commands, name="checkpoints", rich_help_panel=_ACT)
program.command("purge", rich_help_panel=_ACT)(purge.purge)

program.command("migrate", rich_help_panel=_PREPARE)(database.migrate)
program.command("check-config", rich_help_panel=_PREPARE)(database.check_config)
program.add_typer(config.commands, name="config", rich_help_panel=_PREPARE)


def main() -> int:
    """Runs the program with the arguments of the process; returns its exit code."""
    as_json = "--json" in sys.argv[1:]
    try:
        # Alone, typer tells a wrong usage to a person; with --json it must be a document.
        code = program(standalone_mode=not as_json, prog_name="wikimirror")
        sys.stdout.flush()
    except WikimirrorError as error:
        tell_error(error, as_json=as_json)
        return error.exit_code
    except TyperException as error:
        print_json(error_document("UsageError", error.format_message(), "See --help.", error.exit_code))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has gone, as `| head` does. Nothing may be written any more, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - its text may quote a row, so it must not reach the interpreter
        tell_error(_unexpected(error), as_json=as_json)
        return 1
    return code if isinstance(code, int) else 0


def _unexpected(error: Exception) -> WikimirrorError:
    """A fault of this program, by kind and place."""
    told = (f"{each['kind']} at {', '.join(reversed(each['where']))}" for each in describe(error))
    return WikimirrorError(
        "\n  from ".join(("this should not have happened:", *told)).replace(":\n  from ", ": ", 1),
        remedy="Please report these lines, with the command and `wikimirror --version`.",
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"wikimirror {installed_version('wikimirror')}\n")
        raise typer.Exit


@program.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Keeps a Postgres mirror of Wikimedia content in step with its change stream."""


facts.attach(program)
