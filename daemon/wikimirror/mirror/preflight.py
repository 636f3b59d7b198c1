"""Whether a Postgres can be used as it is, and what its errors mean to a person."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Final, NamedTuple

import asyncpg

from wikimirror.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable, WikimirrorError
from wikimirror.mirror.roles import WRITER_TABLES

SCHEMA_VERSION: Final = "0004"
"""The migration this program needs; numbers grow, so an older or newer schema can be told apart."""

NEWER_REMEDY: Final = "Install the program that made it, or a newer one; a schema is never taken back."
OLDEST_SERVER: Final = 15
NEWEST_SERVER: Final = 18

_TOLD: Final = 5
_MIGRATE: Final = (
    "Run `wikimirror migrate` with a role that may create the schema, or give its `--sql` to an administrator."
)

# Codes that pass by themselves, or once someone tends the machine: the same work is tried again.
_PASSING = ("08", "53", "40", "58")
_PASSING_CODES = frozenset({"57P01", "57P02", "57P03", "57P05", "57014", "55P03", "25P03", "25P04"})
_REFUSING: Final = {
    "28P01": "Check the password: in the URL, the password file, $PGPASSWORD or ~/.pgpass.",
    "28000": (
        "Check the user and the server's pg_hba.conf: it must let this user in from here, by this method, with or"
        " without TLS."
    ),
    "3D000": "Create the database, or correct its name in the URL.",
    "42501": (
        "Grant what docs/postgres.md lists; `wikimirror migrate`, run as the schema's owner, does it for the roles."
    ),
    "25006": "Point the URL at the primary; several hosts may be listed: postgresql://first,second/database.",
    "42P01": _MIGRATE,
    "42703": _MIGRATE,
    "42883": _MIGRATE,
    "3F000": _MIGRATE,
}


class Probe(NamedTuple):
    """What a fresh connection says of its server."""

    version: int
    """As in server_version_num: 150020 is 15.20."""
    pooled: bool
    """Something between us and the server hands out its connections (a pooler in any mode)."""
    standby: bool
    read_only: bool
    encoding: str
    user: str
    database: str

    @property
    def writable(self) -> bool:
        """Whether transactions may write."""
        return not (self.standby or self.read_only)


async def probe(connection: asyncpg.Connection) -> Probe:
    """Ask the server what it is. In one transaction, so that a pooler sends all of it to one server."""
    await connection.execute("BEGIN")
    try:
        row = await connection.fetchrow(
            "SELECT current_setting('server_version_num')::int AS version, pg_backend_pid() AS pid,"
            " pg_is_in_recovery() AS standby, current_setting('transaction_read_only')::bool AS read_only,"
            " current_setting('server_encoding') AS encoding, current_user::text AS user,"
            " current_database()::text AS database"
        )
    finally:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
    if row is None:
        raise DatabaseUnavailable("the server answered nothing when asked what it is")
    # A pooler invents the key by which queries are cancelled, process id included.
    pooled = row["pid"] != connection.get_server_pid()
    return Probe(
        row["version"], pooled, row["standby"], row["read_only"], row["encoding"], row["user"], row["database"]
    )


def check_server(found: Probe, where: str, *, write: bool) -> None:
    """Raise DatabaseRefused if the server cannot serve this program."""
    major = found.version // 10000
    if major < OLDEST_SERVER:
        raise DatabaseRefused(
            f"{where} is PostgreSQL {major}; {OLDEST_SERVER} is the oldest that is supported",
            remedy=f"Upgrade the server to PostgreSQL {OLDEST_SERVER} to {NEWEST_SERVER}.",
        )
    if found.encoding != "UTF8":
        raise DatabaseRefused(
            f"the database {found.database} at {where} has the encoding {found.encoding}; titles and texts need UTF8",
            remedy="Create another database: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
        )
    if write and not found.writable:
        if found.standby:
            raise DatabaseRefused(f"{where} is a standby", remedy=_REFUSING["25006"])
        raise DatabaseRefused(
            f"{where} only allows reading (default_transaction_read_only)",
            remedy="Turn it off for this role or database: ALTER ROLE … SET default_transaction_read_only = off.",
        )


async def read_schema_version(connection: asyncpg.Connection, schema: str) -> str | None:
    """The migration the schema is at, in the caller's transaction; None when it is absent or not ours."""
    quoted = quote_identifier(schema)
    found = await connection.fetchrow(
        "SELECT has_schema_privilege(oid, 'USAGE') AS usable, current_user::text AS user"
        " FROM pg_catalog.pg_namespace WHERE nspname = $1",
        schema,
    )
    if found is None:
        return None
    if not found["usable"]:
        raise DatabaseRefused(
            f"the role {found['user']} may not use the schema {schema}",
            remedy=f"Grant it a role, or: GRANT USAGE ON SCHEMA {quoted} TO {quote_identifier(found['user'])}.",
        )
    readable = await connection.fetchval(
        "SELECT has_table_privilege(c.oid, 'SELECT') FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relname = 'schema_version'",
        schema,
    )
    if readable is None:
        return None
    if not readable:
        raise DatabaseRefused(
            f"the role {found['user']} may not read {schema}.schema_version",
            remedy="Grant it wikimirror_writer, wikimirror_reader or wikimirror_auditor (docs/postgres.md).",
        )
    version = await connection.fetchval(f"SELECT version_num FROM {quoted}.schema_version")  # noqa: S608  # quoted
    return None if version is None else str(version)


