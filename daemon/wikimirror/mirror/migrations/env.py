"""What Alembic runs: everything in one transaction, whatever the schema's name, online as well as for `--sql`.

`wikimirror.mirror.migrate` is the only caller; it passes the schema, the roles' prefix and the connection.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from wikimirror.mirror.migrations.sql import run
from wikimirror.mirror.roles import grants_sql, prepare_sql

VERSION_TABLE = "schema_version"


def _migrate() -> None:
    attributes = context.config.attributes
    schema: str = attributes["schema"]
    prefix: str = attributes["role_prefix"]
    connection: Connection | None = attributes.get("connection")
    if connection is None:
        context.configure(
            dialect_name="postgresql",
            as_sql=True,
            transactional_ddl=True,
            version_table=VERSION_TABLE,
            output_buffer=attributes["output"],
        )
    else:
        context.configure(connection=connection, version_table=VERSION_TABLE)
    with context.begin_transaction():
        for statement in prepare_sql(schema, prefix, attributes["wait"], attributes["lock_timeout"]):
            run(statement)
        context.run_migrations()
        run(grants_sql(prefix))


_migrate()
