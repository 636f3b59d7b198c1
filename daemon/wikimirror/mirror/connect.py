"""Connections to Postgres as people have it: several hosts, TLS, sockets, poolers, any schema name.

A session keeps no state on the server beyond a transaction, so that it works behind a pooler in transaction mode.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from wikimirror.errors import ConfigurationError, DatabaseUnavailable, WikimirrorError, let_go
from wikimirror.mirror.preflight import (
    NEWEST_SERVER,
    SCHEMA_VERSION,
    Probe,
    check_schema,
    check_server,
    explain,
    mask,
    probe,
    quote_identifier,
    scrub,
)

__all__ = ["SCHEMA_VERSION", "Limits", "Session", "connect", "open_connection"]

DEFAULT_SCHEMA: Final = "wikimirror"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds. They are set in each transaction, not in the session."""

    connect: float = 10.0
    """For each host of the URL."""
    lock: float = 30.0
    statement: float = 300.0
    idle: float = 60.0
    """A transaction whose program has frozen is ended by the server after this long."""


def _nothing() -> None:
    """Nobody watches."""


class Session:
    """One connection, its schema and its limits. Not for use by two tasks at a time."""

    def __init__(
        self, connection: asyncpg.Connection, schema: str, found: Probe, where: str, limits: Limits, *, write: bool
    ) -> None:
        self.connection = connection
        self.schema = schema
        self.server = found
        self.where = where
        self.on_statement: Callable[[], None] = _nothing
        """Called before each statement: whoever watches sees that work goes on."""
        self._write = write
        self._limits = limits
        self._savepoints = 0

    @property
    def pooled(self) -> bool:
        """True behind a pooler: statements are then not kept prepared."""
        return self.server.pooled

    @contextlib.asynccontextmanager
    async def transaction(self, *, limits: Limits | None = None) -> AsyncIterator[Self]:
        """One transaction in the session's schema: COMMIT at the end, ROLLBACK on any exception.

        Errors of the environment leave it as DatabaseUnavailable or DatabaseRefused; errors about data leave it as
        asyncpg's own, without Postgres's DETAIL. If the reply to COMMIT is lost, DatabaseUnavailable does not tell
        whether it took place: the checkpoint does.
        """
        try:
            await self.connection.execute(self._begin(limits or self._limits))
            yield self
            await self._commit()
        except BaseException as error:
            scrub(error)
            self._give_up_if_silent(error)
            await self._roll_back()
            mapped = explain(error, self.where) if _may_be_ours(error) else None
            if mapped is None or mapped is error:
                raise
            raise mapped from error

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the open transaction that can fail by itself: on an exception it alone is undone, and raised."""
        self._savepoints += 1
        name = f"part_{self._savepoints}"
        await self.connection.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException as error:
            scrub(error)
            self._give_up_if_silent(error)
            if self._usable():
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await self.connection.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")
            raise
        await self.connection.execute(f"RELEASE SAVEPOINT {name}")

    async def execute(self, query: str, *arguments: Any) -> str:
        """Run one statement; see asyncpg."""
        self.on_statement()
        return await self.connection.execute(query, *arguments)

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each of `rows`; see asyncpg."""
        self.on_statement()
        await self.connection.executemany(query, rows)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """All rows of a query."""
        self.on_statement()
        return await self.connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row of a query."""
        self.on_statement()
        return await self.connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """The first value of a query."""
        self.on_statement()
        return await self.connection.fetchval(query, *arguments)

    async def close(self) -> None:
        """Leave politely; a connection that does not answer is dropped."""
        try:
            await self.connection.close(timeout=self._limits.connect)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.connection.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _begin(self, limits: Limits) -> str:
        # One simple query: one round trip, and a pooler sends all of it to one server.
        return (
            f"BEGIN {'READ WRITE' if self._write else 'READ ONLY'};"
            f" SET LOCAL search_path TO {quote_identifier(self.schema)}, pg_temp;"
            f" SET LOCAL lock_timeout TO {round(limits.lock * 1000)};"
            f" SET LOCAL statement_timeout TO {round(limits.statement * 1000)};"
            f" SET LOCAL idle_in_transaction_session_timeout TO {round(limits.idle * 1000)}"
        )

    async def _commit(self) -> None:
        # After a failed statement that someone ignored, Postgres answers COMMIT by rolling back, without an error.
        if (ended := await self.connection.execute("COMMIT")) != "COMMIT":
            raise WikimirrorError(
                f"{self.where} ended the transaction by {ended}: a failed statement was ignored in it"
            )

    def _give_up_if_silent(self, error: BaseException) -> None:
        """A server that did not answer in time will not answer to a ROLLBACK either: that is not waited for."""
        if isinstance(error, TimeoutError):
            self.connection.terminate()

    def _usable(self) -> bool:
        return not self.connection.is_closed() and self.connection.is_in_transaction()

    async def _roll_back(self) -> None:
        if not self._usable():
            return
        try:
            await self.connection.execute("ROLLBACK", timeout=self._limits.connect)
        except Exception:  # noqa: BLE001  # whatever it was, the connection is of no more use
            self.connection.terminate()


async def connect(
    url: str,
    *,
    schema: str = DEFAULT_SCHEMA,
    application_name: str = "wikimirror",
    password_file: Path | None = None,
    write: bool = True,
    limits: Limits | None = None,
) -> Session:
    """A session in `schema`, after checking that server, schema and rights fit this program.

    `url` is what psql takes (hosts may be several, PG* variables fill what it leaves out). With `write=False` a standby
    will do and transactions are read-only. Raises DatabaseUnavailable, DatabaseRefused or ConfigurationError, whose
    texts hold no password.
    """
    chosen = limits or Limits()
    where = describe(url)
    connection, found = await open_connection(
        url, application_name=application_name, password_file=password_file, write=write, limits=chosen
    )
    try:
        await check_schema(connection, schema, write=write)
        if found.version // 10000 > NEWEST_SERVER:
            _LOG.warning("%s is PostgreSQL %d, newer than any this program was tried on", where, found.version // 10000)
    except BaseException as error:
        connection.terminate()
        scrub(error)
        mapped = explain(error, where) if isinstance(error, Exception) else None
        if mapped is None or mapped is error:
            raise
        raise mapped from error
    return Session(connection, schema, found, where, chosen, write=write)


async def open_connection(
    url: str,
    *,
    application_name: str = "wikimirror",
    password_file: Path | None = None,
    write: bool = True,
    limits: Limits | None = None,
    keep_statements: bool = True,
) -> tuple[asyncpg.Connection, Probe]:
    """A checked connection without a schema, and what its server is. Statements stay prepared unless a pooler is found.

    Hosts are tried in order, each for `limits.connect`; one that cannot be reached, or cannot write where writing is
    wanted, gives way to the next.
    """
    chosen = limits or Limits()
    where = describe(url)
    password = _read_password(password_file)
    hosts = _hosts(url)
    errors: list[WikimirrorError] = []
    for wanted in _wanted_attributes(url):
        for host in hosts:
            options: dict[str, Any] = {
                "timeout": chosen.connect,
                "command_timeout": chosen.statement + 15,
                "target_session_attrs": wanted or "any",
                "server_settings": {"application_name": application_name},
                **({"host": host[0], "port": host[1]} if host else {}),
                **({"password": password} if password is not None else {}),
            }
            try:
                return await _open(
                    _without_own_parameters(url), options, where, write=write, keep_statements=keep_statements
                )
            except (Exception, BaseExceptionGroup) as error:
                scrub(error)
                mapped = explain(error, where) if isinstance(error, Exception) else None
                if mapped is None:
                    if isinstance(error, ValueError):
                        mapped = ConfigurationError(
                            "the Postgres URL cannot be read", remedy="It looks like postgresql://user@host/db."
                        )
                    else:
                        raise
                mapped.__cause__ = None if mapped is error else error
                let_go(error)
                errors.append(mapped)
    raise _most_telling(errors)


async def _open(
    url: str, options: dict[str, Any], where: str, *, write: bool, keep_statements: bool
) -> tuple[asyncpg.Connection, Probe]:
    # Whether a pooler is there is known only once connected, and behind one a named statement would be left on a server
    # that is not ours alone: so the first connection keeps none.
    connection = await asyncpg.connect(url, statement_cache_size=0, **options)
    try:
        found = await probe(connection)
        check_server(found, where, write=write)
    except BaseException:
        connection.terminate()
        raise
    if found.pooled or not keep_statements:
        return connection, found
    try:
        keeping = await asyncpg.connect(url, **options)
    finally:
        connection.terminate()
    return keeping, found


def _may_be_ours(error: BaseException) -> bool:
    """Whether an error within a transaction can be the connection's; a file's trouble, say, is the caller's own."""
    return isinstance(error, Exception) and (
        not isinstance(error, OSError) or isinstance(error, ConnectionError | TimeoutError)
    )


