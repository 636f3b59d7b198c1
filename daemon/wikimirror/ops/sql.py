"""Looking inside: one query on the mirror, or psql, both read only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from wikimirror.errors import DatabaseRefused
from wikimirror.mirror.connect import Session
from wikimirror.mirror.preflight import quote_identifier
from wikimirror.ops.reports import SqlReport


async def run(session: Session, query: str) -> SqlReport:
    """Runs one statement in a read-only transaction. Raises DatabaseRefused with what Postgres says of it."""
    try:
        async with session.transaction():
            try:
                # Prepared: that takes exactly one statement, so none can end the read-only transaction and go on.
                statement = await session.connection.prepare(query)
                rows = await statement.fetch()
                columns = [attribute.name for attribute in statement.get_attributes()]
            except asyncpg.ReadOnlySQLTransactionError:
                # Told here: outside, a transaction that may not write means a server that may not.
                raise DatabaseRefused("`wikimirror sql` only reads", remedy="Use psql for what writes.") from None
    except asyncpg.PostgresError as error:
        message = error.args[0] if error.args else type(error).__name__
        raise DatabaseRefused(
            f"Postgres refused the query: {message} ({error.sqlstate})",
            remedy="`wikimirror sql` runs one statement that reads; docs/schema.md lists tables and columns.",
        ) from None
    return SqlReport(columns, [list(row) for row in rows])


def open_psql(url: str, schema: str, password_file: Path | None) -> int | None:
    """Runs psql on the terminal, read only and in `schema`: its exit code, or None where there is no psql.

    A password goes by the environment, where other users of the machine cannot see it.
    """
    psql = shutil.which("psql")
    if psql is None:
        return None
    bare, password = without_password(url)
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").strip("\r\n")
    path = quote_identifier(schema).replace("\\", "\\\\").replace(" ", "\\ ")
    environment = {**os.environ, "PGOPTIONS": f"-c default_transaction_read_only=on -c search_path={path}"}
    if password is not None:
        environment["PGPASSWORD"] = password
    # Ctrl-C is for psql, which ends a query by it; this program goes on to close what it opened.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.run([psql, bare], env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def without_password(url: str) -> tuple[str, str | None]:
    """A URL without its password, and the password."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=name + at + hosts)), unquote(password) if colon else None
