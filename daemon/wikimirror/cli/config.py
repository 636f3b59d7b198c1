"""`config show`: the settings in force, and who said them."""

from __future__ import annotations

from typing import Final

import typer
from rich.console import Console

from wikimirror.cli import options
from wikimirror.cli.output import clean, give, grid, shown
from wikimirror.settings import explain

_VALUE: Final = 28
"""Characters that a value has before who said it: enough for most."""

commands = typer.Typer(help="Look at the settings.", no_args_is_help=True)


@commands.command("show")
def show(
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Show every setting in force, and who said it.

    That is a flag, the environment, the secrets directory, the file, or the default. Secrets are masked.
    """
    told = explain(config, {"postgres.url": postgres, "postgres.schema": schema})
    give({"settings": {key: each._asdict() for key, each in told.items()}}, _render, as_json=as_json)


def _render(told: dict[str, dict[str, dict[str, object]]], console: Console) -> None:
    rows = [(key, shown(each["value"]), clean(str(each["source"]))) for key, each in told["settings"].items()]
    # A path or a list may be long: nothing is folded, so that it can be copied and searched for.
    console.print(
        grid(((key, f"{value:<{_VALUE}}  {source}") for key, value, source in rows), indent=0), soft_wrap=True
    )