async def check_schema(connection: asyncpg.Connection, schema: str, *, write: bool) -> None:
    """Raise DatabaseRefused unless the schema is at this program's version and the role has its rights."""
    await connection.execute("BEGIN")
    try:
        version = await read_schema_version(connection, schema)
        if version is None:
            raise DatabaseRefused(f"the database has no schema {schema} made by wikimirror", remedy=_MIGRATE)
        if version != SCHEMA_VERSION:
            older = int(version) < int(SCHEMA_VERSION) if version.isdigit() else False
            raise DatabaseRefused(
                f"the schema {schema} is at version {version}, {'older' if older else 'newer'} than"
                f" the {SCHEMA_VERSION} of this program",
                remedy=_MIGRATE if older else NEWER_REMEDY,
            )
        if write:
            await _check_writer(connection, schema)
    finally:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")


async def _check_writer(connection: asyncpg.Connection, schema: str) -> None:
    wanted = [(table, right) for table, rights in WRITER_TABLES.items() for right in rights]
    missing = await connection.fetch(
        "SELECT w.right_name AS right_name, w.table_name AS table_name, current_user::text AS user"
        " FROM unnest($2::text[], $3::text[]) AS w (table_name, right_name)"
        " WHERE NOT has_table_privilege(format('%I.%I', $1::text, w.table_name), w.right_name)",
        schema,
        [table for table, _ in wanted],
        [right for _, right in wanted],
    )
    if missing:
        lacking = ", ".join(f"{row['right_name']} on {row['table_name']}" for row in missing[:_TOLD])
        more = f" and {len(missing) - _TOLD} more" if len(missing) > _TOLD else ""
        raise DatabaseRefused(
            f"the role {missing[0]['user']} lacks rights in the schema {schema}: {lacking}{more}",
            remedy=f"GRANT wikimirror_writer TO {quote_identifier(missing[0]['user'])}, or see docs/postgres.md.",
        )