def _most_telling(errors: list[WikimirrorError]) -> WikimirrorError:
    """Of several hosts' errors, the one to tell. While a list of hosts has no primary, waiting for one is right."""
    refusals = [error for error in errors if not isinstance(error, DatabaseUnavailable)]
    if len(errors) == 1 or not refusals:
        return errors[0]
    if all("is a standby" in str(error) or isinstance(error, DatabaseUnavailable) for error in errors):
        return DatabaseUnavailable(
            "none of the hosts in the Postgres URL is a primary: " + "; ".join(sorted({str(error) for error in errors}))
        )
    return refusals[0]


def _read_password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(
            f"the password file {path} cannot be read: {reason}", remedy="Correct its path or its mode."
        ) from None


def describe(url: str) -> str:
    """The server a URL names, without secrets and options, for messages."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    host = f" at {options['host'][-1]}" if "host" in options and not parts.netloc.rpartition("@")[2] else ""
    return mask(f"{parts.scheme}://{parts.netloc}{parts.path}") + host


def _hosts(url: str) -> list[tuple[str, int] | None]:
    """Each host of a list of hosts with its port; [None] where there is no list and asyncpg's own reading will do."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    listed = unquote(parts.netloc.rpartition("@")[2])
    ports = ""
    if not listed:
        listed = options.get("host", [os.environ.get("PGHOST", "")])[-1]
    if "," not in listed:
        return [None]
    ports = options.get("port", [os.environ.get("PGPORT", "5432")])[-1]
    defaults = ports.split(",")
    hosts: list[tuple[str, int] | None] = []
    try:
        for number, entry in enumerate(listed.split(",")):
            host, colon, port = entry.rpartition(":") if not entry.startswith("/") else (entry, "", "")
            if not colon or (host.startswith("[") and not host.endswith("]")):
                host, port = entry, defaults[number if len(defaults) > 1 else 0]
            hosts.append((host.strip("[]"), int(port)))
    except (ValueError, IndexError):
        raise ConfigurationError(
            f"the hosts and ports in {describe(url)} do not fit together",
            remedy="Give each host its own port: postgresql://first:5432,second:5432/database.",
        ) from None
    return hosts


def _wanted_attributes(url: str) -> tuple[str | None, ...]:
    options = parse_qs(urlsplit(url).query)
    wanted = options.get("target_session_attrs", [os.environ.get("PGTARGETSESSIONATTRS", "")])[-1]
    return ("standby", "any") if wanted == "prefer-standby" else (wanted or None,)


def _without_own_parameters(url: str) -> str:
    """The URL without options of libpq that asyncpg would send to the server as settings."""
    parts = urlsplit(url)
    kept = [
        pair
        for pair in parts.query.split("&")
        if pair.partition("=")[0] not in ("connect_timeout", "target_session_attrs", "")
    ]
    # Built by hand: urlunsplit drops the empty host of postgresql:///database.
    return f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{'&'.join(kept)}" if kept else "")
