"""`page show` and `page history`: one page, for a person."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from wikimirror.cli import options
from wikimirror.cli.output import give
from wikimirror.cli.rendering import render_history, render_page

_IDS: Final = 2**63
"""Greater numbers are no ids."""

commands = typer.Typer(help="Look at one page of the mirror.", no_args_is_help=True)

_Wiki = Annotated[str, typer.Argument(metavar="WIKI", help="The wiki's database name, such as enwiki.")]
_Page = Annotated[str, typer.Argument(metavar="TITLE|ID", help="The page's title with its namespace, or its number.")]
_ByTitle = Annotated[bool, typer.Option("--title", help="Take a number for a title: 1984 is a page too.")]


@commands.command("show")
def show(
    wiki: _Wiki,
    page: _Page,
    by_title: _ByTitle = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Show a page: its state, its current revision, and what it waits for."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.page_show(settings, wiki, _reference(page, by_title)), render_page, as_json=as_json)


@commands.command("history")
def history(
    wiki: _Wiki,
    page: _Page,
    by_title: _ByTitle = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Show what happened to a page: its entries in the ledger, and its revisions."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.page_history(settings, wiki, _reference(page, by_title)), render_history, as_json=as_json)


def _reference(page: str, by_title: bool) -> int | str:
    if page.isascii() and page.isdigit() and not by_title:
        if int(page) >= _IDS:
            raise typer.BadParameter(f"no page has the number {page}; --title takes it for a title")
        return int(page)
    return page.replace("_", " ").strip()