def explain(error: BaseException, where: str) -> WikimirrorError | None:  # noqa: PLR0911  # one kind of error, one return
    """What an error of connecting or querying means; None if it is about the data, for the caller to judge.

    The text never quotes Postgres's DETAIL, nor a value.
    """
    if isinstance(error, WikimirrorError):
        return error
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
        return DatabaseRefused(
            f"TLS to {where} failed: {reason}",
            remedy="Set sslrootcert (in the URL or $PGSSLROOTCERT) to the authority that signed the server's"
            " certificate, and use the host name that the certificate bears.",
        )
    if isinstance(error, asyncpg.PostgresError):
        return _explain_sqlstate(error, where)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return DatabaseRefused(
            f"{where} is not the kind of server that target_session_attrs asks for", remedy=_REFUSING["25006"]
        )
    if isinstance(error, asyncpg.ClientConfigurationError):
        return ConfigurationError(
            f"the Postgres URL cannot be used: {mask(str(error))}",
            remedy="It looks like postgresql://user@host:5432/database?sslmode=verify-full&sslrootcert=/path/ca.pem.",
        )
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
        return DatabaseRefused(
            f"{where} offers no TLS, which the URL's sslmode demands",
            remedy="Turn TLS on in the server (ssl = on), or lower sslmode where the network is private.",
        )
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)) and not isinstance(error, ValueError):
        # What asyncpg says of a connection that the server has ended, among others.
        return DatabaseUnavailable(f"the connection to {where} is closed or busy: {type(error).__name__}")
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return DatabaseUnavailable(f"{where} did not answer in time")
    if isinstance(error, OSError):
        return DatabaseUnavailable(f"{where} cannot be reached: {error.strerror or type(error).__name__}")
    return None


def _explain_sqlstate(error: asyncpg.PostgresError, where: str) -> WikimirrorError | None:
    code = getattr(error, "sqlstate", None) or ""
    message = (error.args[0] if error.args else "") or type(error).__name__
    if code in {"26000", "42P05"} or "statement pooling mode" in message:
        return DatabaseRefused(
            f"the pooler at {where} moves statements between servers in a way this program cannot follow: {message}",
            remedy="Use session or transaction pooling, or connect to the server itself.",
        )
    if (code == "08P01" and "password" in message) or "SASL authentication failed" in message:
        code = "28P01"  # A pooler's way of saying so.
    elif code == "08P01" and ("no such database" in message or "does not exist" in message):
        code = "3D000"
    elif code == "08P01" and ("no such user" in message or "not allowed" in message):
        code = "28000"
    elif code == "08P01" and "unsupported startup parameter" in message:
        return DatabaseRefused(
            f"the pooler at {where} refuses a start-up parameter: {message}",
            remedy="Take the parameter out of the URL, or add it to the pooler's ignore_startup_parameters.",
        )
    if code in _REFUSING:
        return DatabaseRefused(f"{where} refused: {message} ({code})", remedy=_REFUSING[code])
    if code[:2] in _PASSING or code in _PASSING_CODES:
        return DatabaseUnavailable(f"{where} cannot do this now: {message} ({code})")
    return None


def scrub(error: BaseException) -> None:
    """Take out of an error what may quote rows or values (promise P3), before anyone prints it."""
    if not isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        return
    for attribute in ("detail", "context", "internal_query", "hint"):
        if getattr(error, attribute, None) is not None:
            setattr(error, attribute, None)
    code = str(getattr(error, "sqlstate", None) or "")
    # Class 22 and asyncpg's own encoders put the value that displeased them into the message.
    if code.startswith("22") or (
        isinstance(error, ValueError) and not isinstance(error, asyncpg.ClientConfigurationError)
    ):
        text = f"a value was refused ({code or type(error).__name__})"
        error.args = (text,)
        if hasattr(error, "message"):
            error.message = text


def mask(text: str) -> str:
    """`text` with the passwords of URLs in it replaced by stars."""
    text = re.sub(r"(?i)(postgres(?:ql)?://[^:/@?#\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"(?i)((?:ssl)?password=)[^&\s]*", r"\1***", text)


def quote_identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    if "\x00" in name:
        raise ConfigurationError("a schema's name cannot hold a NUL", remedy="Choose another name.")
    return '"' + name.replace('"', '""') + '"'
