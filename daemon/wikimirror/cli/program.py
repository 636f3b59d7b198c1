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
program.command("demo")(rehearse.demo)
program.command("run")(live.run)
program.command("check-source")(live.check_source)
program.command("status")(live.status)
program.command("explain")(explain.explain)
program.command("play")(rehearse.play)
program.command("migrate")(database.migrate)
program.command("check-config")(database.check_config)
program.add_typer(config.commands, name="config")
program.command("sql")(database.sql)
program.add_typer(page.commands, name="page")
program.add_typer(checkpoints.commands, name="checkpoints")
program.command("gaps")(checkpoints.gaps)
program.command("operations")(operations.operations)
program.command("purge")(purge.purge)
program.add_typer(dead_letters.commands, name="dead-letters")
program.command("replay")(replay.replay)
program.command("replays")(replay.replays)


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
